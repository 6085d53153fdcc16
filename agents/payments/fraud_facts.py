"""Applies what Stripe says of fraud warnings and reviews, by the table in agents/payments/fact_rules.py."""

from agents.payments.fact_rules import FRAUD_RULES, FraudNews, FraudState, Rule, age_of
from agents.payments.transitions import PaymentDecisionBuilder
from models.events import EventType, PaymentFraudWarning, PaymentReview
from models.messages import Message
from models.stripe_facts import FraudWarningFacts, ReviewFacts


def apply_fraud_warning(builder: PaymentDecisionBuilder, seen: FraudWarningFacts) -> None:
    """Apply the state of an early fraud warning."""
    payment = builder.known_payment
    if seen.intent_id not in {None, payment.stripe_intent_id}:
        why = f"{seen.warning_id} does not belong to this payment"
        builder.report_anomaly("WRONG_FRAUD_WARNING", why)
        return
    known = payment.fraud_warnings.get(seen.warning_id)
    data = PaymentFraudWarning(
        payment_id=builder.payment_id, order_id=builder.order_id, warning_id=seen.warning_id,
        fraud_type=seen.fraud_type, is_actionable=seen.is_actionable,
    )  # fmt: skip
    is_known_open = known.is_actionable if known else None
    if _must_apply(builder, seen.warning_id, seen.as_of, is_known_open, is_open=seen.is_actionable):
        builder.apply(EventType.PAYMENT_FRAUD_WARNING, data)


def apply_review(builder: PaymentDecisionBuilder, seen: ReviewFacts) -> None:
    """Apply the state of a review."""
    payment = builder.known_payment
    if seen.intent_id not in {None, payment.stripe_intent_id}:
        why = f"{seen.review_id} does not belong to this payment"
        builder.report_anomaly("WRONG_REVIEW", why)
        return
    known = payment.reviews.get(seen.review_id)
    data: Message = PaymentReview(
        payment_id=builder.payment_id, order_id=builder.order_id, review_id=seen.review_id,
        opened_reason=seen.opened_reason, closed_reason=seen.closed_reason,
    )  # fmt: skip
    is_known_open = known.is_open if known else None
    if _must_apply(builder, seen.review_id, seen.as_of, is_known_open, is_open=seen.is_open):
        opened, closed = EventType.PAYMENT_REVIEW_OPENED, EventType.PAYMENT_REVIEW_CLOSED
        builder.apply(opened if seen.is_open else closed, data)


def _must_apply(
    builder: PaymentDecisionBuilder,
    stripe_id: str,
    as_of: int | None,
    is_known_open: bool | None,  # noqa: FBT001 - None is a third state
    *,
    is_open: bool,
) -> bool:
    state = FraudState.UNKNOWN
    if is_known_open is not None:
        state = FraudState.OPEN if is_known_open else FraudState.CLOSED
    news = FraudNews.OPEN if is_open else FraudNews.CLOSED
    age = age_of(as_of, builder.work.seen_at.get(stripe_id), is_answer=False)
    builder.record_seen(stripe_id, as_of)
    return FRAUD_RULES[state][news].by(age) is Rule.APPLY
