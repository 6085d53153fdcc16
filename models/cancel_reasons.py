"""Why orders and payments are cancelled and refunded: what may be said, and what decides something."""

from typing import Final, Literal, get_args

PAYMENT_EXPIRED: Final = "PAYMENT_EXPIRED"
"""Reason of a cancel that is asked for because the payment's deadline has passed."""
PAID_TOO_LATE: Final = "PAID_TOO_LATE"
"""Reason of an order's end: its money came so long after its deadline that nobody waits for the meal."""
HEARD_TOO_LATE: Final = "HEARD_TOO_LATE"
"""Reason of an order's end: its money came in time, but we learned of it when nobody waits for the meal."""
CustomerReason = Literal["CUSTOMER_REQUEST", "CHANGED_MIND", "ORDERED_BY_MISTAKE", "TOO_SLOW"]
CancelReason = Literal[CustomerReason, "OPERATOR_REQUEST"]
"""Reasons go into events, so nobody writes one freely."""
RefundReason = Literal[
    "OPERATOR_REQUEST", "ITEM_MISSING", "QUALITY", "LATE", "duplicate", "fraudulent",
    "requested_by_customer",
]  # fmt: skip
"""Of a refund that an operator asks for; the last three are Stripe's."""
CUSTOMER_REASONS: Final[tuple[str, ...]] = get_args(CustomerReason)
"""Reasons of a cancel that customers choose from."""
OPERATOR_REQUEST: Final = "OPERATOR_REQUEST"
"""Reason of a cancel by an operator."""
TOO_MANY_ATTEMPTS: Final = "TOO_MANY_ATTEMPTS"
"""Reason of a cancel, because too many cards were tried."""
