"""What is played for a recording, part by part: every step that an order, a payment or a message can take."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sandbox.api_client import RefusedError, until
from sandbox.card_numbers import (
    DECLINED,
    INQUIRY,
    REFUND_FAILS,
    REFUND_PENDING,
    THREE_D_SECURE,
    VISA,
)
from sandbox.processes import MAX_WAIT_S
from tests.compatibility.day import Day

AMERICAN, BANK = "blue-door-brooklyn", "pm_usBankAccount_success"


async def deadlines_pass(day: Day) -> None:
    """With short deadlines: nobody pays one order, no kitchen answers another."""
    unpaid = await day.placed("unpaid in time")
    unanswered = await day.paid("no kitchen answered")
    await unpaid.wait_status("CANCELLED")
    await unanswered.wait_status("REFUNDED")


async def delivered(day: Day) -> None:
    """From Pay to Delivered; then parts of the money go back, and the rest."""
    somebody = await day.paid("delivered, then refunded in parts")
    await day.step(somebody, "accept", "start-preparing", "ready")
    courier = await day.staff("courier", "carl")
    for step in ("assign", "pick-up", "deliver"):

        async def taken(step: str = step) -> Any:
            return await courier.deliver(somebody.order_id, step)

        await until(taken, step, MAX_WAIT_S, (404, 409, 503))
    await somebody.wait_status("DELIVERED")
    for amount in (300, 200, None):
        await day.refund(somebody, amount)
    await day.payment(somebody, lambda view: view["net"]["amount"] == 0, "nothing left")


async def declined_and_paid(day: Day) -> None:
    """Two declines: the second message is held, and superseded by that of the success."""
    somebody = await day.placed("declined twice, then paid")
    for _ in range(2):
        answer = await somebody.confirm(DECLINED)
        assert answer["status"] == "FAILED", answer
    await somebody.wait_status("PAYMENT_FAILED")
    await somebody.confirm(VISA)
    await somebody.wait_status("PENDING")


async def declined_only(day: Day) -> None:
    """Stays so, with a message that is held."""
    somebody = await day.placed("declined twice")
    for _ in range(2):
        await somebody.confirm(DECLINED)
    await somebody.wait_status("PAYMENT_FAILED")


async def cancelled(day: Day) -> None:
    """Cancelled unpaid, paid, and by the kitchen; and what is refused."""
    unpaid = await day.placed("cancelled unpaid")
    await unpaid.cancel()
    await unpaid.wait_status("CANCELLED")
    paid = await day.paid("cancelled paid")
    await paid.cancel()
    await paid.wait_status("REFUNDED")
    with suppress(RefusedError):
        await paid.confirm()
    rejected = await day.paid("rejected by the kitchen")
    await day.step(rejected, "reject", body={"reason": "OUT_OF_STOCK"})
    await rejected.wait_status("REFUNDED")
    late = await day.paid("cancelled while it was prepared")
    await day.step(late, "accept", "start-preparing")
    await late.wait_status("PREPARING")
    await day.act(f"/api/orders/{late.order_id}/cancel", {"reason": "OPERATOR_REQUEST"})
    await late.wait_status("REFUNDED")


async def secured(day: Day) -> None:
    """3-D Secure: failed, then succeeded."""
    somebody = await day.placed("3-D Secure failed, then succeeded")
    for succeed in (False, True):
        answer = await somebody.confirm(THREE_D_SECURE)
        assert answer["status"] == "REQUIRES_ACTION", answer
        await somebody.authenticate(answer["clientSecret"], succeed=succeed)
        await somebody.wait_status("PENDING" if succeed else "PAYMENT_FAILED")


async def by_bank(day: Day) -> None:
    """A debit that takes days, in another currency."""
    somebody = await day.placed("paid by bank", AMERICAN)
    body = {"orderId": somebody.order_id, "paymentMethodId": BANK}
    confirming = asyncio.create_task(
        somebody.call("POST", "/api/payments/confirm", body, str(uuid.uuid4()))
    )
    intent = await day.intent(somebody)
    await day.payment(somebody, lambda view: view["status"] == "PROCESSING", "the debit")
    await asyncio.sleep(3)  # Stripe is asked about it meanwhile
    await day.control("/settle", {"payment_intent": intent, "outcome": "succeed"})
    await somebody.wait_status("PENDING")
    await asyncio.gather(confirming, return_exceptions=True)


async def refunds_fail(day: Day) -> None:
    """A refund that fails and is tried again; one that succeeded and fails later."""
    for name, card in (
        ("refund failed, then retried", REFUND_PENDING),
        ("refund reversed", REFUND_FAILS),
    ):
        somebody = await day.paid(name, card)
        await somebody.cancel()
        await somebody.wait_status("CANCELLED" if card == REFUND_PENDING else "REFUNDED")
        view = await day.payment(
            somebody,
            lambda view: view["refunds"] and view["refunds"][0].get("stripeRefundId"),
            "it",
        )
        refund = view["refunds"][0]
        body = {"refund": refund["stripeRefundId"], "outcome": "fail"}
        await day.control("/settle", body)
        await day.payment(
            somebody, lambda view: view["refunds"][0]["status"] == "FAILED", "the failure"
        )
        if card == REFUND_PENDING:
            path = f"/api/payments/{somebody.order_id}/refunds/{refund['refundId']}/retry"
            await day.act(path)
            view = await day.payment(
                somebody, lambda view: len(view["refunds"]) > 1
                and view["refunds"][-1].get("stripeRefundId"), "the second try",
            )  # fmt: skip
            body = {"refund": view["refunds"][-1]["stripeRefundId"], "outcome": "succeed"}
            await day.control("/settle", body)
            await somebody.wait_status("REFUNDED")


async def disputed(day: Day) -> None:
    """An inquiry, a dispute that is lost and one that is won, one open; a refund in the dashboard."""
    asked = await day.paid("asked about by the bank", INQUIRY)
    await day.payment(asked, lambda view: view["disputes"], "the inquiry")
    for outcome in ("lost", "won", None):
        somebody = await day.paid(f"disputed, {outcome or 'undecided'}")
        intent = await day.intent(somebody)
        dispute = await day.control("/disputes", {"payment_intent": intent, "reason": "fraudulent"})
        await day.payment(somebody, lambda view: view["disputes"], "the dispute")
        if outcome:
            body = {"dispute": dispute["id"], "outcome": outcome}
            await day.control("/disputes/close", body)
            await day.payment(
                somebody, lambda view, o=outcome: view["disputes"][0]["status"] == o, outcome
            )
    somebody = await day.paid("refunded in the dashboard")
    intent = await day.intent(somebody)
    await day.control("/dashboard_refund", {"payment_intent": intent, "amount": 500})
    await day.payment(somebody, lambda view: view["refunded"]["amount"] == 500, "the refund")


async def stripe_is_unwell(day: Day) -> None:
    """A confirm without an answer is looked up; a webhook that got lost is found."""
    somebody = await day.placed("confirmed without an answer")
    fault = {"kind": "timeout_after", "method": "POST", "path": "/confirm$", "times": 1}
    await day.control("/faults", fault)
    await somebody.confirm(VISA)
    await somebody.wait_status("PENDING")
    lost = await day.placed("its webhook was lost")
    intent = await day.intent(lost)
    await day.control("/webhooks/rules", {"kind": "lose", "payment_intent": intent, "times": None})
    await lost.confirm(VISA)
    await lost.wait_status("PENDING")

    def is_found(view: Any) -> bool:
        return "run" in view and bool(view["run"].get("missingTotal") or view.get("missing"))

    try:
        await day.has("/api/ops/reconciliation", is_found, "the reconciliation to find it")
    except TimeoutError:
        view = await day.olga.get("/api/ops/reconciliation")
        raise AssertionError(view) from None


async def unreachable(day: Day) -> None:
    """Messages fail: refused for good, tried again, left to an operator who retries."""
    for channel, code in (("EMAIL", 451), ("SMS", 503)):
        await day.mail_fails(channel, 3, code)
    somebody = await day.paid("messages retried by an operator")
    path = f"/api/ops/notifications?order={somebody.order_id}"

    def waiting(view: Any) -> Any:
        found = [n for n in view["notifications"] if n["status"] == "WAITING_FOR_OPERATOR"]
        return found if len(found) == 2 else None

    for notification in await day.has(path, waiting, "two messages that wait"):
        name = notification["notificationId"]
        await day.act(f"/api/ops/notifications/{somebody.order_id}/{name}/retry")
    await day.mail_fails("EMAIL", 1, 550)
    refused = await day.paid("a mail refused for good")
    await day.rest()
    await refused.look()


async def left_as_they_are(day: Day) -> None:
    """Orders that the next worker finds in the midst: to be paid, and of every step of the kitchen."""
    await day.placed("to be paid")
    await day.paid("to be accepted")
    accepted = await day.paid("accepted")
    await day.step(accepted, "accept")
    ready = await day.paid("ready")
    await day.step(ready, "accept", "start-preparing", "ready")
    await day.has("/api/ops/search?q=" + ready.order_id, lambda view: view["orders"], "it")
    await day.act("/api/ops/search", {"q": "asha@example.com"})


LONG: tuple[Callable[[Day], Awaitable[None]], ...] = (
    delivered, declined_and_paid, declined_only, cancelled, secured, by_bank, refunds_fail, disputed,
    stripe_is_unwell, unreachable,
)  # fmt: skip
