"""Stripe's API by its real SDK, asynchronous: time-outs, a rate of our own, typed errors, lists."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

import httpx
import stripe

from app.stripe.errors import InvalidError, RetryableError, UnknownOutcomeError, classify
from app.stripe.rate_limit import Priority, RateLimiter

CONNECT_TIMEOUT_S: Final = 5.0
READ: Final[stripe.RequestOptions] = {"max_network_retries": 2}
PAGE: Final = 100

T = TypeVar("T")
Body = Mapping[str, Any]


class Listing(StrEnum):
    """What Stripe lists, newest first."""

    INTENTS = "payment_intents"
    CHARGES = "charges"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    EVENTS = "events"


class StripeApi:
    """All requests to Stripe's API go through here; `StripeGateway` knows what they mean to us.

    Writes are made once and wait for their turn in this worker's rate, then at most write_timeout_s
    for the answer. Reads are repeated by the SDK and take read_timeout_s at most, their turn included.
    All raise the errors of stripe_errors. No body is logged.
    """

    def __init__(
        self,
        secret_key: str,
        *,
        base_url: str,
        write_timeout_s: float,
        read_timeout_s: float,
        rate_per_s: float,
    ) -> None:
        # It would write an id into the home directory and time our requests for Stripe.
        stripe.enable_telemetry = False
        timeout = httpx.Timeout(write_timeout_s, connect=min(CONNECT_TIMEOUT_S, write_timeout_s))
        self._http = stripe.HTTPXClient(timeout=timeout)
        client = stripe.StripeClient(
            secret_key, base_addresses={"api": base_url}, http_client=self._http
        )
        self._services = {listing: getattr(client.v1, listing) for listing in Listing}
        self._client = client
        self._write_timeout_s = write_timeout_s
        self._read_timeout_s = read_timeout_s
        self._limiter = RateLimiter(rate_per_s)

    async def close(self) -> None:
        """Close the connections; requests made later raise RetryableError."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def pages(
        self, listing: Listing, wanted: Body, priority: Priority = Priority.POLL
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Objects as Stripe shows them, newest first, a page at a time, each in its turn of the rate.

        wanted: the list's own parameters. Events are kept for 30 days.
        """
        params = {**wanted, "limit": PAGE}
        while True:
            page: Any = await self._call(
                priority, partial(self._services[listing].list_async, params, READ)
            )
            items = [item.to_dict() for item in page.data]
            yield items
            if not page.has_more or not items:
                return
            params = {**params, "starting_after": items[-1]["id"]}

    async def find(self, listing: Listing, id: str) -> dict[str, Any] | None:
        """One object as Stripe shows it; None when there is none of this id."""
        service = self._services[listing]
        try:
            found: Any = await self._call(
                Priority.POLL, lambda: service.retrieve_async(id, {}, READ)
            )
        except InvalidError as error:
            if error.code != "resource_missing":
                raise
            return None
        shown: dict[str, Any] = found.to_dict()
        return shown

    async def _call(self, priority: Priority, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request in its turn; whether it is a write, its priority tells."""
        is_write = priority < Priority.LOOK_UP
        try:
            # Whoever reads waits for an answer; a write's time begins when it is sent.
            async with asyncio.timeout(None if is_write else self._read_timeout_s) as bound:
                await self._limiter.acquire(priority)
                if is_write:
                    bound.reschedule(asyncio.get_running_loop().time() + self._write_timeout_s)
                answer = await request()
        except TimeoutError:
            raise UnknownOutcomeError("timeout") from None
        except stripe.StripeError as error:
            known = classify(error)
            if isinstance(known, RetryableError) and known.throttled:
                self._limiter.throttled(known.retry_after_s)
            raise known from None  # the SDK's error holds the body
        self._limiter.succeeded()
        return answer
