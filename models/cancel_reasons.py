"""Why orders and payments are cancelled, where the reason decides something."""

from typing import Final

PAYMENT_EXPIRED: Final = "PAYMENT_EXPIRED"
"""Reason of a cancel that is asked for because the payment's deadline has passed."""
PAID_TOO_LATE: Final = "PAID_TOO_LATE"
"""Reason of an order's end: its money came so long after its deadline that nobody waits for the meal."""
HEARD_TOO_LATE: Final = "HEARD_TOO_LATE"
"""Reason of an order's end: its money came in time, but we learned of it when nobody waits for the meal."""
CUSTOMER_REASONS: Final = ("CUSTOMER_REQUEST", "CHANGED_MIND", "ORDERED_BY_MISTAKE", "TOO_SLOW")
"""Reasons of a cancel that customers choose from."""
OPERATOR_REQUEST: Final = "OPERATOR_REQUEST"
"""Reason of a cancel by an operator."""
TOO_MANY_ATTEMPTS: Final = "TOO_MANY_ATTEMPTS"
"""Reason of a cancel, because too many cards were tried."""
