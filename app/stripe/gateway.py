"""Stripe by its real SDK: what payments and refunds ask of it, and the facts that its answers hold."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote_plus as quote

import stripe

from app.stripe.errors import (
    IDEMPOTENCY_MISMATCH,
    InvalidError,
    RetryableError,
    UnknownOutcomeError,
    answer_time,
    classify,
)
from app.stripe.http_client import PooledHTTPClient
from app.stripe.observed_request import ObservedRequest, RequestAnswered
from app.stripe.owner_mark import DEFAULT_MARK, OwnerMark
from app.stripe.rate_limit import Priority, RateLimiter
from models.errors import StripeUnavailableError
from models.stripe_facts import (
    UNKNOWN_OBJECT,
    DisputeFacts,
    IntentFacts,
    RefundFacts,
    parse_dispute,
    parse_intent,
    parse_refund,
)

READ: Final = {"max_network_retries": 2}
INTENTS: Final = "/v1/payment_intents"
WITH_CHARGE: Final = {"expand": ["latest_charge"]}
PAGE: Final = 100
MAX_CACHED: Final = 10_000
CLOCK_SKEW_S: Final = 300

T = TypeVar("T")
Body = Mapping[str, Any]


class Listing(StrEnum):
    """What Stripe lists, newest first."""

    INTENTS = "payment_intents"
    CHARGES = "charges"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    EVENTS = "events"


class StripeAnswer(NamedTuple):
    """What Stripe answered. as_of: see answer_time."""

    body: dict[str, Any]
    as_of: int | None


class StripeGateway:
    """Our payment intents and refunds at Stripe; asynchronous, with a rate of our own.

    Writes take the parameters as they were stored and are made once: a repetition, with the same
    key and body, is its caller's decision. They wait for their turn in this worker's rate, then at most
    write_timeout_s for the answer. Reads are repeated by the SDK and take read_timeout_s at most, their
    turn included. All raise the errors of app/stripe/errors.py. No body is logged, and no client secret
    leaves but by `client_secret`.
    """

    def __init__(
        self,
        secret_key: str,
        *,
        base_url: str,
        write_timeout_s: float = 30.0,
        read_timeout_s: float = 10.0,
        rate_per_s: float = 20.0,
        mark: OwnerMark = DEFAULT_MARK,
        answered: RequestAnswered = lambda *_: None,
    ) -> None:
        """mark: goes into the metadata of what is made. answered: is told how each request ended."""
        # It would write an id into the home directory and time our requests for Stripe.
        stripe.enable_telemetry = False
        self._http = PooledHTTPClient(write_timeout_s)
        self._client = stripe.StripeClient(
            secret_key, base_addresses={"api": base_url}, http_client=self._http
        )
        self._write_timeout_s, self._read_timeout_s = write_timeout_s, read_timeout_s
        self._limiter = RateLimiter(rate_per_s)
        self.mark = mark
        self._answered = answered
        self._client_secrets: OrderedDict[str, str] = OrderedDict()
        self._orders: OrderedDict[str, str | None] = OrderedDict()
        self._orders_by: Sequence[str] = ()

    async def close(self) -> None:
        """Close the connections; requests made later raise RetryableError."""
        await self._http.close_async()

    def turn_of_create_s(self) -> float:
        """How long a new intent would wait for its turn in this worker's share of the rate."""
        return self._limiter.wait_s(Priority.CREATE)

    async def create_intent(self, body: Body, idempotency_key: str) -> IntentFacts:
        """Create a PaymentIntent; its client secret is remembered, not returned."""
        return self._seen(await self._create(Priority.CREATE, idempotency_key, INTENTS, body))

    async def confirm(self, intent_id: str, body: Body, idempotency_key: str) -> IntentFacts:
        """Confirm. Raises DeclinedError with the intent as the failed charge left it."""
        path = f"{INTENTS}/{quote(intent_id)}/confirm"
        return self._seen(await self._write(Priority.MONEY, idempotency_key, path, body))

    async def cancel(self, intent_id: str, body: Body, idempotency_key: str) -> IntentFacts:
        """Cancel. Raises StateConflictError where the money moved first, or is moving."""
        path = f"{INTENTS}/{quote(intent_id)}/cancel"
        return self._seen(await self._write(Priority.MONEY, idempotency_key, path, body))

    async def refund(self, body: Body, idempotency_key: str) -> RefundFacts:
        """Refund. Raises StateConflictError where nothing is left, or a dispute is open."""
        refund = await self._create(Priority.MONEY, idempotency_key, "/v1/refunds", body)
        return parse_refund(refund.body, as_of=refund.as_of)

    async def retrieve_intent(
        self, intent_id: str, priority: Priority = Priority.LOOK_UP
    ) -> IntentFacts:
        """Look a PaymentIntent up, with its latest charge and so its receipt."""
        return self._seen(await self._retrieve(intent_id, priority))

    async def list_refunds(
        self, intent_id: str, priority: Priority = Priority.LOOK_UP
    ) -> list[RefundFacts]:
        """All refunds of a PaymentIntent, newest first."""
        wanted = {"payment_intent": intent_id}
        return [
            parse_refund(refund)
            async for page in self.pages(Listing.REFUNDS, wanted, priority)
            for refund in page
        ]

    async def find_dispute(self, dispute_id: str) -> DisputeFacts | None:
        """A dispute as it stands; None when Stripe knows none of this id."""
        found = await self._find(Listing.DISPUTES, dispute_id, Priority.LOOK_UP)
        return parse_dispute(found.body, as_of=found.as_of) if found else None

    async def find_intent(
        self, payment_id: str, *, created_after_s: float, created_before_s: float
    ) -> IntentFacts | None:
        """Look for the PaymentIntent whose metadata names the payment, created in that time.

        Seconds since the epoch, give or take what clocks differ. Lists all intents of that time, for
        Stripe's search may not know one yet that a list shows.
        """
        first, last = int(created_after_s) - CLOCK_SKEW_S, int(created_before_s) + CLOCK_SKEW_S
        created = {"gte": first, "lte": last}
        found = [
            intent
            async for page in self.pages(Listing.INTENTS, {"created": created}, Priority.LOOK_UP)
            for intent in page
            if (intent.get("metadata") or {}).get("paymentId") == payment_id
            and self.mark.may_be_ours(intent.get("metadata"))
        ]
        # Should there be two, the one that can have a charge is the one that counts.
        found.sort(key=lambda intent: intent["status"] == "canceled")
        return await self.retrieve_intent(found[0]["id"]) if found else None

    async def pages(
        self, listing: Listing, wanted: Body, priority: Priority = Priority.POLL
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Objects as Stripe shows them, newest first, by pages. wanted: the list's own parameters."""
        params = {**wanted, "limit": PAGE}
        while True:
            page = (await self._call(priority, "get", f"/v1/{listing}", params, READ)).body
            items = list(page["data"])
            yield items
            if not page["has_more"] or not items:
                return
            params = {**params, "starting_after": items[-1]["id"]}

    async def find(self, listing: Listing, id: str) -> dict[str, Any] | None:
        """One object as Stripe shows it; None when there is none of this id."""
        found = await self._find(listing, id, Priority.POLL)
        return found.body if found else None

    async def _find(self, listing: Listing, id: str, priority: Priority) -> StripeAnswer | None:
        try:
            return await self._call(priority, "get", f"/v1/{listing}/{quote(id)}", {}, READ)
        except InvalidError as error:
            if error.code != UNKNOWN_OBJECT:
                raise
            return None

    async def client_secret(self, intent_id: str) -> str:
        """Give the secret with which the customer's page confirms; from memory, else from Stripe."""
        if intent_id not in self._client_secrets:
            await self.retrieve_intent(intent_id)
        return self._client_secrets[intent_id]

    async def intent_as_json(self, intent_id: str) -> dict[str, Any]:
        """Give a PaymentIntent with its charge as Stripe has them now, for operators to look at."""
        shown = (await self._retrieve(intent_id, Priority.LOOK_UP)).body
        shown.pop("client_secret", None)
        return shown

    async def order_id_of(self, thing: Body) -> str | None:
        """The order of any object of Stripe's, if it is one of this application's.

        Disputes have no metadata, refunds made in the dashboard none of ours: their intent has. Older API
        versions name the charge alone. Raises StripeUnavailableError while our platform's id is not known.
        """
        metadata = thing.get("metadata") or {}
        if "orderId" in metadata:
            if self.mark.can_not_tell(metadata):
                raise _ids_unknown()
            return self.mark.order_id(metadata)
        intent_id = _id_of(thing.get("payment_intent"))
        charge_id = _id_of(thing.get("charge"))
        if not intent_id and charge_id:
            charge = await self.find(Listing.CHARGES, charge_id)
            intent_id = _id_of(charge.get("payment_intent")) if charge else None
        return await self.order_of(intent_id) if intent_id else None

    async def order_of(self, intent_id: str) -> str | None:
        """Give the order of a PaymentIntent, None if it is not ours or does not exist.

        Raises StripeUnavailableError while our platform's id is not known.
        """
        known = self.mark.platform_ids()
        if known != self._orders_by:  # what was not ours may be now
            self._orders.clear()
            self._orders_by = known
        if intent_id not in self._orders:
            try:
                await self.retrieve_intent(intent_id)
            except InvalidError:
                return None
        if intent_id not in self._orders:
            raise _ids_unknown()
        return self._orders[intent_id]

    async def _retrieve(self, intent_id: str, priority: Priority) -> StripeAnswer:
        path = f"{INTENTS}/{quote(intent_id)}"
        return await self._call(priority, "get", path, WITH_CHARGE, READ)

    async def _create(
        self, priority: Priority, idempotency_key: str, path: str, body: Body
    ) -> StripeAnswer:
        """Write a marked object; where a worker that knew another id, or none, began it, that very object."""
        first, *others = self.mark.all_marked(body)
        try:
            return await self._write(priority, idempotency_key, path, first)
        except InvalidError as error:
            if error.code != IDEMPOTENCY_MISMATCH:
                raise
            mismatch = error
        # The key is that of another body, and nothing was executed.
        for other in others:
            try:
                return await self._write(priority, idempotency_key, path, other)
            except InvalidError as error:
                if error.code != IDEMPOTENCY_MISMATCH:
                    raise
        raise mismatch

    async def _write(
        self, priority: Priority, idempotency_key: str, path: str, body: Body
    ) -> StripeAnswer:
        """One attempt, so that what a repetition means is decided by the caller."""
        options = {"idempotency_key": idempotency_key, "max_network_retries": 0}
        return await self._call(priority, "post", path, body, options)

    async def _call(
        self, priority: Priority, method: str, path: str, params: Body, options: Body
    ) -> StripeAnswer:
        """Make a request in its turn; whether it is a write, its priority tells.

        The SDK's raw request: its objects, of which only JSON is wanted here, cost more than the request.
        """
        is_write = priority < Priority.LOOK_UP
        with ObservedRequest(self._answered, method, path) as observed:
            try:
                # Whoever reads waits for an answer; a write's time begins when it is sent.
                async with asyncio.timeout(None if is_write else self._read_timeout_s) as bound:
                    await self._limiter.acquire(priority)
                    if is_write:
                        bound.reschedule(asyncio.get_running_loop().time() + self._write_timeout_s)
                    observed.begin()
                    answer = await self._client.raw_request_async(method, path, **params, **options)
            except TimeoutError:
                raise UnknownOutcomeError("timeout") from None
            except stripe.StripeError as error:
                known = classify(error, observed.took_s)
                if isinstance(known, RetryableError) and known.throttled:
                    self._limiter.throttled(known.retry_after_s)
                raise known from None  # the SDK's error holds the body
        self._limiter.succeeded()
        return StripeAnswer(answer.data, answer_time(answer.headers, observed.took_s))

    def _seen(self, intent: StripeAnswer) -> IntentFacts:
        """Reduce an intent to its facts, and remember what is not one of them."""
        facts, id = intent.body, intent.body["id"]
        if secret := facts.get("client_secret"):
            _remember(self._client_secrets, id, secret)
        metadata = facts.get("metadata")
        if not self.mark.can_not_tell(metadata):
            _remember(self._orders, id, self.mark.order_id(metadata))
        return parse_intent(facts, as_of=intent.as_of)


def _id_of(thing: Any) -> str | None:
    """The id of something that may be expanded."""
    return thing.get("id") if isinstance(thing, Mapping) else thing


def _ids_unknown() -> StripeUnavailableError:
    return StripeUnavailableError("this platform's id is not known yet")


def _remember(memory: OrderedDict[str, T], key: str, value: T) -> None:
    """Keep the newest entries of a memory."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_CACHED:
        memory.popitem(last=False)
