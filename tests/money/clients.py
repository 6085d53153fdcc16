"""Customers, operators at both workers, and Stripe's control API: what tests of the money have."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aiohttp

from sandbox import api_client
from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from sandbox.staff import Staff

WITHIN_S = MAX_WAIT_S

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T | None]], what: str, within_s: float = WITHIN_S) -> T:
    """As a browser does, with the patience of a test."""
    return await api_client.until(ask, what, within_s)


class Clients:
    """What a test has: customers, an operator at any worker, and Stripe's control API."""

    def __init__(self, platform: Platform, stack: AsyncExitStack) -> None:
        self.platform, self._stack = platform, stack
        self.ends = platform.endpoints
        self.operators: list[Staff] = []
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S))

    async def open(self) -> Clients:
        await self._stack.enter_async_context(self.http)
        for url in self.ends.workers:
            staff = Staff(url, "operator", "olga")
            self.operators.append(await self._stack.enter_async_context(staff))
        return self

    # -- Stripe

    async def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """A request of the stand-in's control API."""
        async with self.http.request(method, self.ends.control + path, json=body) as got:
            answer = await got.json()
            assert got.status == 200, answer
            return answer

    async def lose_webhooks(self, intent: str) -> None:
        """From now on none about this payment intent comes."""
        rule = {"kind": "lose", "payment_intent": intent, "times": None}
        await self.control("/webhooks/rules", rule)

    async def ledger(self, intent: str) -> dict[str, Any]:
        """The money of a payment intent, as Stripe knows it."""
        found = await self.control("/ledger", method="GET")
        return dict(found["payment_intents"][intent])

    async def until_processing(self, intent: str) -> None:
        """Wait until Stripe's charge of a payment intent is under way."""

        async def is_so() -> bool | None:
            return (await self.ledger(intent))["status"] == "processing" or None

        await until(is_so, "Stripe to begin")

    # -- customers

    async def customer(self, worker: int = 0) -> Customer:
        """Somebody who has placed no order yet."""
        made = Customer(self.ends.workers[worker], self.ends.stripe)
        return await self._stack.enter_async_context(made)

    async def placed(self, restaurant: str | None = None) -> Customer:
        """Somebody whose payment is open."""
        somebody = await self.customer()
        await somebody.open_payment(await somebody.basket(restaurant))
        return somebody

    async def paid(self, card: str = VISA, restaurant: str | None = None) -> Customer:
        """Somebody whose order is paid."""
        somebody = await self.placed(restaurant)
        await somebody.confirm(card)
        await somebody.wait_status("PENDING")
        return somebody

    async def payment(self, somebody: Customer) -> dict[str, Any]:
        """The payment's view."""
        _, answer = await somebody.call("GET", f"/api/payments/{somebody.order_id}")
        return dict(answer)

    async def intent(self, somebody: Customer) -> str:
        """Stripe's id of the payment."""
        return str((await self.payment(somebody))["stripeIntentId"])

    async def payment_when(
        self, somebody: Customer, holds: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        """The payment's view, once something holds of it."""

        async def seen() -> dict[str, Any] | None:
            view = await self.payment(somebody)
            return view if holds(view) else None

        return await until(seen, what)

    # -- operators

    async def get(self, path: str, worker: int = 0) -> dict[str, Any]:
        """What an operator reads."""
        return await until(lambda: self.operators[worker].get(path), path)

    async def post(
        self, path: str, body: Any = None, key: str | None = None, worker: int = 0
    ) -> dict[str, Any]:
        """What an operator does. Raises RefusedError."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        _, answer = await self.operators[worker].call("POST", path, body or {}, **headers)
        return dict(answer)

    async def refund(
        self, somebody: Customer, amount: int | None = None, worker: int = 0
    ) -> dict[str, Any]:
        """Give money back; the new refund. Raises RefusedError."""
        body = {"reason": "QUALITY"} | ({"amount": amount} if amount is not None else {})
        path = f"/api/payments/{somebody.order_id}/refunds"
        return dict((await self.post(path, body, worker=worker))["refund"])

    async def refunds(self, somebody: Customer, state: str | None = None) -> list[dict[str, Any]]:
        """This order's rows of the operators' list, once both workers give the same."""
        query = f"?state={state}" if state else ""

        async def of(worker: int) -> list[dict[str, Any]] | None:
            found = await self.operators[worker].get(f"/api/ops/refunds{query}")
            rows = [row for row in found["refunds"] if row["orderId"] == somebody.order_id]
            return None if found["incomplete"] else rows

        async def same() -> list[dict[str, Any]] | None:
            first, second = await of(0), await of(1)
            return first if first == second else None

        return await until(same, "both workers to list the same refunds")

    async def reconciled(
        self, holds: Callable[[dict[str, Any]], bool], what: str, within_s: float = WITHIN_S
    ) -> dict[str, Any]:
        """The view of the reconciliation, once something holds of it."""
        turn = iter(range(10_000))

        async def seen() -> dict[str, Any] | None:
            worker = next(turn) % len(self.operators)
            view = await self.operators[worker].get("/api/ops/reconciliation")
            return view if "run" in view and not view["incomplete"] and holds(view) else None

        return await until(seen, what, within_s)
