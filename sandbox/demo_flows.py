"""The demo's three flows over HTTP, and the events and statuses that each must end with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.card_numbers import DECLINED, VISA
from sandbox.customer import Customer

Play = Callable[[Customer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: how it is played, the last status of order and payment, and the events between."""

    title: str
    play: Play
    order: str
    payment: str
    events: tuple[str, ...]


async def _pay(customer: Customer) -> None:
    await customer.open_payment()
    await customer.confirm(VISA)
    await customer.wait_status("PENDING")


async def _decline_and_retry(customer: Customer) -> None:
    await customer.open_payment()
    answer = await customer.confirm(DECLINED)
    if answer["status"] != "FAILED":
        raise AssertionError(f"a declined card was answered with {answer}")
    await customer.wait_status("PAYMENT_FAILED")
    await customer.confirm(VISA)
    await customer.wait_status("PENDING")


async def _cancel_and_refund(customer: Customer) -> None:
    await _pay(customer)
    await customer.cancel()
    await customer.wait_status("REFUNDED")


FLOWS: Final = (
    Flow(
        "Paid", _pay, "PENDING", "COMPLETED",
        ("PAYMENT_INITIATED", "ORDER_PAYMENT_PENDING", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED",
         "ORDER_CREATED"),
    ),
    Flow(
        "Declined, then paid on retry", _decline_and_retry, "PENDING", "COMPLETED",
        ("PAYMENT_INITIATED", "ORDER_PAYMENT_PENDING", "PAYMENT_PROCESSING", "PAYMENT_FAILED",
         "ORDER_PAYMENT_FAILED", "PAYMENT_PROCESSING", "ORDER_PAYMENT_PENDING", "PAYMENT_COMPLETED",
         "ORDER_CREATED"),
    ),
    Flow(
        "Cancelled and refunded", _cancel_and_refund, "REFUNDED", "REFUNDED",
        ("PAYMENT_INITIATED", "ORDER_PAYMENT_PENDING", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED",
         "ORDER_CREATED", "ORDER_CANCELLED", "PAYMENT_REFUND_INITIATED", "PAYMENT_REFUNDED",
         "ORDER_REFUNDED"),
    ),
)  # fmt: skip


async def play(flow: Flow, customer: Customer) -> tuple[list[dict[str, Any]], list[str]]:
    """Play a flow; returns the order's timeline and what differs from the expectation (nothing: passed)."""
    await flow.play(customer)
    last = flow.events[-1]
    await customer.wait_until(
        lambda order: order["payment"]["status"] == flow.payment, f"payment {flow.payment}"
    )
    history: list[dict[str, Any]] = []

    async def told() -> list[dict[str, Any]] | None:
        rows = await customer.timeline()
        return rows if any(row["eventType"] == last for row in rows) else None

    history = await customer.until(told, f"{last} in the timeline")
    order = await customer.look()
    wrong = []
    if order["status"] != flow.order:
        wrong.append(f"the order is {order['status']}, expected {flow.order}")
    if order["payment"]["status"] != flow.payment:
        wrong.append(f"the payment is {order['payment']['status']}, expected {flow.payment}")
    types = [row["eventType"] for row in history if row["eventType"] in set(flow.events)]
    if sorted(types) != sorted(flow.events):
        wrong.append(f"the events are {types}, expected {list(flow.events)}")
    return history, wrong
