"""Applies facts from Stripe in whatever order they come: final states win, stale facts change nothing."""

from enum import StrEnum
from typing import Final

from agents.payments.refunds import end_refund, start_deferred_refund
from agents.payments.transitions import PaymentDecisionBuilder
from models import ids
from models.events import EventType, PaymentDispute, PaymentRequiresAction
from models.graphs import CAPTURED_STATUSES, PaymentStatus, RefundStatus
from models.payment import CLOSED_DISPUTES, Refund, is_charge_of_attempt
from models.stripe_facts import DisputeFacts, IntentFacts, RefundFacts
from models.times import to_rfc3339

S, R = PaymentStatus, RefundStatus
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
MAX_CARDS: Final = 20
"""Of one payment: operators find it by their last digits."""

REFUND_STATUS: Final = {"succeeded": R.SUCCEEDED, "failed": R.FAILED, "canceled": R.CANCELLED}
DISPUTE_STEPS: Final = (
    "warning_needs_response", "warning_under_review", "needs_response", "under_review",
)  # fmt: skip
"""In the order that Stripe goes through them: an inquiry may become a dispute."""


class FactSource(StrEnum):
    """How fresh a fact is.

    RESULT: the answer to a pending effect. LOOKUP: asked for after the attempt's confirm had ended.
    WEBHOOK, STALE: may be older than what is known.
    """

    RESULT = "RESULT"
    LOOKUP = "LOOKUP"
    WEBHOOK = "WEBHOOK"
    STALE = "STALE"


ASKED: Final = frozenset({FactSource.RESULT, FactSource.LOOKUP})


def apply_intent(
    builder: PaymentDecisionBuilder, seen: IntentFacts, origin: FactSource, attempt: int
) -> None:
    """Apply the state of the payment intent.

    attempt: that the fact was asked for (RESULT of a confirm, LOOKUP), else 0.
    """
    if builder.payment is None and not builder.open_intent(seen):
        return
    payment = builder.known_payment
    if seen.intent_id != payment.stripe_intent_id:
        builder.report_anomaly("WRONG_INTENT", f"{seen.intent_id} is not this payment's intent")
        return
    _record_card(builder, seen)
    match seen.status:
        case "succeeded":
            if payment.status not in CAPTURED_STATUSES:
                _apply_captured(builder, seen)
        case "canceled":
            if payment.status in {S.PENDING, S.PROCESSING, S.FAILED}:
                builder.cancelled(seen)
            elif payment.status in CAPTURED_STATUSES:
                why = "Stripe says canceled, but captured before"
                builder.report_anomaly("CANCELLED_AFTER_CAPTURE", why)
        case "requires_payment_method" | "requires_confirmation":
            _apply_failed_attempt(builder, seen, origin, attempt)
        case _:
            _apply_in_progress(builder, seen, origin, attempt)


def _record_card(builder: PaymentDecisionBuilder, seen: IntentFacts) -> None:
    cards = builder.work.cards
    if seen.card_last4 and seen.card_last4 not in cards and len(cards) < MAX_CARDS:
        builder.change(cards=(*cards, seen.card_last4))


def _apply_captured(builder: PaymentDecisionBuilder, seen: IntentFacts) -> None:
    """Complete the payment; an amount that was changed at Stripe by hand is reported in the audit.

    An amount of another currency can't be in this payment's books: it stays as it is, is listed as
    stuck, and the reconciliation shows Stripe's charge as a difference.
    """
    payment = builder.known_payment
    if seen.currency != payment.currency:
        why = f"captured in {seen.currency}, not {payment.currency}"
        builder.report_anomaly("WRONG_CURRENCY", why)
        return
    if seen.amount_received != payment.amount:
        why = f"captured {seen.amount_received}, not {payment.amount} (minor units)"
        builder.report_anomaly("WRONG_AMOUNT", why)
    builder.complete(seen)
    start_deferred_refund(builder)


def _apply_in_progress(
    builder: PaymentDecisionBuilder, seen: IntentFacts, origin: FactSource, attempt: int
) -> None:
    payment = builder.known_payment
    is_of_other = origin in ASKED and attempt not in {0, payment.attempt}
    if payment.status is S.PENDING:
        builder.begin_attempt()
    elif payment.status is not S.PROCESSING or builder.confirm_in_flight or is_of_other:
        return
    payment = builder.known_payment
    if seen.status == "requires_action" and payment.next_action is None:
        action = PaymentRequiresAction(
            payment_id=payment.payment_id,
            attempt=payment.attempt,
            next_action=seen.next_action or "unknown",
        )
        builder.apply(EventType.PAYMENT_REQUIRES_ACTION, action)


def _apply_failed_attempt(
    builder: PaymentDecisionBuilder, seen: IntentFacts, origin: FactSource, attempt: int
) -> None:
    """Decide whether an intent without a payment method ends the current attempt, or is of an earlier one."""
    payment, error = builder.known_payment, seen.error
    charge = error.charge_id if error else None
    if payment.status is S.PENDING and error:
        builder.begin_attempt()
    elif payment.status is not S.PROCESSING:
        return
    elif builder.confirm_in_flight:
        _request_lookup(builder, origin)
        return
    payment = builder.known_payment
    is_fresh = origin in ASKED and attempt == payment.attempt
    elsewhere = {c for n, c in builder.work.charges.items() if n != payment.attempt}
    if (
        not is_fresh
        and payment.status is S.PROCESSING
        and not is_charge_of_attempt(charge, payment.attempt, builder.work.charges)
    ):
        if charge not in elsewhere:
            _request_lookup(builder, origin)
        return
    if error is None or charge in elsewhere:
        builder.fail(NOT_SUBMITTED, "no_charge", None)
    else:
        builder.fail(error.decline_code or error.code, error.code, charge)


def _request_lookup(builder: PaymentDecisionBuilder, origin: FactSource) -> None:
    """Request a look-up at Stripe (app/stripe/reconciler.py): the fact may be of the current attempt.

    While its confirm is under way, only once that has been answered.
    """
    if origin not in ASKED:
        builder.change(in_doubt_since=builder.at_ms)


def apply_refund(builder: PaymentDecisionBuilder, seen: RefundFacts) -> None:
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
    refund = _refund_of(builder, seen)
    earlier = payment.refunds.get(refund.refund_id)
    if earlier and (earlier.stripe_refund_id or refund.status is not R.SUCCEEDED):
        if earlier.status is R.SUCCEEDED and refund.status in {R.FAILED, R.CANCELLED}:
            end_refund(builder, refund.model_copy(update={"status": R.FAILED}))
    elif refund.status is R.PENDING:
        builder.change(refunds={**builder.work.refunds, refund.refund_id: refund})
    elif refund.status is R.SUCCEEDED and payment.refunded + refund.amount > payment.captured:
        # Stripe gives nothing back twice: another refund has failed, which we have not heard of yet.
        if refund.refund_id not in builder.work.refunds:
            why = f"{seen.stripe_refund_id} exceeds what was captured"
            builder.report_anomaly("OVER_REFUND", why)
        waits = refund.model_copy(update={"status": R.PENDING})
        builder.change(refunds={**builder.work.refunds, refund.refund_id: waits})
    else:
        end_refund(builder, refund)


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
    return base.model_copy(
        update={
            "amount": seen.amount,
            "status": REFUND_STATUS.get(seen.status, R.PENDING),
            "stripe_refund_id": seen.stripe_refund_id,
            "failure_reason": seen.failure_reason,
        }
    )


def apply_dispute(builder: PaymentDecisionBuilder, seen: DisputeFacts) -> None:
    """Apply the state of a dispute; a closed one stays closed, an older state is dropped."""
    payment = builder.known_payment
    known = payment.disputes.get(seen.dispute_id)
    is_closing = seen.status in CLOSED_DISPUTES
    if known and (
        not known.is_open or known.status == seen.status or _step(seen.status) < _step(known.status)
    ):
        return
    data = PaymentDispute(
        payment_id=payment.payment_id,
        order_id=builder.order_id,
        **seen.model_dump(exclude={"intent_id", "charge_id", "evidence_due_by"}),
        evidence_due_by=to_rfc3339(seen.evidence_due_by * 1000) if seen.evidence_due_by else None,
    )
    if known is None and is_closing:
        opened = data.model_copy(update={"status": "needs_response"})
        builder.apply(EventType.PAYMENT_DISPUTED, opened)
    kind = EventType.PAYMENT_DISPUTE_CLOSED if is_closing else EventType.PAYMENT_DISPUTED
    builder.apply(kind, data)
    if not builder.known_payment.is_refund_blocked:
        start_deferred_refund(builder)


def _step(status: str) -> int:
    return DISPUTE_STEPS.index(status) if status in DISPUTE_STEPS else len(DISPUTE_STEPS)
