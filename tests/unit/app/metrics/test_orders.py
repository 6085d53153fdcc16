"""How long orders take, seen from the records that a worker stores."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from app.metrics.orders import OrderDurations
from models.graphs import OrderStatus, PaymentStatus
from models.order import Order, OrderRecord
from models.payment import Payment, PaymentRecord
from tables import StoredRecord

PAYMENT = Payment(
    order_id="o", payment_id="p", user_id="u", status=PaymentStatus.PENDING, amount=100,
    currency="eur", stripe_intent_id="pi_1", sequence=1, occurred_at=1_000, initiated_at=1_000,
)  # fmt: skip
PAID = replace(PAYMENT, status=PaymentStatus.COMPLETED, completed_at=21_500, occurred_at=21_500)
ORDER = Order(
    order_id="o", payment_id="p", user_id="u", restaurant_id="r", amount=100, currency="eur",
    status=OrderStatus.PAYMENT_PENDING, sequence=1, occurred_at=1_100,
    reached={OrderStatus.PAYMENT_PENDING: 1_100},
)  # fmt: skip
CREATED = replace(
    ORDER, status=OrderStatus.PENDING, reached={**ORDER.reached, OrderStatus.PENDING: 21_540}
)


def see(durations: OrderDurations, *states: Any) -> None:
    for state in states:
        kind = (
            PaymentRecord(payment=state) if isinstance(state, Payment) else OrderRecord(order=state)
        )
        durations.updated(0, "o", StoredRecord("o", 1, kind, {}, {}, None))


def sums(durations: OrderDurations) -> dict[str, float]:
    return {
        sample.name.removeprefix("tiffin_"): sample.value
        for metric in durations.collect()
        for sample in metric.samples
        if sample.name.endswith(("_sum", "_count"))
    }


def test_an_order_that_is_paid_and_created_counts_once() -> None:
    durations = OrderDurations()
    see(durations, PAYMENT, ORDER, PAID, PAID, CREATED, CREATED, PAID)
    assert sums(durations) == {
        "payment_completion_seconds_sum": 20.5,
        "payment_completion_seconds_count": 1,
        "order_creation_seconds_sum": 0.04,
        "order_creation_seconds_count": 1,
    }


def test_an_order_that_was_paid_before_this_worker_had_it_does_not_count() -> None:
    durations = OrderDurations()
    see(durations, PAID, CREATED)
    assert set(sums(durations).values()) == {0}


def test_what_is_under_way_is_forgotten_with_its_partition() -> None:
    durations = OrderDurations()
    see(durations, PAYMENT, ORDER)
    durations.closed(0)
    see(durations, PAID, CREATED)
    assert set(sums(durations).values()) == {0}
