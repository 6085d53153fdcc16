"""What Stripe says of a payment, in whatever order it comes: truth wins, stale news changes nothing."""

from enum import StrEnum
from typing import Final

from models import ids
from models.events import EventType, PaymentDispute, PaymentRequiresAction
from models.graphs import PaymentStatus, RefundStatus
from models.messages import to_rfc3339
from models.payment_state import CLOSED_DISPUTES, Refund
from models.payment_turn import PaymentTurn
from models.stripe_facts import DisputeSeen, IntentSeen, RefundSeen

S, R = PaymentStatus, RefundStatus
MONEY_IS_IN: Final = frozenset({S.COMPLETED, S.REFUNDED})
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
MOST_CARDS: Final = 20
"""Of one payment, by whose last digits it is found."""

REFUND_STATUS: Final = {"succeeded": R.SUCCEEDED, "failed": R.FAILED, "canceled": R.CANCELLED}
DISPUTE_STEPS: Final = (
    "warning_needs_response", "warning_under_review", "needs_response", "under_review",
)  # fmt: skip
"""In the order that Stripe goes through them: an inquiry may become a dispute."""


class Origin(StrEnum):
    """How fresh a fact is.

    RESULT: the answer to a pending effect. LOOKUP: asked for after the attempt's confirm had ended.
    WEBHOOK, STALE: may be older than what is known.
    """

    RESULT = "RESULT"
    LOOKUP = "LOOKUP"
    WEBHOOK = "WEBHOOK"
    STALE = "STALE"


def see_intent(turn: PaymentTurn, seen: IntentSeen, origin: Origin, attempt: int) -> None:
    """Take in the state of the payment intent.

    attempt: that the fact was asked for (RESULT of a confirm, LOOKUP), else 0.
    """
    if turn.payment is None and not turn.open_intent(seen):
        return
    payment = turn.known_payment
    if seen.intent_id != payment.stripe_intent_id:
        turn.anomaly("WRONG_INTENT", f"{seen.intent_id} is not this payment's intent")
        return
    _note_card(turn, seen)
    match seen.status:
        case "succeeded":
            if payment.status not in MONEY_IS_IN:
                _see_captured(turn, seen)
        case "canceled":
            if payment.status in {S.PENDING, S.PROCESSING, S.FAILED}:
                turn.cancelled(seen)
            elif payment.status in MONEY_IS_IN:
                turn.anomaly("CANCELLED_AFTER_CAPTURE", "Stripe says canceled, but captured before")
        case "requires_payment_method" | "requires_confirmation":
            _see_no_charge(turn, seen, origin, attempt)
        case _:
            _see_under_way(turn, seen, origin, attempt)


def _note_card(turn: PaymentTurn, seen: IntentSeen) -> None:
    cards = turn.work.cards
    if seen.card_last4 and seen.card_last4 not in cards and len(cards) < MOST_CARDS:
        turn.change(cards=(*cards, seen.card_last4))


def _see_captured(turn: PaymentTurn, seen: IntentSeen) -> None:
    """The money is in; where somebody has changed the intent by hand, the audit says so.

    An amount of another currency can't be in this payment's books: it stays as it is, is listed as
    stuck, and the reconciliation shows Stripe's charge as a difference.
    """
    payment = turn.known_payment
    if seen.currency != payment.currency:
        turn.anomaly("WRONG_CURRENCY", f"captured in {seen.currency}, not {payment.currency}")
        return
    if seen.amount_received != payment.amount:
        turn.anomaly(
            "WRONG_AMOUNT", f"captured {seen.amount_received}, not {payment.amount} (minor units)"
        )
    turn.complete(seen)


def _see_under_way(turn: PaymentTurn, seen: IntentSeen, origin: Origin, attempt: int) -> None:
    payment = turn.known_payment
    if payment.status is S.PENDING:
        turn.begin_attempt()
    elif (
        payment.status is not S.PROCESSING
        or turn.confirm_in_flight
        or (origin in {Origin.RESULT, Origin.LOOKUP} and attempt not in {0, payment.attempt})
    ):
        return
    payment = turn.known_payment
    if seen.status == "requires_action" and payment.next_action is None:
        action = PaymentRequiresAction(
            payment_id=payment.payment_id,
            attempt=payment.attempt,
            next_action=seen.next_action or "unknown",
        )
        turn.apply(EventType.PAYMENT_REQUIRES_ACTION, action)


def _see_no_charge(turn: PaymentTurn, seen: IntentSeen, origin: Origin, attempt: int) -> None:
    """Tell whether an intent that waits for a payment method ends the current attempt, or is older news."""
    payment, error = turn.known_payment, seen.error
    charge = error.charge_id if error else None
    if payment.status is S.PENDING and error:
        turn.begin_attempt()
    elif payment.status is not S.PROCESSING:
        return
    elif turn.confirm_in_flight:
        _doubt(turn, origin)
        return
    payment = turn.known_payment
    is_fresh = origin in {Origin.RESULT, Origin.LOOKUP} and attempt == payment.attempt
    elsewhere = {c for n, c in turn.work.charges.items() if n != payment.attempt}
    if (
        not is_fresh
        and payment.status is S.PROCESSING
        and not _is_surely_of_this_attempt(turn, charge)
    ):
        if charge not in elsewhere:
            _doubt(turn, origin)
        return
    if error is None or charge in elsewhere:
        turn.fail(NOT_SUBMITTED, "no_charge", None)
    else:
        turn.fail(error.decline_code or error.code, error.code, charge)


def _doubt(turn: PaymentTurn, origin: Origin) -> None:
    """Have Stripe asked (app/reconciler.py) about news that may be of the current attempt.

    While its confirm is under way, only once that has been answered.
    """
    if origin in {Origin.WEBHOOK, Origin.STALE}:
        turn.change(in_doubt_since=turn.at_ms)


def _is_surely_of_this_attempt(turn: PaymentTurn, charge: str | None) -> bool:
    """An unknown charge is this attempt's if every earlier attempt has its own; else the look-up tells."""
    attempt = turn.known_payment.attempt
    if charge is None:
        return False
    if turn.work.charges.get(attempt) == charge:
        return True
    earlier = [turn.work.charges.get(n) for n in range(1, attempt)]
    return None not in earlier and charge not in earlier


def see_refund(turn: PaymentTurn, seen: RefundSeen) -> None:
    """Take in the state of a refund, ours or one made in Stripe's dashboard.

    What Stripe said failed stays so; a refund whose request was refused, but which Stripe shows to have
    succeeded all the same, has taken the money, and counts.
    """
    payment = turn.payment
    if (
        payment is None
        or not payment.captured
        or seen.intent_id not in {None, payment.stripe_intent_id}
    ):
        turn.anomaly("WRONG_REFUND", f"{seen.stripe_refund_id} does not belong to this payment")
        return
    refund = _refund_of(turn, seen)
    earlier = payment.refunds.get(refund.refund_id)
    if earlier and (earlier.stripe_refund_id or refund.status is not R.SUCCEEDED):
        if earlier.status is R.SUCCEEDED and refund.status in {R.FAILED, R.CANCELLED}:
            turn.end_refund(refund.model_copy(update={"status": R.FAILED}))
    elif refund.status is R.PENDING:
        turn.change(refunds={**turn.work.refunds, refund.refund_id: refund})
    elif refund.status is R.SUCCEEDED and payment.refunded + refund.amount > payment.captured:
        # Stripe gives nothing back twice: another refund has failed, which we have not heard of yet.
        if refund.refund_id not in turn.work.refunds:
            turn.anomaly("OVER_REFUND", f"{seen.stripe_refund_id} exceeds what was captured")
        waits = refund.model_copy(update={"status": R.PENDING})
        turn.change(refunds={**turn.work.refunds, refund.refund_id: waits})
    else:
        turn.end_refund(refund)


def _refund_of(turn: PaymentTurn, seen: RefundSeen) -> Refund:
    """Give the refund as it stands after this fact; one not made by us gets an id of its own."""
    known = turn.state.refunds()
    by_stripe_id = {r.stripe_refund_id: r for r in known.values() if r.stripe_refund_id}
    refund_id = seen.refund_id or ids.refund_id(seen.stripe_refund_id)
    mine = known.get(refund_id) or by_stripe_id.get(seen.stripe_refund_id)
    base = mine or Refund(
        refund_id=refund_id, amount=seen.amount, reason=seen.reason or "MADE_AT_STRIPE", by="stripe",
        status=R.PENDING, requested_at=turn.at_ms,
    )  # fmt: skip
    return base.model_copy(
        update={
            "amount": seen.amount,
            "status": REFUND_STATUS.get(seen.status, R.PENDING),
            "stripe_refund_id": seen.stripe_refund_id,
            "failure_reason": seen.failure_reason,
        }
    )


def see_dispute(turn: PaymentTurn, seen: DisputeSeen) -> None:
    """Take in the state of a dispute; a closed one stays closed, an older word is dropped."""
    payment = turn.known_payment
    known = payment.disputes.get(seen.dispute_id)
    is_closing = seen.status in CLOSED_DISPUTES
    if known and (
        not known.is_open or known.status == seen.status or _step(seen.status) < _step(known.status)
    ):
        return
    data = PaymentDispute(
        payment_id=payment.payment_id,
        order_id=turn.order_id,
        dispute_id=seen.dispute_id,
        amount=seen.amount,
        currency=seen.currency,
        status=seen.status,
        reason=seen.reason,
        is_charge_refundable=seen.is_charge_refundable,
        evidence_due_by=to_rfc3339(seen.evidence_due_by * 1000) if seen.evidence_due_by else None,
    )
    if known is None and is_closing:
        opened = data.model_copy(update={"status": "needs_response"})
        turn.apply(EventType.PAYMENT_DISPUTED, opened)
    turn.apply(EventType.PAYMENT_DISPUTE_CLOSED if is_closing else EventType.PAYMENT_DISPUTED, data)
    if not turn.known_payment.is_refund_blocked:
        turn.refund_if_wanted()


def _step(status: str) -> int:
    return DISPUTE_STEPS.index(status) if status in DISPUTE_STEPS else len(DISPUTE_STEPS)
