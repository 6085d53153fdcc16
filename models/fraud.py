"""What Stripe tells of a payment that may be fraud: warnings of the card's issuer, and reviews of its own."""

from models.messages import Message


class FraudWarning(Message):
    """An early fraud warning: the card's issuer says that its customer did not make this payment.

    fraudType: Stripe's word. isActionable: it has received no dispute and is not fully refunded, says Stripe.
    warnedAt, changedAt: milliseconds since the epoch, as we heard of it.
    """

    warning_id: str
    fraud_type: str
    is_actionable: bool
    warned_at: int
    changed_at: int


class Review(Message):
    """A review: the payment waits to be looked at, at Stripe, by a rule of Radar or somebody's wish.

    openedReason, closedReason: Stripe's words. openedAt, changedAt: milliseconds since the epoch, as we
    heard of it.
    """

    review_id: str
    is_open: bool
    opened_reason: str
    closed_reason: str | None = None
    shown_if_set = ("closed_reason",)
    opened_at: int
    changed_at: int
