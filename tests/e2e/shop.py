"""Customers over all workers, Stripe's control API, and how an order must have ended everywhere."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from app.settings import SANDBOX_TOKEN_KEY
from models import ids
from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.platform import Platform
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record, Topics
from tests.support.stripe_control import StripeControl
from tests.support.waiting import WITHIN_S, until
from web.http.tokens import OrderTokens

KNOWN = {"COMPLETED", "FAILED", "REQUIRES_ACTION"}


@dataclass(frozen=True)
class Ending:
    """How an order ends: its status, its payment's, and what Stripe has of it."""

    order: str
    payment: str
    charges: int = 0
    refunds: int = 0


UNPAID = Ending("PAYMENT_PENDING", "PENDING")
PAID = Ending("PENDING", "COMPLETED", charges=1)
FAILED = Ending("PAYMENT_FAILED", "FAILED")
CANCELLED = Ending("CANCELLED", "CANCELLED")
REFUNDED = Ending("REFUNDED", "REFUNDED", charges=1, refunds=1)


class Buyer(Customer):
    """A customer whose requests go to another worker each time; its ids are known beforehand.

    control: what happens at Stripe or the bank without us.
    """

    def __init__(
        self, workers: tuple[str, ...], control: StripeControl, restaurant: str | None = None
    ) -> None:
        super().__init__(workers[0], control.base)
        self.control = control
        self.key = str(uuid.uuid4())
        self._restaurant = restaurant
        self.go_to(*workers)

    def go_to(self, *workers: str) -> None:
        """Send the next requests to these workers, in turn."""
        self._workers = itertools.cycle(workers)

    @property
    def expected_id(self) -> str:
        """The order id that the key leads to, for faults that are set before the order is placed."""
        return ids.order_id(ids.derive_id("guest", self.key), self.key)

    @property
    def payment_id(self) -> str:
        """The payment's id, likewise."""
        return ids.payment_id(self.expected_id)

    async def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """As a load balancer would send it: to the next worker."""
        self.web = next(self._workers)
        return await super().call(method, path, body, key, **headers)

    async def place(self) -> Self:
        """Open the payment, whatever it takes."""

        async def basket() -> dict[str, Any]:
            return await self.basket(self._restaurant)

        await self.open_payment(await self.until(basket, "the menu"), self.key)
        assert self.order_id == self.expected_id
        return self

    async def pay(self, card: str = VISA, key: str | None = None) -> dict[str, Any]:
        """Confirm, again with the same key, until the result is known."""

        async def token() -> str:
            return await self.card_token(card)

        ctoken = await self.until(token, "a card token")
        return await self.confirm_with({"confirmationToken": ctoken}, key)

    async def confirm_with(self, means: dict[str, str], key: str | None = None) -> dict[str, Any]:
        """Confirm with what Stripe gave, again with the same key, until the result is known."""
        body, key = {"orderId": self.order_id, **means}, key or str(uuid.uuid4())

        async def result() -> dict[str, Any] | None:
            _, answer = await self.call("POST", "/api/payments/confirm", body, key)
            return answer if answer.get("status") in KNOWN else None

        answer: dict[str, Any] = await self.until(result, "the result of a confirm")
        return answer

    async def cancel_order(self) -> dict[str, Any]:
        """Cancel the order, whatever it takes."""
        key, path = str(uuid.uuid4()), f"/api/orders/{self.order_id}/cancel"

        async def done() -> dict[str, Any] | None:
            status, answer = await self.call("POST", path, {}, key)
            return answer if status == 200 else None

        answer: dict[str, Any] = await self.until(done, "the cancel")
        return answer

    async def intent(self) -> str:
        """Stripe's id of the payment intent."""
        return str(
            (await self.wait_until(lambda o: "payment" in o, "payment"))["payment"][
                "stripeIntentId"
            ]
        )


@dataclass
class Answer:
    """What the API answered."""

    status: int
    headers: dict[str, str]
    body: Any


class Shop:
    """What a test has: the platform, Stripe's control, customers, and the outside view of Kafka."""

    def __init__(self, platform: Platform, topics: Topics, session: aiohttp.ClientSession) -> None:
        self.platform, self.topics, self._session = platform, topics, session
        self.workers = platform.endpoints.workers
        self.stripe = StripeControl(platform.endpoints.stripe, session)
        self._turn = 0

    def buyer(self, *, at: int | None = None, restaurant: str | None = None) -> Buyer:
        """A customer, at one worker or at all in turn; shares this shop's session."""
        self._turn += 1
        first = self._turn % len(self.workers)
        workers = (
            (self.workers[at],) if at is not None else self.workers[first:] + self.workers[:first]
        )
        buyer = Buyer(workers, self.stripe, restaurant)
        buyer._session = self._session
        return buyer

    async def request(
        self, method: str, url: str, *, data: bytes | None = None, json: Any = None, **headers: str
    ) -> Answer:
        """One request, whatever its answer. Raises aiohttp.ClientError."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, url, data=data, json=json, headers=names
        ) as response:
            body = await response.read()
            is_json = "json" in response.content_type
            parsed = await response.json(content_type=None) if body and is_json else body
            return Answer(response.status, dict(response.headers), parsed)

    async def owner(self, buyer: Buyer) -> int:
        """Number of the worker that owns an order: the one that answers without forwarding."""
        token = OrderTokens(SANDBOX_TOKEN_KEY).issue("guest", buyer.expected_id)

        async def found() -> int | None:
            for number, url in enumerate(self.workers):
                try:
                    answer = await self.request(
                        "GET", f"{url}/api/orders/{buyer.expected_id}", Tiffin_Hop="1",
                        Authorization=f"Bearer {token}",
                    )  # fmt: skip
                except aiohttp.ClientError:
                    continue
                if answer.status == 200:
                    return number
            return None

        return await until(found, f"an owner of {buyer.expected_id}")

    async def records(self, *buyers: Buyer) -> list[Record]:
        """What Kafka holds of these customers' orders."""
        return await asyncio.to_thread(self.topics.of, *(buyer.order_id for buyer in buyers))

    async def ends(self, buyer: Buyer, ending: Ending) -> list[Record]:
        """Wait until API, topics and Stripe agree that the order ended so, and check its records.

        Gives the records. Raises AssertionError and TimeoutError.
        """
        wanted = (ending.order, ending.payment)
        seen: tuple[Any, ...] = ()

        async def shown() -> bool:
            nonlocal seen
            view = await buyer.until(buyer.look, f"order {buyer.order_id}")
            records = await self.records(buyer)
            seen = (view["status"], view.get("payment", {}).get("status"))
            seen += kafka_invariants.statuses(records)
            return seen == wanted * 2 and kafka_invariants.has_second_copies(records)

        try:
            await until(shown, f"{ending}")
        except TimeoutError:
            kafka_invariants.check(await self.records(buyer))
            raise AssertionError(f"{buyer.order_id} is {seen}, not {wanted}") from None
        records = await self.records(buyer)
        kafka_invariants.check(records)
        await self._check_money(buyer, ending, records)
        return records

    async def _check_money(self, buyer: Buyer, ending: Ending, records: list[Record]) -> None:
        found = (await self.stripe.ledger()).get(buyer.order_id, [])
        assert len(found) == 1, f"an order has one payment intent: {found}"
        at_stripe = found[0]
        made = (at_stripe["charges"]["succeeded"], at_stripe["refunds"]["succeeded"])
        assert made == (ending.charges, ending.refunds), at_stripe
        assert at_stripe["charges"]["pending"] == 0, at_stripe
        known = kafka_invariants.money(records)
        assert known == (at_stripe["captured"], at_stripe["refunded"])
        payment = (await buyer.until(buyer.look, "order"))["payment"]
        assert known == (payment["captured"]["amount"], payment["refunded"]["amount"])
        if ending.charges:
            assert at_stripe["captured"] == at_stripe["amount"] == payment["amount"]["amount"]


@asynccontextmanager
async def open_shop(platform: Platform) -> AsyncIterator[Shop]:
    """A shop at a platform; waits for answers as long as tests wait."""
    topics = Topics(platform.bootstrap)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
        yield Shop(platform, topics, session)
    topics.close()
