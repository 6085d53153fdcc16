"""The demo's two bad days: a worker killed while Stripe is charging, and webhooks lost or sent twice."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

import aiohttp

from sandbox.api_client import RefusedError
from sandbox.customer import Customer
from sandbox.demo_screen import Screen
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S

NOT_FORWARDED: Final = {"Tiffin-Hop": "1"}
"""Header of a request that a worker may not pass on to another."""
PAID_WEBHOOK: Final = r"^payment_intent\.succeeded$"


class _Stripe:
    """The stand-in's control API, as far as the demo needs it."""

    def __init__(self, customer: Customer, control: str) -> None:
        self._customer, self._control = customer, control

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self._control}{path}"
        async with self._customer.session.request(method, url, json=body) as answer:
            told = await answer.json()
            if answer.status >= 400:
                raise RefusedError(answer.status, told)
            return told

    async def webhook_rule(self, kind: str, intent: str) -> None:
        """What becomes of the next "payment succeeded" about this payment intent."""
        body = {"kind": kind, "events": PAID_WEBHOOK, "payment_intent": intent, "times": 1}
        await self._call("POST", "/webhooks/rules", body)

    async def charge_without_answer(self, payment_id: str) -> str:
        """Stripe will charge this payment's next attempt and never answer; gives the fault's id."""
        body = {
            "kind": "timeout_after",
            "method": "POST",
            "idempotency_key": f"^confirm:{payment_id}:",
        }
        return str((await self._call("POST", "/faults", body))["id"])

    async def is_met(self, fault: str) -> bool | None:
        """True once the fault has struck."""
        faults = await self._call("GET", "/faults")
        return any(each["id"] == fault and each["hits"] for each in faults) or None


async def pay_while_its_worker_dies(customer: Customer, platform: Platform, screen: Screen) -> None:
    """SIGKILL the order's worker after Stripe has charged and before anybody knows; its webhook is lost.

    Raises AssertionError when the payment ends in any way but COMPLETED, TimeoutError when it does not end.
    """
    order = await customer.open_payment()
    stripe = _Stripe(customer, platform.endpoints.control)
    await stripe.webhook_rule("lose", await _intent(customer))
    fault = await stripe.charge_without_answer(order["paymentId"])
    owner = await _owner(customer, platform.endpoints.workers)
    others = [url for n, url in enumerate(platform.endpoints.workers) if n != owner]
    customer.web = others[0]
    paying = asyncio.create_task(customer.pay())
    try:
        await customer.until(lambda: stripe.is_met(fault), "Stripe to charge the card")
        worker = platform.workers[owner]
        name = worker.name.capitalize()
        screen.step(
            f"A customer pays. {name} asks Stripe, which charges the card; its answer is lost."
        )
        pid, ended = worker.pid, len(worker.exits)
        screen.step(
            f"{name} (process {pid}) is killed with SIGKILL before it can write anything down."
        )
        worker.kill()
        await asyncio.to_thread(worker.wait_exits, ended + 1, timeout_s=MAX_WAIT_S)
        if worker.exits[ended] != -signal.SIGKILL:
            raise AssertionError(f"{worker.name} ended with {worker.exits[ended]}, not by SIGKILL")
        screen.step(
            'Stripe\'s webhook "payment succeeded" is dropped, so nobody tells the platform.'
        )
        began = asyncio.get_running_loop().time()
        with screen.waiting(
            "Kafka gives up a silent worker after 8 s; then its orders get another"
        ):
            answer = await paying
        waited = asyncio.get_running_loop().time() - began
    finally:
        paying.cancel()
    if answer["status"] != "COMPLETED":
        raise AssertionError(f"after the crash the payment is {answer}")
    await customer.wait_status("PENDING")
    screen.step(
        f"The order's next worker finds the unfinished charge and asks Stripe: paid, {waited:.1f} s later."
    )


async def pay_while_webhooks_come_twice(
    customer: Customer, platform: Platform, screen: Screen
) -> None:
    """Stripe sends "payment succeeded" twice at the same moment. Raises as the other does."""
    await customer.open_payment()
    stripe = _Stripe(customer, platform.endpoints.control)
    await stripe.webhook_rule("duplicate", await _intent(customer))
    answer = await customer.pay()
    if answer["status"] != "COMPLETED":
        raise AssertionError(f"with its webhook sent twice the payment is {answer}")
    await customer.wait_status("PENDING")
    screen.step('Another customer pays, and "payment succeeded" arrives twice at the same moment.')


async def _intent(customer: Customer) -> str:
    order = await customer.wait_until(lambda seen: "payment" in seen, "the payment intent")
    return str(order["payment"]["stripeIntentId"])


async def _owner(customer: Customer, workers: tuple[str, ...]) -> int:
    """The number of the worker that has the order: the one that answers without asking another."""
    asked = customer.web

    async def found() -> int | None:
        for number, url in enumerate(workers):
            customer.web = url
            try:
                await customer.call("GET", f"/api/orders/{customer.order_id}", **NOT_FORWARDED)
            except (RefusedError, aiohttp.ClientError):
                continue
            return number
        return None

    try:
        return await customer.until(found, "the worker that has the order")
    finally:
        customer.web = asked
