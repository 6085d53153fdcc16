"""Applies what Stripe says of a refund, by the table in agents/payments/fact_rules.py."""

from typing import Final

from msgspec.structs import replace

from agents.payments.fact_rules import (
    REFUND_RULES,
    FactSource,
    RefundNews,
    RefundState,
    Rule,
    age_of,
)
from agents.payments.refunds import end_refund
from agents.payments.transitions import PaymentDecisionBuilder
from models import ids
from models.graphs import RefundStatus
from models.payment import Refund
from models.stripe_facts import RefundFacts

R = RefundStatus
REFUND_STATUS: Final = {
    RefundNews.SUCCEEDED: R.SUCCEEDED, RefundNews.FAILED: R.FAILED, RefundNews.CANCELED: R.CANCELLED,
}  # fmt: skip
REFUND_STATES: Final = {R.PENDING: RefundState.PENDING, R.SUCCEEDED: RefundState.SUCCEEDED}


def apply_refund(builder: PaymentDecisionBuilder, seen: RefundFacts, origin: FactSource) -> None:
    """Apply the state of a refund, ours or one made in Stripe's dashboard.

    A refund that failed at Stripe stays failed; one whose request was refused, but which Stripe shows as
    succeeded all the same, counts.
    """
    payment = builder.payment
    is_of_it = payment and payment.captured and seen.intent_id in {None, payment.stripe_intent_id}
    if payment is None or not is_of_it:
        why = f"{seen.stripe_refund_id} does not belong to this payment"
        builder.report_anomaly("WRONG_REFUND", why)
        return
    builder.known_again()
    refund = _refund_of(builder, seen)
    news, known_as_of = _refund_news(seen), builder.work.seen_at.get(seen.stripe_refund_id)
    age = age_of(seen.as_of, known_as_of, is_answer=builder.is_answer(origin))
    rule = REFUND_RULES[_refund_state(builder, refund.refund_id)][news].by(age)
    builder.record_seen(seen.stripe_refund_id, seen.as_of)
    if rule is not Rule.APPLY:
        return
    earlier = payment.refunds.get(refund.refund_id)
    if earlier and earlier.status is R.SUCCEEDED:
        end_refund(builder, replace(refund, status=R.FAILED))
    elif refund.status is R.SUCCEEDED and payment.refunded + refund.amount > payment.captured:
        # Stripe gives nothing back twice: another refund has failed, which we have not heard of yet.
        if refund.refund_id not in builder.work.refunds:
            why = f"{seen.stripe_refund_id} exceeds what was captured"
            builder.report_anomaly("OVER_REFUND", why)
        waits = replace(refund, status=R.PENDING)
        builder.change(refunds={**builder.work.refunds, refund.refund_id: waits})
    elif refund.status is R.PENDING:
        builder.change(refunds={**builder.work.refunds, refund.refund_id: refund})
    else:
        end_refund(builder, refund)


def _refund_news(seen: RefundFacts) -> RefundNews:
    """A status that Stripe has added since is one of a refund that is not over."""
    return RefundNews(seen.status) if seen.status in set(RefundNews) else RefundNews.PENDING


def _refund_state(builder: PaymentDecisionBuilder, refund_id: str) -> RefundState:
    refund = builder.state.refunds().get(refund_id)
    if refund is None:
        return RefundState.UNKNOWN
    if refund.status is R.PENDING and refund.stripe_refund_id is None:
        return RefundState.REQUESTED
    if refund.status is R.FAILED and refund.stripe_refund_id is None:
        return RefundState.REFUSED
    return REFUND_STATES.get(refund.status, RefundState.ENDED)


def _refund_of(builder: PaymentDecisionBuilder, seen: RefundFacts) -> Refund:
    """Give the refund as it stands after this fact; one not made by us gets an id of its own."""
    known = builder.state.refunds()
    by_stripe_id = {r.stripe_refund_id: r for r in known.values() if r.stripe_refund_id}
    refund_id = seen.refund_id or ids.refund_id(seen.stripe_refund_id)
    mine = known.get(refund_id) or by_stripe_id.get(seen.stripe_refund_id)
    base = mine or Refund(
        refund_id=refund_id, amount=seen.amount, reason=seen.reason or "MADE_AT_STRIPE", by="stripe",
        status=R.PENDING, requested_at=builder.at_ms,
    )  # fmt: skip
    return replace(
        base,
        amount=seen.amount,
        status=REFUND_STATUS.get(_refund_news(seen), R.PENDING),
        stripe_refund_id=seen.stripe_refund_id,
        failure_reason=seen.failure_reason,
        requires_action=True if _refund_news(seen) is RefundNews.ACTION else None,
    )
