"""Stripe's gateway: what payments and refunds ask of Stripe, and the facts that its answers hold."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import stripe

from app.stripe.api import READ, Body, Listing, StripeApi
from app.stripe.errors import InvalidError
from app.stripe.rate_limit import Priority
from models import ids
from models.stripe_facts import IntentFacts, RefundFacts, parse_intent, parse_refund

MAX_CACHED: Final = 10_000
CLOCK_SKEW_S: Final = 300

OWNER: Final = "app"
"""Of metadata: which application made the object, for an account may serve several."""


class StripeGateway(StripeApi):
    """Our payment intents and refunds at Stripe.

    Writes take the parameters as they were stored and are made once: a repetition, with the same
    key and body, is its caller's decision. All raise the errors of stripe_errors. No client secret
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
        owner: str = "tiffin",
    ) -> None:
        """owner: goes into the metadata of what is made; for the life of the application the same."""
        super().__init__(
            secret_key,
            base_url=base_url,
            write_timeout_s=write_timeout_s,
            read_timeout_s=read_timeout_s,
            rate_per_s=rate_per_s,
        )
        self._intents = self._client.v1.payment_intents
        self._refunds = self._client.v1.refunds
        self._owner = owner
        self._client_secrets: OrderedDict[str, str] = OrderedDict()
        self._orders: OrderedDict[str, str] = OrderedDict()

    async def create_intent(self, body: Body, idempotency_key: str) -> IntentFacts:
        """Create a PaymentIntent; its client secret is remembered, not returned."""
        params, options = _write(self._with_owner_metadata(body), idempotency_key)
        intent = await self._call(
            Priority.CREATE, lambda: self._intents.create_async(params, options)
        )
        return self._seen(intent)

    async def confirm(self, intent_id: str, body: Body, idempotency_key: str) -> IntentFacts:
        """Confirm. Raises DeclinedError with the intent as the failed charge left it."""
        params, options = _write(body, idempotency_key)
        return await self._write_intent(
            lambda: self._intents.confirm_async(intent_id, params, options)
        )

    async def cancel(self, intent_id: str, body: Body, idempotency_key: str) -> IntentFacts:
        """Cancel. Raises StateConflictError where the money moved first, or is moving."""
        params, options = _write(body, idempotency_key)
        return await self._write_intent(
            lambda: self._intents.cancel_async(intent_id, params, options)
        )

    async def refund(self, body: Body, idempotency_key: str) -> RefundFacts:
        """Refund. Raises StateConflictError where nothing is left, or a dispute is open."""
        params, options = _write(self._with_owner_metadata(body), idempotency_key)
        refund = await self._call(
            Priority.MONEY, lambda: self._refunds.create_async(params, options)
        )
        return parse_refund(refund.to_dict())

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

    async def find_intent(
        self, payment_id: str, *, created_after_s: float, created_before_s: float
    ) -> IntentFacts | None:
        """Look for the PaymentIntent whose metadata names the payment, created in that time.

        Seconds since the epoch, give or take what clocks differ. Lists, because Stripe's search
        may not know an intent yet that a list shows; all intents of that time are gone through.
        """
        created = {
            "gte": int(created_after_s) - CLOCK_SKEW_S,
            "lte": int(created_before_s) + CLOCK_SKEW_S,
        }
        found = [
            intent
            async for page in self.pages(Listing.INTENTS, {"created": created}, Priority.LOOK_UP)
            for intent in page
            if (intent.get("metadata") or {}).get("paymentId") == payment_id
        ]
        # Should there be two, the one that can have a charge is the one that counts.
        found.sort(key=lambda intent: intent["status"] == "canceled")
        return await self.retrieve_intent(found[0]["id"]) if found else None

    def order_id_from_metadata(self, metadata: Body | None) -> str | None:
        """The order that metadata name, if it is one of this application's."""
        known = metadata or {}
        order_id = known.get("orderId")
        is_ours = known.get(OWNER, self._owner) == self._owner
        return order_id if is_ours and order_id and ids.is_order_id(order_id) else None

    def has_owner_metadata(self, metadata: Body | None) -> bool:
        """Whether this very application made the object, by its own word."""
        return (metadata or {}).get(OWNER) == self._owner

    async def client_secret(self, intent_id: str) -> str:
        """Give the secret with which the customer's page confirms; from memory, else from Stripe."""
        if intent_id not in self._client_secrets:
            await self.retrieve_intent(intent_id)
        return self._client_secrets[intent_id]

    async def intent_as_json(self, intent_id: str) -> dict[str, Any]:
        """Give a PaymentIntent with its charge as Stripe has them now, for operators to look at."""
        intent = await self._retrieve(intent_id, Priority.LOOK_UP)
        shown: dict[str, Any] = intent.to_dict(recursive=True)
        shown.pop("client_secret", None)
        return shown

    async def order_id_of(self, thing: Body) -> str | None:
        """The order of any object of Stripe's, if it is one of this application's.

        Disputes have no metadata, refunds made in the dashboard none of ours: their intent has.
        """
        metadata, intent = thing.get("metadata") or {}, thing.get("payment_intent")
        intent_id = intent.get("id") if isinstance(intent, Mapping) else intent
        if "orderId" not in metadata and intent_id:
            return await self.order_of(intent_id)
        return self.order_id_from_metadata(metadata)

    async def order_of(self, intent_id: str) -> str | None:
        """Give the order of a PaymentIntent, None if it is not ours or does not exist."""
        if intent_id not in self._orders:
            try:
                await self.retrieve_intent(intent_id)
            except InvalidError:
                return None
        return self._orders.get(intent_id)

    async def _write_intent(
        self, request: Callable[[], Awaitable[stripe.PaymentIntent]]
    ) -> IntentFacts:
        return self._seen(await self._call(Priority.MONEY, request))

    async def _retrieve(self, intent_id: str, priority: Priority) -> stripe.PaymentIntent:
        return await self._call(
            priority,
            lambda: self._intents.retrieve_async(intent_id, {"expand": ["latest_charge"]}, READ),
        )

    def _seen(self, intent: stripe.PaymentIntent) -> IntentFacts:
        """Reduce an intent to its facts, and remember what is not one of them."""
        facts = intent.to_dict()
        _remember(self._client_secrets, intent.id, facts.get("client_secret"))
        _remember(self._orders, intent.id, self.order_id_from_metadata(facts.get("metadata")))
        return parse_intent(facts)

    def _with_owner_metadata(self, body: Body) -> Body:
        return {**body, "metadata": {**body.get("metadata", {}), OWNER: self._owner}}


def _write(body: Body, idempotency_key: str) -> tuple[Any, stripe.RequestOptions]:
    """SDK arguments of a write: one attempt, so that what a repetition means is decided above."""
    options: stripe.RequestOptions = {"idempotency_key": idempotency_key, "max_network_retries": 0}
    return cast("Any", dict(body)), options


def _remember(memory: OrderedDict[str, str], key: str, value: str | None) -> None:
    """Keep the newest entries of a memory."""
    if value:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > MAX_CACHED:
            memory.popitem(last=False)
