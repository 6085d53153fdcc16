"""Transitions of a payment: each emits its events and folds them, so no state changes without an event."""

from typing import Any, Final

from agents.decision import DecisionBuilder
from agents.payments.fact_rules import FactSource
from models.commands import PAYMENT_EXPIRED
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
from models.messages import Message
from models.payment import Effect, EffectKind, Payment, PaymentRecord, PaymentWork
from models.payment_fold import evolve
from models.stripe_facts import IntentFacts
from models.transition import Input

S = PaymentStatus

MAX_PAYMENT_ATTEMPTS: Final = 20
"""Of one payment, those at Stripe without a confirm of ours too: bounds the testing of stolen cards, and is
more than mistyping takes."""


class PaymentDecisionBuilder(DecisionBuilder):
    """One decision about a payment."""

    def __init__(self, state: PaymentRecord, record: Input) -> None:
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
        return PaymentRecord.model_construct(payment=self.payment, work=self.work)

    def next_state(self) -> PaymentRecord:
        """The record as it is to be stored."""
        work = self.work
        waits = {
            "HELD": work.held, "INITIATION": work.initiation, "REFUND_WANTED": work.refund_wanted,
            "DOUBTED_DISPUTES": work.doubted_disputes,
        }  # fmt: skip
        is_open = self.payment is not None and self.payment.status in {S.PROCESSING, S.FAILED}
        since = {name: work.waiting_since.get(name, self.at_ms) for name in waits if waits[name]}
        self.change(
            audit_sequence=self.audit_sequence,
            correlation_id=self.correlation_id,
            occurred_at=self.at_ms,
            in_doubt_since=work.in_doubt_since if is_open else None,
            waiting_since=since,
        )
        return self.state

    def change(self, **changes: Any) -> None:
        """Change what is under way."""
        self.work = self.work.model_copy(update=changes)

    def apply(self, event_type: EventType, data: Message) -> None:
        """Emit an event of the payment and fold it."""
        self.payment = evolve(self.payment, self.emit(event_type, data))

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
        effect = effect.model_copy(update={"traceparent": self.traceparent})
        self.change(effects={**self.work.effects, effect.effect_id: effect})
        known = {"effect_id": effect.effect_id, "idempotency_key": effect.idempotency_key}
        self.emit(EventType.EFFECT_REQUESTED, EffectRequested(**known, kind=effect.kind, by=by))

    def finish_effect(self, effect_id: str) -> None:
        """End a pending effect."""
        self.change(effects={k: e for k, e in self.work.effects.items() if k != effect_id})

    @property
    def confirm_in_flight(self) -> bool:
        """A confirm of the current attempt is pending: its own answer decides, not an older webhook."""
        attempt = self.payment.attempt if self.payment else 0
        return any(
            effect.kind is EffectKind.CONFIRM and effect.attempt == attempt
            for effect in self.work.effects.values()
        )

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
            **asked.model_dump(exclude={"error"}),
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
        if self.known_payment.status is not S.PROCESSING:
            self.begin_attempt()
        payment, late_cancel = self.known_payment, self.work.cancel
        completed = PaymentCompleted(
            payment_id=payment.payment_id,
            order_id=self.order_id,
            amount=seen.amount_received,
            currency=payment.currency,
            stripe_charge_id=seen.charge_id,
            receipt_url=seen.receipt_url,
            attempt=payment.attempt,
            cancel_requested=None if late_cancel == PAYMENT_EXPIRED else late_cancel,
        )
        self.apply(EventType.PAYMENT_COMPLETED, completed)
        self.record_charge_id(seen.charge_id)
        self.change(cancel=None)

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
