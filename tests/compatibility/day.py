"""The platform that is recorded, and who acts on it: customers, staff, Stripe, the mailbox."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from confluent_kafka import Producer

from sandbox.api_client import until
from sandbox.card_numbers import (
    VISA,
)
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, Supervised
from sandbox.staff import Staff

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
BY_HAND = ("put-by-hand", b"1")
"""Header of a record that no part of the platform sent."""
AGES_S = 2_000_000_000
"""Deadlines in another century: whoever starts on the recording later finds none that has passed."""
SETTINGS = {
    "TIFFIN_PAYMENT_METHODS": "automatic",
    "TIFFIN_NOTIFICATION_TRIES": "3",
    "TIFFIN_NOTIFICATION_REPEAT_AFTER_S": str(AGES_S),
    "TIFFIN_NOTIFICATION_MAX_AGE_S": str(AGES_S),
    "TIFFIN_NOTIFICATION_FIRST_PAUSE_S": "0.05",
    "TIFFIN_NOTIFICATION_LONGEST_PAUSE_S": "0.2",
    "TIFFIN_STRIPE_WRITE_TIMEOUT_S": "3",
    "TIFFIN_RECONCILE_AFTER_S": "2",
    "TIFFIN_RECONCILE_INTERVAL_S": "2",
    "TIFFIN_RECONCILIATION_GRACE_S": "2",
    "TIFFIN_RECONCILIATION_INTERVAL_S": "20",
    "TIFFIN_COMMAND_WAIT_S": "60",
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
    "TIFFIN_CONFIRM_WAIT_S": "60",
    "TIFFIN_GROUP_INSTANCE_ID": "one",
}


def settings_of(run: dict[str, Any]) -> dict[str, str]:
    """TIFFIN_* variables of a run's worker."""
    deadlines = ("payment_deadline_s", "kitchen_deadline_s")
    return SETTINGS | {f"TIFFIN_{name.upper()}": str(run[name]) for name in deadlines}


class RecordedPlatform(Platform):
    """One worker, whose services fail on request (tests/support/breakable_app.py)."""

    def environment(self, worker: int = 0) -> dict[str, str]:
        return {**super().environment(worker), "BREAKAGE": str(self.folder / "breakage.json")}

    def _make_worker(self, number: int) -> Supervised:
        worker = super()._make_worker(number)
        worker.argv[worker.argv.index("-A") + 1] = "tests.support.breakable_app"
        return worker

    def break_at(self, **breakage: list[str]) -> None:
        """From now on these services fail at these messages of an order: "service/order" -> types."""
        draft = self.folder / "breakage.new"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(breakage))
        draft.rename(self.folder / "breakage.json")

    def change(self, run: dict[str, Any]) -> None:
        """Stop the worker in good order and start it with the settings of another run."""
        self.workers[0].terminate()
        self._extra_settings = settings_of(run)
        self.workers[0] = self._make_worker(0)
        self.workers[0].start()
        self.wait_ready()

    def kill(self) -> None:
        """The worker dies in the midst, and the next one takes over."""
        worker = self.workers[0]
        deaths = len(worker.exits)
        worker.kill()
        worker.wait_exits(deaths + 1, timeout_s=MAX_WAIT_S)
        self.wait_ready()


class Day:
    """Customers, staff and Stripe, on one platform. orders: name of what was played -> order id."""

    def __init__(self, platform: RecordedPlatform, stack: AsyncExitStack) -> None:
        self.platform, self.stack = platform, stack
        self.ends = platform.endpoints
        self.orders: dict[str, str] = {}

    async def open(self) -> Day:
        timeout = aiohttp.ClientTimeout(total=MAX_WAIT_S)
        self.http = await self.stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        self.olga = await self.staff("operator", "olga")
        return self

    async def staff(self, *who: str) -> Staff:
        return await self.stack.enter_async_context(Staff(self.ends.workers[0], *who))

    async def post(self, url: str, body: Any) -> Any:
        async with self.http.post(url, json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def control(self, path: str, body: Any = None) -> Any:
        """What happens at Stripe without us."""
        return await self.post(self.ends.control + path, body or {})

    async def mail_fails(self, channel: str, times: int, code: int) -> None:
        fault = {"channel": channel, "kind": "refuse", "times": times, "code": code}
        await self.post(f"{self.ends.mailbox}/_control/faults", fault)

    async def act(self, path: str, body: Any = None) -> dict[str, Any]:
        """What an operator does."""
        key = str(uuid.uuid4())

        async def done() -> dict[str, Any]:
            _, answer = await self.olga.call("POST", path, body or {}, key)
            return dict(answer)

        return await until(done, path, MAX_WAIT_S, (404, 409, 503))

    async def has(self, path: str, holds: Callable[[Any], Any], what: str) -> Any:
        """What an operator reads, once something holds of it; gives what `holds` gave."""

        async def seen() -> Any:
            return holds(await self.olga.get(path)) or None

        return await until(seen, what, MAX_WAIT_S, (404, 409, 503))

    async def rest(self) -> None:
        """Until everything that was sent has been decided, for a while."""
        quiet = 0
        while quiet < 4:
            lag = await self.has("/api/ops/lag", lambda view: view, "the lag")
            quiet = quiet + 1 if lag["total"] == 0 else 0
            await asyncio.sleep(0.25)

    async def placed(self, name: str, restaurant: str | None = None) -> Customer:
        somebody = Customer(self.ends.workers[0], self.ends.stripe)
        await self.stack.enter_async_context(somebody)
        await somebody.open_payment(await somebody.basket(restaurant))
        self.orders[name] = somebody.order_id
        return somebody

    async def paid(self, name: str, card: str = VISA) -> Customer:
        somebody = await self.placed(name)
        await somebody.confirm(card)
        await somebody.wait_status("PENDING")
        return somebody

    async def payment(self, somebody: Customer, holds: Callable[[Any], Any], what: str) -> Any:
        path = f"/api/payments/{somebody.order_id}"
        return await self.has(path, lambda view: view if holds(view) else None, what)

    async def intent(self, somebody: Customer) -> str:
        view = await self.payment(somebody, lambda view: view["stripeIntentId"], "an intent")
        return str(view["stripeIntentId"])

    async def step(self, somebody: Customer, *steps: str, body: Any = None) -> None:
        """What the kitchen does."""
        for step in steps:
            await self.act(f"/api/orders/{somebody.order_id}/{step}", body)

    async def refund(self, somebody: Customer, amount: int | None = None) -> None:
        body = {"reason": "QUALITY"} | ({"amount": amount} if amount else {})
        await self.act(f"/api/payments/{somebody.order_id}/refunds", body)

    def put(
        self, topic: str, key: bytes | None, *values: bytes | None, partition: int = -1
    ) -> None:
        """Send records as somebody outside does."""
        producer = Producer(
            {"bootstrap.servers": self.platform.bootstrap, "partitioner": "murmur2_random"}
        )
        for value in values:
            producer.produce(topic, value, key, partition, headers=[TRACE, BY_HAND])
        assert producer.flush(30) == 0
