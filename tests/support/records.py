"""Records of payments and orders as the indexes get them."""

from __future__ import annotations

from typing import Any

from models import ids
from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.order import Order, OrderRecord
from models.payment import (
    Payment,
    PaymentRecord,
    PaymentWork,
    Refund,
)


def record(order_id: str, **given: Any) -> PaymentRecord:
    known = {
        "order_id": order_id, "payment_id": ids.payment_id(order_id), "user_id": "u",
        "status": PaymentStatus.COMPLETED, "amount": 1000, "currency": "INR", "stripe_intent_id": "pi",
        "sequence": 3, "occurred_at": 1, "initiated_at": 1, "captured": 1000,
    }  # fmt: skip
    work = given.pop("work", PaymentWork())
    return PaymentRecord(payment=Payment(**(known | given)), work=work)


def refund(refund_id: str, amount: int, status: RefundStatus, **more: Any) -> Refund:
    return Refund(
        refund_id=refund_id, amount=amount, reason="LATE", by="orders", status=status,
        requested_at=5, **more,
    )  # fmt: skip


def order(order_id: str, status: OrderStatus) -> OrderRecord:
    made = Order(
        order_id=order_id, payment_id="p", user_id="u", restaurant_id="r", amount=1000,
        currency="INR", status=status, sequence=1, occurred_at=1, reached={status: 1},
    )  # fmt: skip
    return OrderRecord(order=made)
