"""Applies what Stripe says of a dispute, by the table in agents/payments/fact_rules.py."""

from typing import Final

from msgspec.structs import replace

from agents.payments.fact_rules import (
    DISPUTE_RULES,
    DisputeNews,
    DisputeState,
    FactSource,
    Rule,
    age_of,
)
from agents.payments.refunds import start_deferred_refund
from agents.payments.transitions import PaymentDecisionBuilder
from models.events import EventType, PaymentDispute
from models.payment import CLOSED_DISPUTES, Dispute
from models.stripe_facts import DisputeFacts
from models.times import to_rfc3339

DISPUTE_STEPS: Final = (
    "warning_needs_response", "warning_under_review", "needs_response", "under_review",
)  # fmt: skip
"""In the order that Stripe goes through them: an inquiry may become a dispute."""


def apply_dispute(builder: PaymentDecisionBuilder, seen: DisputeFacts, origin: FactSource) -> None:
    """Apply the state of a dispute: Stripe's latest word, a closed one too may be decided otherwise."""
    payment = builder.payment
    if payment is None or seen.intent_id not in {None, payment.stripe_intent_id}:
        why = f"{seen.dispute_id} does not belong to this payment"
        builder.report_anomaly("WRONG_DISPUTE", why)
        return
    builder.known_again()
    known = payment.disputes.get(seen.dispute_id)
    state = DisputeState.UNKNOWN
    if known:
        state = DisputeState.OPEN if known.is_open else DisputeState.CLOSED
    data = _dispute_data(builder, seen, known)
    news = _dispute_news(seen, data, known)
    known_as_of = builder.work.seen_at.get(seen.dispute_id)
    is_answer = builder.is_answer(origin)
    age = age_of(seen.as_of, known_as_of, is_answer=is_answer)
    doubted = builder.work.doubted_disputes
    match DISPUTE_RULES[state][news].by(age):
        case Rule.ASK:
            if seen.dispute_id not in doubted:
                builder.change(doubted_disputes=(*doubted, seen.dispute_id))
            return
        case Rule.APPLY:
            is_closing = _is_closing(seen, known)
            _apply_dispute_news(builder, data, is_new=known is None, is_closing=is_closing)
        case Rule.ADD_DETAILS:
            if known and known.evidence_due_by is None and data.evidence_due_by:
                same = ("amount", "status", "reason", "is_charge_refundable")
                data = replace(data, **{name: getattr(known, name) for name in same})
                _apply_dispute_news(builder, data, is_new=False, is_closing=not known.is_open)
    builder.record_seen(seen.dispute_id, seen.as_of)
    if is_answer and seen.dispute_id in doubted:
        builder.change(doubted_disputes=tuple(id for id in doubted if id != seen.dispute_id))


def _dispute_data(
    builder: PaymentDecisionBuilder, seen: DisputeFacts, known: Dispute | None
) -> PaymentDispute:
    due_by = to_rfc3339(seen.evidence_due_by * 1000) if seen.evidence_due_by else None
    return PaymentDispute(
        payment_id=builder.payment_id,
        order_id=builder.order_id,
        dispute_id=seen.dispute_id,
        amount=seen.amount,
        currency=seen.currency,
        status=seen.status,
        reason=seen.reason,
        is_charge_refundable=seen.is_charge_refundable,
        evidence_due_by=due_by or (known.evidence_due_by if known else None),
    )


def _is_closing(seen: DisputeFacts, known: Dispute | None = None) -> bool:
    """It is said to be closed, or is known to be closed with the very same status."""
    stays_closed = known is not None and not known.is_open and seen.status == known.status
    return bool(seen.is_closed) or seen.status in CLOSED_DISPUTES or stays_closed


def _dispute_news(seen: DisputeFacts, data: PaymentDispute, known: Dispute | None) -> DisputeNews:
    if known is None or seen.status != known.status:
        if _is_closing(seen):
            return DisputeNews.CLOSED
        is_back = known is not None and (
            not known.is_open or _step(seen.status) < _step(known.status)
        )
        return DisputeNews.BACKWARD if is_back else DisputeNews.ONWARD
    if _is_closing(seen) and known.is_open:
        return DisputeNews.CLOSED
    compared = ("amount", "reason", "is_charge_refundable", "evidence_due_by")
    is_same = all(getattr(data, name) == getattr(known, name) for name in compared)
    return DisputeNews.SAME if is_same else DisputeNews.CHANGED


def _apply_dispute_news(
    builder: PaymentDecisionBuilder, data: PaymentDispute, *, is_new: bool, is_closing: bool
) -> None:
    if is_new and is_closing:
        opened = replace(data, status="needs_response")
        builder.apply(EventType.PAYMENT_DISPUTED, opened)
    if is_closing and data.status not in CLOSED_DISPUTES:
        builder.report_anomaly(
            "UNKNOWN_DISPUTE_STATUS",
            f"{data.dispute_id} was closed as {data.status}; its money counts as withdrawn",
        )
    builder.apply(
        EventType.PAYMENT_DISPUTE_CLOSED if is_closing else EventType.PAYMENT_DISPUTED, data
    )
    if not builder.known_payment.is_refund_blocked:
        start_deferred_refund(builder)


def _step(status: str) -> int:
    return DISPUTE_STEPS.index(status) if status in DISPUTE_STEPS else len(DISPUTE_STEPS)
