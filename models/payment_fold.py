"""Folds a payment from its events."""

from typing import Any

from msgspec.structs import replace

from models.events import (
    Event,
    EventType,
    PaymentActionFinished,
    PaymentCancelled,
    PaymentCompleted,
    PaymentDetailsAdded,
    PaymentDispute,
    PaymentFailed,
    PaymentFraudWarning,
    PaymentInitiated,
    PaymentProcessing,
    PaymentRefund,
    PaymentRequiresAction,
    PaymentReview,
)
from models.fraud import FraudWarning, Review
from models.graphs import PaymentStatus
from models.payment import CLOSED_DISPUTES, Dispute, Payment, Refund
from models.times import from_rfc3339


def evolve(payment: Payment | None, event: Event) -> Payment:
    """Fold one event of the payments service into the payment. Raises ValueError for a foreign first event."""
    at, data = event.occurred_at_ms, event.data
    if payment is None:
        if not isinstance(data, PaymentInitiated):
            raise ValueError(f"a payment begins with PAYMENT_INITIATED, not {event.event_type}")
        return Payment(
            order_id=event.order_id, payment_id=event.payment_id or "", user_id=data.user_id,
            status=PaymentStatus.PENDING, amount=data.amount, currency=data.currency,
            stripe_intent_id=data.stripe_intent_id, sequence=event.sequence,
            occurred_at=at, initiated_at=at,
        )  # fmt: skip
    changed = {"sequence": event.sequence, "occurred_at": at}
    return replace(payment, **changed, **_changes(payment, event.event_type, data, at))


def _changes(  # noqa: PLR0911 - one return a type
    payment: Payment, event_type: EventType, data: Any, at: int
) -> dict[str, Any]:
    match data:
        case PaymentProcessing():
            return {
                "status": PaymentStatus.PROCESSING, "attempt": data.attempt, "next_action": None,
                "failure_reason": None, "failure_code": None,
            }  # fmt: skip
        case PaymentRequiresAction():
            return {"next_action": data.next_action}
        case PaymentCompleted():
            return {
                "status": PaymentStatus.COMPLETED, "captured": data.amount, "next_action": None,
                "stripe_charge_id": data.stripe_charge_id, "receipt_url": data.receipt_url,
                "completed_at": at, "cancel_reason": None,
            }  # fmt: skip
        case PaymentFailed():
            return {
                "status": PaymentStatus.FAILED, "next_action": None,
                "failure_reason": data.failure_reason, "failure_code": data.failure_code,
            }  # fmt: skip
        case PaymentCancelled():
            return {
                "status": PaymentStatus.CANCELLED, "next_action": None,
                "cancel_reason": data.cancel_reason,
            }  # fmt: skip
        case PaymentRefund():
            return _refunded(payment, event_type, data, at)
        case PaymentDispute():
            dispute = _disputed(payment, event_type, data, at)
            return {"disputes": {**payment.disputes, data.dispute_id: dispute}}
        case PaymentFraudWarning():
            return {
                "fraud_warnings": {
                    **payment.fraud_warnings,
                    data.warning_id: _warned(payment, data, at),
                }
            }
        case PaymentReview():
            review = _reviewed(payment, event_type, data, at)
            return {"reviews": {**payment.reviews, data.review_id: review}}
        case PaymentActionFinished():
            return {"next_action": None}
        case PaymentDetailsAdded():
            return {
                "stripe_charge_id": data.stripe_charge_id or payment.stripe_charge_id,
                "receipt_url": data.receipt_url or payment.receipt_url,
            }
    raise ValueError(f"not an event of a payment: {event_type}")


def _disputed(payment: Payment, event_type: EventType, data: PaymentDispute, at: int) -> Dispute:
    is_closed = event_type is EventType.PAYMENT_DISPUTE_CLOSED
    known = payment.disputes.get(data.dispute_id)
    return Dispute(
        dispute_id=data.dispute_id, amount=data.amount, status=data.status, reason=data.reason,
        is_charge_refundable=data.is_charge_refundable, evidence_due_by=data.evidence_due_by,
        opened_at=known.opened_at if known else at, changed_at=at,
        is_closed=True if is_closed and data.status not in CLOSED_DISPUTES else None,
    )  # fmt: skip


def _warned(payment: Payment, data: PaymentFraudWarning, at: int) -> FraudWarning:
    known = payment.fraud_warnings.get(data.warning_id)
    return FraudWarning(
        warning_id=data.warning_id, fraud_type=data.fraud_type, is_actionable=data.is_actionable,
        warned_at=known.warned_at if known else at, changed_at=at,
    )  # fmt: skip


def _reviewed(payment: Payment, event_type: EventType, data: PaymentReview, at: int) -> Review:
    known = payment.reviews.get(data.review_id)
    return Review(
        review_id=data.review_id, is_open=event_type is EventType.PAYMENT_REVIEW_OPENED,
        opened_reason=data.opened_reason, closed_reason=data.closed_reason,
        opened_at=known.opened_at if known else at, changed_at=at,
    )  # fmt: skip


def _refunded(
    payment: Payment, event_type: EventType, data: PaymentRefund, at: int
) -> dict[str, Any]:
    refund = Refund(
        refund_id=data.refund_id, amount=data.amount, reason=data.reason, by=data.by,
        status=data.status, stripe_refund_id=data.stripe_refund_id,
        failure_reason=data.failure_reason, retry_of=data.retry_of, ended_at=at,
        requested_at=from_rfc3339(data.requested_at) if data.requested_at else None,
    )  # fmt: skip
    changes: dict[str, Any] = {"refunds": {**payment.refunds, data.refund_id: refund}}
    is_reversed = payment.status is PaymentStatus.REFUNDED and not data.is_all_refunded
    if event_type is EventType.PAYMENT_REFUNDED:
        changes["status"] = PaymentStatus.REFUNDED
    elif event_type is EventType.PAYMENT_REFUND_FAILED and is_reversed:
        changes["status"] = PaymentStatus.COMPLETED
    return changes
