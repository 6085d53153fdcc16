"""A payment's record: what its events say of it, and the work that is under way for it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import field

from models.fraud import FraudWarning, Review
from models.graphs import PaymentStatus, RefundStatus
from models.messages import Message, stored_form
from models.money import rules_of
from models.stripe_facts import (
    DisputeFacts,
    FraudWarningFacts,
    IntentFacts,
    RefundFacts,
    ReviewFacts,
)


class Refund(Message):
    """One refund; amount in minor units; by: who asked ("orders", "operator:...", "stripe").

    requestedAt, endedAt: milliseconds since the epoch. retryOf: the failed refund that it repeats.
    requiresAction: Stripe waits for the customer, and has written to them.
    """

    refund_id: str
    amount: int
    reason: str
    by: str
    status: RefundStatus
    stripe_refund_id: str | None = None
    failure_reason: str | None = None
    requested_at: int | None = None
    ended_at: int | None = None
    retry_of: str | None = None
    requires_action: bool | None = None
    shown_if_set = ("requires_action",)


class Dispute(Message):
    """One dispute; status is Stripe's word.

    openedAt, changedAt: milliseconds since the epoch, as we heard of it. evidenceDueBy: RFC 3339. isClosed:
    Stripe closed it with a status that says nothing of that.
    """

    dispute_id: str
    amount: int
    status: str
    reason: str
    is_charge_refundable: bool = False
    evidence_due_by: str | None = None
    opened_at: int | None = None
    changed_at: int | None = None
    is_closed: bool | None = None
    shown_if_set = ("is_closed",)

    @property
    def is_open(self) -> bool:
        """The bank has not decided yet."""
        return not self.is_closed and self.status not in CLOSED_DISPUTES

    @property
    def withdrawn(self) -> int:
        """What the bank has withdrawn and not reinstated, in minor units."""
        return withdrawn(self.amount, self.status)


CLOSED_DISPUTES: Final = frozenset(
    {"won", "lost", "warning_closed", "prevented", "charge_refunded"}
)
NO_FUNDS_WITHDRAWN: Final = frozenset(
    {
        "won", "warning_needs_response", "warning_under_review", "warning_closed", "prevented",
        "charge_refunded",
    }
)  # fmt: skip
"""An inquiry withdraws nothing, and a dispute that was won has been reinstated. charge_refunded: of old API
versions; the charge was given back instead."""


def withdrawn(amount: int, status: str) -> int:
    """What a dispute of this amount and status has withdrawn and not reinstated, in minor units."""
    return 0 if status in NO_FUNDS_WITHDRAWN else amount


class Payment(Message):
    """What the payment's own events say, and no more: folding them gives exactly this.

    Amounts are minor units; times are milliseconds since the epoch.
    """

    order_id: str
    payment_id: str
    user_id: str
    status: PaymentStatus
    amount: int
    currency: str
    stripe_intent_id: str
    sequence: int
    occurred_at: int
    initiated_at: int
    completed_at: int | None = None
    attempt: int = 0
    next_action: str | None = None
    captured: int = 0
    stripe_charge_id: str | None = None
    receipt_url: str | None = None
    failure_reason: str | None = None
    failure_code: str | None = None
    cancel_reason: str | None = None
    refunds: dict[str, Refund] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    fraud_warnings: Mapping[str, FraudWarning] = field(default_factory=dict)
    reviews: Mapping[str, Review] = field(default_factory=dict)
    shown_if_set = ("fraud_warnings", "reviews")

    @property
    def refunded(self) -> int:
        """Sum of the refunds that succeeded."""
        return sum(r.amount for r in self.refunds.values() if r.status is RefundStatus.SUCCEEDED)

    @property
    def disputed(self) -> int:
        """Sum of the disputes whose money is withdrawn, in minor units."""
        return sum(dispute.withdrawn for dispute in self.disputes.values())

    @property
    def is_refund_blocked(self) -> bool:
        """An open dispute blocks refunds, unless Stripe says that it does not."""
        return any(d.is_open and not d.is_charge_refundable for d in self.disputes.values())

    @property
    def net(self) -> int:
        """Captured - refunded - disputed + reinstated, in minor units."""
        return self.captured - self.refunded - self.disputed


class EffectKind(StrEnum):
    """Writes to Stripe."""

    CREATE_INTENT = "CREATE_INTENT"
    CONFIRM = "CONFIRM"
    CANCEL = "CANCEL"
    REFUND = "REFUND"


class Effect(Message):
    """A Stripe write that is durable before it is made.

    effectId: stable over its tries. body: the request's parameters, as they will be sent, every time.
    intentId: None for CREATE_INTENT. attempt: the payment's, for CONFIRM. requestedAt: milliseconds.
    traceparent: of what asked for it; its result belongs to the same trace.
    """

    effect_id: str
    kind: EffectKind
    tries: int = 1
    intent_id: str | None = None
    attempt: int = 0
    body: dict[str, Any]
    requested_at: int
    traceparent: str | None = None

    @property
    def refund_id(self) -> str:
        """Of a REFUND: our id of the refund."""
        return refund_id_of(self.effect_id)

    @property
    def idempotency_key(self) -> str:
        """Stripe's idempotency key: rises with a try, never changes within one."""
        return f"{self.effect_id}:{self.tries}"


REFUND_EFFECT_PREFIX: Final = "refund:"
"""An effect that makes a refund has its id with this in front."""


def refund_id_of(effect_id: str) -> str:
    """Give the refund that an effect of kind REFUND makes."""
    return effect_id.removeprefix(REFUND_EFFECT_PREFIX)


class Initiation(Message):
    """What orders asked for, until Stripe's payment intent exists."""

    amount: int
    currency: str
    user_id: str
    restaurant_id: str = ""
    error: str | None = None


if TYPE_CHECKING:
    StoredIntentFacts = IntentFacts
    StoredRefundFacts = RefundFacts
    StoredDisputeFacts = DisputeFacts
    StoredFraudWarningFacts = FraudWarningFacts
    StoredReviewFacts = ReviewFacts
else:
    StoredIntentFacts = stored_form(IntentFacts)
    StoredRefundFacts = stored_form(RefundFacts)
    StoredDisputeFacts = stored_form(DisputeFacts)
    StoredFraudWarningFacts = stored_form(FraudWarningFacts)
    StoredReviewFacts = stored_form(ReviewFacts)


class Held(Message):
    """Facts that came before the payment they belong to."""

    source: Literal["webhook"] = "webhook"
    stripe_event_id: str
    intent: StoredIntentFacts | None = None
    refund: StoredRefundFacts | None = None
    dispute: StoredDisputeFacts | None = None
    fraud_warning: StoredFraudWarningFacts | None = None
    review: StoredReviewFacts | None = None


class PaymentWork(Message):
    """Work in progress that no event holds: pending effects and refunds, deferred requests, charges by attempt.

    cancel: reason of a cancel that is wanted. refundWanted: reason of a refund that a dispute blocks.
    charges: attempt -> charge id, where known. cards: last four digits of those that were tried.
    cancelTries: effects made so far to cancel.
    seenAt: id of Stripe's object -> when Stripe said what was last taken of it, in seconds since the epoch.
    doubtedDisputes: Stripe is to be asked how they stand. failedAtStripe: charges that failed without a
    confirm of ours, after the first.
    inDoubtSince: Stripe spoke of the current attempt, or of an earlier one; only a look-up tells. In
    milliseconds since the epoch.
    dueAt: the order's deadline, in milliseconds since the epoch; None: of an earlier version.
    unknownSince: Stripe answered that it knows no such payment intent; in milliseconds since the epoch.
    waitingSince: HELD, INITIATION, REFUND_WANTED, DOUBTED_DISPUTES -> since when, in milliseconds since the
    epoch.
    repairedAt: made anew from its events then, and Stripe has not been asked about it yet; in milliseconds
    since the epoch.
    occurredAt: of the last decision, for the audit's time must not go back either.
    """

    initiation: Initiation | None = None
    effects: dict[str, Effect] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    charges: dict[int, str] = field(default_factory=dict)
    cards: tuple[str, ...] = ()
    cancel: str | None = None
    cancel_tries: int = 0
    refund_wanted: str | None = None
    held: tuple[Held, ...] = ()
    in_doubt_since: int | None = None
    seen_at: Mapping[str, int] = field(default_factory=dict)
    doubted_disputes: tuple[str, ...] = ()
    failed_at_stripe: tuple[str, ...] = ()
    unknown_since: int | None = None
    due_at: int | None = None
    waiting_since: dict[str, int] = field(default_factory=dict)
    repaired_at: int | None = None
    audit_sequence: int = 0
    occurred_at: int = 0
    correlation_id: str = ""


def is_charge_of_attempt(charge_id: str | None, attempt: int, charges: Mapping[int, str]) -> bool:
    """Whether Stripe's last payment error is surely of this attempt; it stays on the intent after the next.

    charge_id: of the error. charges: attempt -> charge, where known. An unknown charge is this attempt's
    only if every earlier attempt has another one; else a look-up at Stripe tells.
    """
    if charge_id is None:
        return False
    if charges.get(attempt) == charge_id:
        return True
    earlier = [charges.get(number) for number in range(1, attempt)]
    return None not in earlier and charge_id not in earlier


class PaymentRecord(Message):
    """State of an order's payment in the payments table."""

    payment: Payment | None = None
    work: PaymentWork = PaymentWork()

    @property
    def refundable(self) -> int:
        """Captured - refunded - pending refunds - withdrawn by disputes, in minor units.

        A dispute may take an amount that is no multiple of the currency's step (the rate may have
        changed), and Stripe refunds multiples alone: less than a step is left over.
        """
        if self.payment is None:
            return 0
        left = max(0, self.payment.net - self.refund_pending)
        return left - left % rules_of(self.payment.currency).step if self.payment.disputed else left

    @property
    def is_confirm_pending(self) -> bool:
        """A confirm of the current attempt is under way: its own answer decides, not an older webhook."""
        attempt = self.payment.attempt if self.payment else 0
        return any(
            effect.kind is EffectKind.CONFIRM and effect.attempt == attempt
            for effect in self.work.effects.values()
        )

    @property
    def refund_pending(self) -> int:
        """Sum of the refunds that are under way, in minor units."""
        return sum(refund.amount for refund in self.work.refunds.values())

    def refunds(self) -> dict[str, Refund]:
        """All refunds, pending ones too."""
        known = self.payment.refunds if self.payment else {}
        return {**known, **self.work.refunds}
