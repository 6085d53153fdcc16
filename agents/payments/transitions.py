"""Transitions of a payment: each emits its events and folds them, so no state changes without an event."""

from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from agents.decision import DecisionBuilder
from agents.payments.fact_rules import FactSource
from models.cancel_reasons import HEARD_TOO_LATE, PAID_TOO_LATE, PAYMENT_EXPIRED
from models.events import (
    AnomalySeen,
    EffectRequested,
    EventType,
    PaymentCancelled,
    PaymentCompleted,
    PaymentFailed,
    PaymentInitiated,
    PaymentProcessing,
)
from models.graphs import PaymentStatus
from models.messages import Message, fields_of
from models.payment import Effect, EffectKind, Payment, PaymentRecord, PaymentWork
from models.payment_fold import evolve
from models.payment_methods import DEFAULT_METHODS, OfferedMethods
from models.stripe_facts import IntentFacts
from models.times import HOUR_MS, MINUTE_MS, to_rfc3339
from models.transition import Input

S = PaymentStatus
OPEN_STATUSES: Final = frozenset({S.PENDING, S.PROCESSING, S.FAILED})

MAX_PAYMENT_ATTEMPTS: Final = 20
"""Of one payment, those at Stripe without a confirm of ours too: bounds the testing of stolen cards, and is
more than mistyping takes."""


LATE_NEWS_MS: Final = HOUR_MS
"""News that money came in time, so long after that time, is of no use to the kitchen any more."""


@dataclass(frozen=True, slots=True)
class PaymentPolicy:
    """What may be paid with, and how late.

    methods: what Stripe's Payment Element may offer. expires_ms: how long a payment may take from its
    opening, where its order has told no deadline. late_ms: so long after that its money is still taken; later
    it goes back.
    """

    methods: OfferedMethods = DEFAULT_METHODS
    expires_ms: int = 30 * MINUTE_MS
    late_ms: int = 15 * MINUTE_MS


DEFAULT_PAYMENT_POLICY: Final = PaymentPolicy()


class PaymentDecisionBuilder(DecisionBuilder):
    """One decision about a payment."""

    def __init__(
        self, state: PaymentRecord, record: Input, policy: PaymentPolicy = DEFAULT_PAYMENT_POLICY
    ) -> None:
        self.policy = policy
        self.payment: Payment | None = state.payment
        self.work: PaymentWork = state.work
        sequence = self.payment.sequence if self.payment else 0
        self.is_unchanged = True
        """Since the look-up that is being decided was asked for."""
        super().__init__("payments", record, self.work, sequence)

    @property
    def known_payment(self) -> Payment:
        """The payment, where it must exist."""
        assert self.payment is not None
        return self.payment

    @property
    def state(self) -> PaymentRecord:
        """The record as it stands in the middle of the decision."""
        return PaymentRecord(payment=self.payment, work=self.work)

    def next_state(self) -> PaymentRecord:
        """The record as it is to be stored."""
        work = self.work
        waits = {
            "HELD": work.held, "INITIATION": work.initiation, "REFUND_WANTED": work.refund_wanted,
            "DOUBTED_DISPUTES": work.doubted_disputes,
        }  # fmt: skip
        status = self.payment.status if self.payment else None
        is_open = status in {S.PROCESSING, S.FAILED}
        since = {name: work.waiting_since.get(name, self.at_ms) for name in waits if waits[name]}
        self.change(
            audit_sequence=self.audit_sequence,
            correlation_id=self.correlation_id,
            occurred_at=self.at_ms,
            in_doubt_since=work.in_doubt_since if is_open else None,
            unknown_since=work.unknown_since if self._is_asked_about else None,
            waiting_since=since,
        )
        return self.state

    def change(self, **changes: Any) -> None:
        """Change what is under way."""
        self.work = replace(self.work, **changes)

    def apply(self, event_type: EventType, data: Message) -> None:
        """Emit an event of the payment and fold it."""
        self.payment = evolve(self.payment, self.emit(event_type, data))

    @property
    def _is_asked_about(self) -> bool:
        """Stripe has something left to tell of the payment itself, its refunds or its disputes."""
        is_open = self.payment is not None and self.payment.status in OPEN_STATUSES
        return is_open or bool(self.work.refunds or self.work.doubted_disputes)

    @property
    def due_ms(self) -> int:
        """The order's deadline, in milliseconds since the epoch; where it told none, the setting's."""
        due_at = self.work.due_at
        return (
            self.known_payment.initiated_at + self.policy.expires_ms if due_at is None else due_at
        )

    @property
    def bound_ms(self) -> int:
        """Money that comes later goes back; in milliseconds since the epoch."""
        return self.due_ms + self.policy.late_ms

    @property
    def attempts_left(self) -> int:
        """Before the limit, those at Stripe without a confirm of ours counted."""
        made = self.payment.attempt if self.payment else 0
        return MAX_PAYMENT_ATTEMPTS - made - len(self.work.failed_at_stripe)

    def is_answer(self, origin: FactSource) -> bool:
        """Whether a fact answers a question, and nothing has changed since the question was put."""
        return origin is FactSource.RESULT or (origin is FactSource.LOOKUP and self.is_unchanged)

    def record_seen(self, stripe_id: str, as_of: int | None) -> None:
        """Keep the time of the newest fact of an object (seconds since the epoch, by Stripe's clock)."""
        if as_of is not None and as_of > self.work.seen_at.get(stripe_id, -1):
            self.change(seen_at={**self.work.seen_at, stripe_id: as_of})

    def report_anomaly(self, code: str, detail: str) -> None:
        """Put something that should not happen into the audit."""
        self.emit(EventType.ANOMALY_SEEN, AnomalySeen(code=code, detail=detail))

    def start_effect(self, effect: Effect, by: str | None = None) -> None:
        """Make a Stripe write pending; the effects service makes it once this record is durable."""
        effect = replace(effect, traceparent=self.traceparent)
        self.change(effects={**self.work.effects, effect.effect_id: effect})
        known = {"effect_id": effect.effect_id, "idempotency_key": effect.idempotency_key}
        self.emit(EventType.EFFECT_REQUESTED, EffectRequested(**known, kind=effect.kind, by=by))

    def finish_effect(self, effect_id: str) -> None:
        """End a pending effect."""
        self.change(effects={k: e for k, e in self.work.effects.items() if k != effect_id})

    def open_intent(self, seen: IntentFacts) -> bool:
        """Begin the payment with Stripe's intent, if that is what was asked for."""
        asked = self.work.initiation
        if asked is None or (seen.amount, seen.currency) != (asked.amount, asked.currency):
            why = f"{seen.intent_id} is not the payment intent that was asked for"
            self.report_anomaly("WRONG_INTENT", why)
            return False
        initiated = PaymentInitiated(
            order_id=self.order_id,
            stripe_intent_id=seen.intent_id,
            **fields_of(asked, but={"error"}),
        )
        self.apply(EventType.PAYMENT_INITIATED, initiated)
        self.change(initiation=None)
        if self.work.cancel and seen.status not in {"succeeded", "canceled"}:
            self.request_cancel()
        return True

    def begin_attempt(self) -> None:
        """PENDING | FAILED | CANCELLED -> PROCESSING, as the next attempt."""
        payment = self.known_payment
        processing = PaymentProcessing(
            payment_id=payment.payment_id,
            stripe_intent_id=payment.stripe_intent_id,
            attempt=payment.attempt + 1,
        )
        self.apply(EventType.PAYMENT_PROCESSING, processing)

    def complete(self, seen: IntentFacts) -> None:
        """Whatever the state: the money is there; the missing steps are emitted in order.

        A refund that waited for it is the caller's to start.
        """
        cancelled = self._cancelled_before(seen)
        if self.known_payment.status is not S.PROCESSING:
            self.begin_attempt()
        payment = self.known_payment
        completed = PaymentCompleted(
            payment_id=payment.payment_id,
            order_id=self.order_id,
            amount=seen.amount_received,
            currency=payment.currency,
            stripe_charge_id=seen.charge_id,
            receipt_url=seen.receipt_url,
            attempt=payment.attempt,
            cancel_requested=cancelled,
        )
        self.apply(EventType.PAYMENT_COMPLETED, completed)
        self.record_charge_id(seen.charge_id)
        self.change(cancel=None)

    def _cancelled_before(self, seen: IntentFacts) -> str | None:
        """Why the order is not made although the money came; None: it is made.

        The time of the success is Stripe's own; where it was in time and we hear of it much later, as after an
        outage, there is no use in the meal either.
        """
        payment, cancel = self.known_payment, self.work.cancel
        if payment.status is S.CANCELLED:
            return payment.cancel_reason
        if cancel not in {None, PAYMENT_EXPIRED}:
            return cancel
        said_s = seen.as_of if seen.charged_at is None else seen.charged_at
        paid_at = self.at_ms if said_s is None else min(said_s * 1000, self.at_ms)
        if paid_at <= self.bound_ms and self.at_ms <= self.bound_ms + LATE_NEWS_MS:
            return None
        code = HEARD_TOO_LATE if paid_at <= self.bound_ms else PAID_TOO_LATE
        due, paid, heard = map(to_rfc3339, (self.due_ms, paid_at, self.at_ms))
        why = f"due {due}, paid {paid} by Stripe's time, heard of {heard}"
        self.report_anomaly(code, why)
        return code

    def fail(self, reason: str, code: str, charge_id: str | None) -> None:
        """PROCESSING -> FAILED; a cancel that waited for this moment is asked for again."""
        payment = self.known_payment
        failed = PaymentFailed(
            payment_id=payment.payment_id,
            order_id=self.order_id,
            failure_reason=reason,
            failure_code=code,
            stripe_charge_id=charge_id,
            attempt=payment.attempt,
            cancel_requested=self.work.cancel,
        )
        self.apply(EventType.PAYMENT_FAILED, failed)
        self.change(in_doubt_since=None)
        self.record_charge_id(charge_id)
        if self.work.cancel:
            self.request_cancel()

    def record_charge_id(self, charge_id: str | None) -> None:
        """Record the charge of the current attempt."""
        attempt = self.known_payment.attempt
        if charge_id and charge_id not in self.work.charges.values():
            self.change(charges={**self.work.charges, attempt: charge_id})

    def cancelled(self, seen: IntentFacts) -> None:
        """Stripe says that the intent is cancelled."""
        reason = self.work.cancel or seen.cancellation_reason or "CANCELLED_AT_STRIPE"
        known = {"payment_id": self.known_payment.payment_id, "order_id": self.order_id}
        cancelled = PaymentCancelled(**known, cancel_reason=reason)
        self.apply(EventType.PAYMENT_CANCELLED, cancelled)
        self.change(cancel=None)

    def unknown_at_stripe(self) -> None:
        """Stripe knows no such intent: nothing more is asked until an operator acts, or Stripe speaks of it."""
        if self.work.unknown_since is None and self._is_asked_about:
            intent_id = self.known_payment.stripe_intent_id
            why = f"Stripe does not know {intent_id}: is the key of this account and mode?"
            self.report_anomaly("UNKNOWN_INTENT", why)
            self.change(unknown_since=self.at_ms, in_doubt_since=None)

    def known_again(self) -> None:
        """Stripe speaks of the payment: an answer that it knows none was not true, or is so no more."""
        if self.work.unknown_since is not None:
            self.change(unknown_since=None)

    def ask_for_wanted_cancel(self) -> None:
        """Ask for a cancel that is wanted, where none is being asked for: Stripe did not know the payment."""
        is_open = self.payment is not None and self.payment.status in OPEN_STATUSES
        if is_open and self.work.cancel and self.work.unknown_since is None:
            self.request_cancel()

    def close(self, reason: str) -> None:
        """End a payment that Stripe does not know; should its money come all the same, it goes back.

        An answer to what is under way is of no use any more, but what it tells of the payment counts.
        """
        for effect in list(self.work.effects.values()):
            if effect.kind in {EffectKind.CONFIRM, EffectKind.CANCEL}:
                self.finish_effect(effect.effect_id)
        known = {"payment_id": self.known_payment.payment_id, "order_id": self.order_id}
        self.apply(EventType.PAYMENT_CANCELLED, PaymentCancelled(**known, cancel_reason=reason))
        self.change(cancel=None, unknown_since=None, in_doubt_since=None)

    def request_cancel(self, by: str | None = None) -> None:
        """Ask Stripe to cancel, unless it is being asked or there is nothing to cancel yet."""
        payment = self.payment
        effect_id = f"cancel:{self.payment_id}"
        if payment is None or effect_id in self.work.effects:
            return
        tries = self.work.cancel_tries + 1
        self.change(cancel_tries=tries)
        self.start_effect(
            Effect(
                effect_id=effect_id,
                kind=EffectKind.CANCEL,
                tries=tries,
                intent_id=payment.stripe_intent_id,
                requested_at=self.at_ms,
                body={"cancellation_reason": "requested_by_customer"},
            ),
            by,
        )
