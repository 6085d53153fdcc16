"""Applies facts from Stripe in whatever order they come, by the table in agents/payments/fact_rules.py."""

from enum import StrEnum
from typing import Final

from agents.payments.fact_rules import (
    DISPUTE_RULES,
    INTENT_RULES,
    REFUND_RULES,
    DisputeNews,
    DisputeState,
    IntentNews,
    IntentState,
    RefundNews,
    RefundState,
    Rule,
    age_of,
)
from agents.payments.refunds import end_refund, start_deferred_refund
from agents.payments.transitions import MAX_PAYMENT_ATTEMPTS, PaymentDecisionBuilder
from models import ids
from models.commands import TOO_MANY_ATTEMPTS
from models.events import (
    EventType,
    PaymentActionFinished,
    PaymentDetailsAdded,
    PaymentDispute,
    PaymentRequiresAction,
)
from models.graphs import CAPTURED_STATUSES, PaymentStatus, RefundStatus
from models.payment import CLOSED_DISPUTES, Dispute, Refund, is_charge_of_attempt
from models.stripe_facts import DisputeFacts, IntentFacts, RefundFacts
from models.times import to_rfc3339

S, R = PaymentStatus, RefundStatus
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
MAX_CARDS: Final = 20
"""Of one payment: operators find it by their last digits."""

REFUND_STATUS: Final = {
    RefundNews.SUCCEEDED: R.SUCCEEDED, RefundNews.FAILED: R.FAILED, RefundNews.CANCELED: R.CANCELLED,
}  # fmt: skip
REFUND_STATES: Final = {R.PENDING: RefundState.PENDING, R.SUCCEEDED: RefundState.SUCCEEDED}
DISPUTE_STEPS: Final = (
    "warning_needs_response", "warning_under_review", "needs_response", "under_review",
)  # fmt: skip
"""In the order that Stripe goes through them: an inquiry may become a dispute."""


class FactSource(StrEnum):
    """Where a fact comes from.

    RESULT: the answer to a pending effect. LOOKUP: asked for after the attempt's confirm had ended.
    STALE: the answer to an effect that is not pending any more.
    """

    RESULT = "RESULT"
    LOOKUP = "LOOKUP"
    WEBHOOK = "WEBHOOK"
    STALE = "STALE"

    @property
    def is_answer(self) -> bool:
        """It was asked for."""
        return self in {FactSource.RESULT, FactSource.LOOKUP}


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
    state, news = _intent_state(builder), _intent_news(builder, seen)
    is_in_progress = news in {IntentNews.ACTION, IntentNews.PROCESSING}
    is_its = attempt == payment.attempt or (attempt == 0 and is_in_progress)
    if origin.is_answer and is_in_progress and not is_its:
        return  # of an attempt that has ended
    # An attempt that has failed meanwhile is not what was asked about.
    is_answer = origin.is_answer and is_its and payment.status is not S.FAILED
    age = age_of(seen.as_of, builder.work.seen_at.get(seen.intent_id), is_answer=is_answer)
    rule = INTENT_RULES[state][news].by(age)
    if rule is not Rule.ASK and state is not IntentState.CONFIRMING:
        builder.record_seen(seen.intent_id, seen.as_of)
    match rule:
        case Rule.APPLY:
            _apply_intent_news(builder, seen, news)
        case Rule.ADD_DETAILS:
            _add_charge(builder, seen)
        case Rule.COUNT:
            _count_failure(builder, seen)
        case Rule.REPORT:
            builder.report_anomaly(
                "CANCELLED_AFTER_CAPTURE", "Stripe says canceled, but captured before"
            )
        case Rule.ASK:
            if state is IntentState.PENDING:
                builder.begin_attempt()
            if not origin.is_answer:
                # app/stripe/reconciler.py asks; while a confirm is under way, once that has been answered.
                builder.change(in_doubt_since=builder.at_ms)


def _intent_state(builder: PaymentDecisionBuilder) -> IntentState:
    payment = builder.known_payment
    if payment.status in CAPTURED_STATUSES:
        return IntentState.CAPTURED
    if payment.status is not S.PROCESSING:
        return IntentState[payment.status.name]
    if builder.confirm_in_flight:
        return IntentState.CONFIRMING
    return IntentState.AT_THE_BANK if payment.next_action else IntentState.PROCESSING


def _intent_news(builder: PaymentDecisionBuilder, seen: IntentFacts) -> IntentNews:
    match seen.status:
        case "succeeded":
            return IntentNews.SUCCEEDED
        case "canceled":
            return IntentNews.CANCELED
        case "requires_action":
            return IntentNews.ACTION
        case "requires_payment_method" | "requires_confirmation":
            if seen.error is None:
                return IntentNews.UNPAID
        case _:
            return IntentNews.PROCESSING
    charge, charges = seen.error.charge_id, builder.work.charges
    # A payment that is PENDING has had no attempt: the failed one is its first.
    attempt = max(1, builder.known_payment.attempt)
    earlier = {known for number, known in charges.items() if number != attempt}
    if charge in {*earlier, *builder.work.failed_at_stripe}:
        return IntentNews.EARLIER
    is_its = is_charge_of_attempt(charge, attempt, charges)
    return IntentNews.DECLINED if is_its else IntentNews.UNPLACED


def _apply_intent_news(
    builder: PaymentDecisionBuilder, seen: IntentFacts, news: IntentNews
) -> None:
    match news:
        case IntentNews.SUCCEEDED:
            _apply_captured(builder, seen)
        case IntentNews.CANCELED:
            builder.cancelled(seen)
        case IntentNews.ACTION | IntentNews.PROCESSING:
            _apply_in_progress(builder, seen)
        case _:
            _apply_failed_attempt(builder, seen, news)


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


def _apply_in_progress(builder: PaymentDecisionBuilder, seen: IntentFacts) -> None:
    """The customer's bank asks, or has its answer; a charge without a confirm of ours is an attempt too."""
    if builder.known_payment.status is not S.PROCESSING:
        builder.begin_attempt()
    payment = builder.known_payment
    payment_id, attempt = payment.payment_id, payment.attempt
    if seen.status == "requires_action":
        action = PaymentRequiresAction(
            payment_id=payment_id, attempt=attempt, next_action=seen.next_action or "unknown"
        )
        builder.apply(EventType.PAYMENT_REQUIRES_ACTION, action)
    elif payment.next_action:
        finished = PaymentActionFinished(payment_id=payment_id, attempt=attempt)
        builder.apply(EventType.PAYMENT_ACTION_FINISHED, finished)


def _apply_failed_attempt(
    builder: PaymentDecisionBuilder, seen: IntentFacts, news: IntentNews
) -> None:
    if builder.known_payment.status is S.PENDING:
        builder.begin_attempt()
    error = seen.error
    if error is None or news is IntentNews.EARLIER:
        builder.fail(NOT_SUBMITTED, "no_charge", None)
    else:
        builder.fail(error.decline_code or error.code, error.code, error.charge_id)


def _count_failure(builder: PaymentDecisionBuilder, seen: IntentFacts) -> None:
    """Cards that are tried with the client secret, past our confirm, have the same limit."""
    charge, work = seen.error.charge_id if seen.error else None, builder.work
    if charge is None or charge in {*work.charges.values(), *work.failed_at_stripe} or work.cancel:
        return
    failed = (*work.failed_at_stripe, charge)
    builder.change(failed_at_stripe=failed)
    if builder.known_payment.attempt + len(failed) >= MAX_PAYMENT_ATTEMPTS:
        builder.change(cancel=TOO_MANY_ATTEMPTS)
        builder.request_cancel()


def _add_charge(builder: PaymentDecisionBuilder, seen: IntentFacts) -> None:
    """Add the charge and the receipt that the payment's completion did not tell."""
    payment = builder.known_payment
    charge_id = seen.charge_id if payment.stripe_charge_id is None else None
    is_of_charge = seen.charge_id in {charge_id, payment.stripe_charge_id}
    receipt_url = seen.receipt_url if payment.receipt_url is None and is_of_charge else None
    if charge_id is None and receipt_url is None:
        return
    details = PaymentDetailsAdded(
        payment_id=payment.payment_id,
        amount=payment.captured,
        currency=payment.currency,
        stripe_charge_id=charge_id,
        receipt_url=receipt_url,
    )
    builder.apply(EventType.PAYMENT_DETAILS_ADDED, details)
    builder.record_charge_id(charge_id)


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
    refund = _refund_of(builder, seen)
    news, known_as_of = _refund_news(seen), builder.work.seen_at.get(seen.stripe_refund_id)
    age = age_of(seen.as_of, known_as_of, is_answer=origin.is_answer)
    rule = REFUND_RULES[_refund_state(builder, refund.refund_id)][news].by(age)
    builder.record_seen(seen.stripe_refund_id, seen.as_of)
    if rule is not Rule.APPLY:
        return
    earlier = payment.refunds.get(refund.refund_id)
    if earlier and earlier.status is R.SUCCEEDED:
        end_refund(builder, refund.model_copy(update={"status": R.FAILED}))
    elif refund.status is R.SUCCEEDED and payment.refunded + refund.amount > payment.captured:
        # Stripe gives nothing back twice: another refund has failed, which we have not heard of yet.
        if refund.refund_id not in builder.work.refunds:
            why = f"{seen.stripe_refund_id} exceeds what was captured"
            builder.report_anomaly("OVER_REFUND", why)
        waits = refund.model_copy(update={"status": R.PENDING})
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
    return base.model_copy(
        update={
            "amount": seen.amount,
            "status": REFUND_STATUS.get(_refund_news(seen), R.PENDING),
            "stripe_refund_id": seen.stripe_refund_id,
            "failure_reason": seen.failure_reason,
            "requires_action": True if _refund_news(seen) is RefundNews.ACTION else None,
        }
    )


def apply_dispute(builder: PaymentDecisionBuilder, seen: DisputeFacts, origin: FactSource) -> None:
    """Apply the state of a dispute: Stripe's latest word, a closed one too may be decided otherwise."""
    payment = builder.payment
    if payment is None or seen.intent_id not in {None, payment.stripe_intent_id}:
        why = f"{seen.dispute_id} does not belong to this payment"
        builder.report_anomaly("WRONG_DISPUTE", why)
        return
    known = payment.disputes.get(seen.dispute_id)
    state = DisputeState.UNKNOWN
    if known:
        state = DisputeState.OPEN if known.is_open else DisputeState.CLOSED
    data = _dispute_data(builder, seen, known)
    news = _dispute_news(seen, data, known)
    known_as_of = builder.work.seen_at.get(seen.dispute_id)
    age = age_of(seen.as_of, known_as_of, is_answer=origin.is_answer)
    doubted = builder.work.doubted_disputes
    match DISPUTE_RULES[state][news].by(age):
        case Rule.ASK:
            if seen.dispute_id not in doubted:
                builder.change(doubted_disputes=(*doubted, seen.dispute_id))
            return
        case Rule.APPLY:
            _apply_dispute_news(builder, data, is_new=known is None, is_closing=_is_closing(seen))
        case Rule.ADD_DETAILS:
            if known and known.evidence_due_by is None and data.evidence_due_by:
                same = {"amount", "status", "reason", "is_charge_refundable"}
                data = data.model_copy(update=known.model_dump(include=same))
                _apply_dispute_news(builder, data, is_new=False, is_closing=not known.is_open)
    builder.record_seen(seen.dispute_id, seen.as_of)
    if origin.is_answer and seen.dispute_id in doubted:
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


def _is_closing(seen: DisputeFacts) -> bool:
    return bool(seen.is_closed) or seen.status in CLOSED_DISPUTES


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
        opened = data.model_copy(update={"status": "needs_response"})
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
