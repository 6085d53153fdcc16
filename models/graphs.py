"""The state graphs, once, as data: decide, docs and tests are made from them."""

from enum import StrEnum
from itertools import pairwise
from typing import Final


class PaymentStatus(StrEnum):
    """States of a payment; CANCELLED is set only on Stripe's word."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class OrderStatus(StrEnum):
    """States of an order."""

    PAYMENT_PENDING = "PAYMENT_PENDING"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    PREPARING = "PREPARING"
    READY_FOR_PICKUP = "READY_FOR_PICKUP"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class DeliveryStatus(StrEnum):
    """States of a delivery."""

    PENDING = "PENDING"
    ASSIGNED = "ASSIGNED"
    PICKED_UP = "PICKED_UP"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class RefundStatus(StrEnum):
    """States of a refund; a succeeded one can still fail."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


P, O, D, R = PaymentStatus, OrderStatus, DeliveryStatus, RefundStatus

PAYMENT_GRAPH: Final[dict[PaymentStatus | None, frozenset[PaymentStatus]]] = {
    None: frozenset({P.PENDING}),
    P.PENDING: frozenset({P.PROCESSING, P.CANCELLED}),
    P.PROCESSING: frozenset({P.COMPLETED, P.FAILED, P.CANCELLED}),
    P.FAILED: frozenset({P.PROCESSING, P.CANCELLED}),
    P.COMPLETED: frozenset({P.REFUNDED}),
    P.REFUNDED: frozenset({P.COMPLETED}),
    # Stripe never captures a cancelled payment intent; should it report one captured all the same, it counts.
    P.CANCELLED: frozenset({P.PROCESSING}),
}

CAPTURED_STATUSES: Final = frozenset({P.COMPLETED, P.REFUNDED})
"""States of a payment whose money has been captured."""

ORDER_PATH: Final = (
    O.PENDING, O.CONFIRMED, O.PREPARING, O.READY_FOR_PICKUP, O.OUT_FOR_DELIVERY, O.DELIVERED,
)  # fmt: skip
"""What a paid order goes through, in order."""

ORDER_GRAPH: Final[dict[OrderStatus | None, frozenset[OrderStatus]]] = {
    None: frozenset({O.PAYMENT_PENDING}),
    O.PAYMENT_PENDING: frozenset({O.PENDING, O.PAYMENT_FAILED, O.CANCELLED}),
    O.PAYMENT_FAILED: frozenset({O.PAYMENT_PENDING, O.CANCELLED}),
    **{here: frozenset({after, O.CANCELLED}) for here, after in pairwise(ORDER_PATH)},
    O.DELIVERED: frozenset(),
    O.CANCELLED: frozenset({O.REFUNDED}),
    O.REFUNDED: frozenset({O.CANCELLED}),
}

DELIVERY_GRAPH: Final[dict[DeliveryStatus | None, frozenset[DeliveryStatus]]] = {
    None: frozenset({D.PENDING}),
    D.PENDING: frozenset({D.ASSIGNED, D.CANCELLED}),
    D.ASSIGNED: frozenset({D.PICKED_UP, D.CANCELLED}),
    D.PICKED_UP: frozenset({D.DELIVERED, D.CANCELLED}),
    D.DELIVERED: frozenset(),
    D.CANCELLED: frozenset(),
}

REFUND_GRAPH: Final[dict[RefundStatus, frozenset[RefundStatus]]] = {
    R.PENDING: frozenset({R.SUCCEEDED, R.FAILED, R.CANCELLED}),
    R.SUCCEEDED: frozenset({R.FAILED}),
    R.FAILED: frozenset({R.SUCCEEDED}),  # only where Stripe had refused the request, not the refund
    R.CANCELLED: frozenset(),
}

ENDED_ORDER: Final = frozenset({O.DELIVERED, O.CANCELLED, O.REFUNDED})
ORDER_TERMINAL: Final = frozenset({O.DELIVERED, O.REFUNDED})
PAID_ORDER: Final = frozenset(ORDER_PATH)
UNPAID_ORDER: Final = frozenset({O.PAYMENT_PENDING, O.PAYMENT_FAILED})
