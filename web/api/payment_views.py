"""What the API shows of a payment, its refunds and its disputes."""

from models.declines import customer_decline_code, decline_text
from models.messages import Message
from models.payment import Dispute, PaymentRecord, Refund
from models.times import to_rfc3339, to_rfc3339_or_none
from models.wording import customer_reason, role_of
from web.http.answers import Money

REQUIRES_ACTION = "REQUIRES_ACTION"


class RefundView(Message):
    """One refund; by: the role that asked. retryOf: the failed refund that it repeats."""

    refund_id: str
    status: str
    amount: Money
    reason: str
    by: str
    failure_reason: str | None = None
    stripe_refund_id: str | None = None
    requested_at: str | None = None
    ended_at: str | None = None
    retry_of: str | None = None


class DisputeView(Message):
    """One dispute; status is Stripe's word. blocksRefunds: Stripe refuses refunds meanwhile."""

    dispute_id: str
    status: str
    amount: Money
    reason: str
    is_open: bool
    blocks_refunds: bool
    evidence_due_by: str | None = None
    opened_at: str | None = None
    changed_at: str | None = None


class PaymentView(Message):
    """A payment; net: captured - refunded - disputed + reinstated, pending refunds apart."""

    order_id: str
    payment_id: str
    status: str
    attempt: int
    amount: Money
    captured: Money
    refunded: Money
    refund_pending: Money
    refundable: Money
    disputed: Money
    net: Money
    refunds: tuple[RefundView, ...]
    disputes: tuple[DisputeView, ...]
    failure_reason: str | None = None
    failure_code: str | None = None
    next_action: str | None = None
    cancel_reason: str | None = None
    receipt_url: str | None = None
    stripe_intent_id: str
    stripe_charge_id: str | None = None
    initiated_at: str
    completed_at: str | None = None
    updated_at: str


def refund_view(refund: Refund, currency: str) -> RefundView:
    """Show a refund."""
    return RefundView(
        refund_id=refund.refund_id,
        status=refund.status,
        amount=Money.of(refund.amount, currency),
        reason=refund.reason,
        by=role_of(refund.by),
        failure_reason=refund.failure_reason,
        stripe_refund_id=refund.stripe_refund_id,
        requested_at=to_rfc3339_or_none(refund.requested_at),
        ended_at=to_rfc3339_or_none(refund.ended_at),
        retry_of=refund.retry_of,
    )


def dispute_view(dispute: Dispute, currency: str) -> DisputeView:
    """Show a dispute."""
    return DisputeView(
        dispute_id=dispute.dispute_id,
        status=dispute.status,
        amount=Money.of(dispute.amount, currency),
        reason=dispute.reason,
        is_open=dispute.is_open,
        blocks_refunds=dispute.is_open and not dispute.is_charge_refundable,
        evidence_due_by=dispute.evidence_due_by,
        opened_at=to_rfc3339_or_none(dispute.opened_at),
        changed_at=to_rfc3339_or_none(dispute.changed_at),
    )


def payment_view(record: PaymentRecord) -> PaymentView | None:
    """Show a payment; None until Stripe has opened it."""
    payment = record.payment
    if payment is None:
        return None
    currency = payment.currency

    def money(amount: int) -> Money:
        return Money.of(amount, currency)

    return PaymentView(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=payment.status,
        attempt=payment.attempt,
        amount=money(payment.amount),
        captured=money(payment.captured),
        refunded=money(payment.refunded),
        refund_pending=money(record.refund_pending),
        refundable=money(record.refundable),
        disputed=money(payment.disputed),
        net=money(payment.net),
        refunds=tuple(refund_view(refund, currency) for refund in record.refunds().values()),
        disputes=tuple(dispute_view(each, currency) for each in payment.disputes.values()),
        failure_reason=decline_text(payment.failure_reason),
        failure_code=payment.failure_reason,
        next_action=payment.next_action,
        cancel_reason=payment.cancel_reason,
        receipt_url=payment.receipt_url,
        stripe_intent_id=payment.stripe_intent_id,
        stripe_charge_id=payment.stripe_charge_id,
        initiated_at=to_rfc3339(payment.initiated_at),
        completed_at=to_rfc3339_or_none(payment.completed_at),
        updated_at=to_rfc3339(payment.occurred_at),
    )


def for_customer(view: PaymentView) -> PaymentView:
    """The payment without what its customer must not read: why a bank suspects a thief, or we a fraud."""
    refunds = tuple(
        refund.model_copy(update={"reason": customer_reason(refund.reason)})
        for refund in view.refunds
    )
    return view.model_copy(
        update={"failure_code": customer_decline_code(view.failure_code), "refunds": refunds}
    )
