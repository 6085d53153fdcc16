"""Applies what Stripe says of a payment intent, by the table in agents/payments/fact_rules.py."""

from typing import Final

from agents.payments.fact_rules import (
    INTENT_RULES,
    Age,
    FactSource,
    IntentNews,
    IntentState,
    Rule,
    age_of,
)
from agents.payments.refunds import start_deferred_refund
from agents.payments.transitions import PaymentDecisionBuilder
from models.cancel_reasons import TOO_MANY_ATTEMPTS
from models.events import (
    EventType,
    PaymentActionFinished,
    PaymentDetailsAdded,
    PaymentRequiresAction,
)
from models.graphs import CAPTURED_STATUSES, PaymentStatus, RefundStatus
from models.payment import is_charge_of_attempt
from models.stripe_facts import IntentFacts

S, R = PaymentStatus, RefundStatus
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
IN_PROGRESS: Final = frozenset({IntentNews.ACTION, IntentNews.PROCESSING})
MAX_CARDS: Final = 20
"""Of one payment: operators find it by their last digits."""


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
    builder.known_again()
    _record_card(builder, seen)
    state, news = _intent_state(builder), _intent_news(builder, seen)
    if origin.is_asked and news in IN_PROGRESS and attempt not in {0, payment.attempt}:
        return  # of an attempt that has ended
    is_answer = builder.is_answer(origin) and attempt == payment.attempt
    if origin is FactSource.RESULT and payment.status is S.FAILED:
        is_answer = False  # the attempt has ended otherwise meanwhile
    age = age_of(seen.as_of, builder.work.seen_at.get(seen.intent_id), is_answer=is_answer)
    _apply_rule(builder, seen, state, news, age, origin)


def _apply_rule(
    builder: PaymentDecisionBuilder,
    seen: IntentFacts,
    state: IntentState,
    news: IntentNews,
    age: Age,
    origin: FactSource,
) -> None:
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
            if not origin.is_asked:
                # app/stripe/reconciler.py asks; while a confirm is under way, once that has been answered.
                builder.change(in_doubt_since=builder.at_ms)


def _intent_state(builder: PaymentDecisionBuilder) -> IntentState:
    payment = builder.known_payment
    if payment.status in CAPTURED_STATUSES:
        return IntentState.CAPTURED
    if payment.status is not S.PROCESSING:
        return IntentState[payment.status.name]
    if builder.state.is_confirm_pending:
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
        if builder.attempts_left <= 0:
            _give_up(builder)
            return
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
    builder.change(failed_at_stripe=(*work.failed_at_stripe, charge))
    if builder.attempts_left <= 0:
        _give_up(builder)


def _give_up(builder: PaymentDecisionBuilder) -> None:
    if not builder.work.cancel:
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
