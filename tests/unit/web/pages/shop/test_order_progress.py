"""The steps of an order as its page shows them."""

from __future__ import annotations

import pytest

from models.graphs import OrderStatus, RefundStatus
from models.order import PLACED
from web.api.order_views import OrderView
from web.http.answers import Money
from web.pages.formats import ORDER_STATUS_TEXTS
from web.pages.shop.order_progress import (
    COURIER_STAGE,
    HEADLINES,
    REFUND_WORDS,
    progress_of,
)

AT = "2026-11-23T07:00:00.000Z"


def test_every_state_has_words() -> None:
    states = {PLACED, *OrderStatus}
    assert set(HEADLINES) == states
    assert set(ORDER_STATUS_TEXTS) == states
    assert set(REFUND_WORDS) == set(RefundStatus)
    assert set(COURIER_STAGE) <= set(OrderStatus)


@pytest.mark.parametrize(
    ("status", "current", "done"),
    [
        (PLACED, "Waiting for payment", 1),
        ("PAYMENT_PENDING", "Waiting for payment", 1),
        ("PAYMENT_FAILED", "Payment failed", 1),
        ("PENDING", "Paid", 1),
        ("CONFIRMED", "Accepted by the kitchen", 2),
        ("PREPARING", "Being prepared", 3),
        ("READY_FOR_PICKUP", "Ready for the courier", 4),
        ("OUT_FOR_DELIVERY", "On its way", 5),
        ("DELIVERED", "Delivered", 7),
        ("CANCELLED", "Cancelled", 2),
        ("REFUNDED", "Refunded", 3),
    ],
)
def test_the_step_where_the_order_is_is_the_current_one(
    status: str, current: str, done: int
) -> None:
    reached = {"PENDING": AT, "CANCELLED": AT, "REFUNDED": AT}
    view = OrderView(
        order_id="o", reference="7K3M-9QXV", payment_id="p", status=status,
        amount=Money.of(1, "INR"), updated_at=AT, reached=reached, deadlines={}, versions={}, placed_at=AT,
    )  # fmt: skip
    steps = progress_of(view).steps
    assert [step.label for step in steps if step.is_current] == [current]
    assert sum(step.state == "done" for step in steps) == done
    here = [step.is_current for step in steps].index(True)
    assert {step.state for step in steps[here + 1 :]} <= {"upcoming"}
    assert "upcoming" not in {step.state for step in steps[: here + 1]}
