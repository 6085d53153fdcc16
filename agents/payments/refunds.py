"""Refunds of a payment: what operators and cancelled orders ask for, what is made at Stripe, how it ends."""

from typing import Final

from msgspec.structs import replace

from agents.payments.transitions import PaymentDecisionBuilder
from models import ids, money
from models.commands import RefundPayment, RetryRefund
from models.events import EventType, PaymentRefund
from models.graphs import RefundStatus
from models.messages import fields_of
from models.payment import REFUND_EFFECT_PREFIX, Effect, EffectKind, Refund
from models.times import to_rfc3339
from models.transition import Outcome

STRIPE_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})

DISPUTED_CODES: Final = frozenset({"charge_disputed", "refund_disputed_payment"})
"""Stripe refuses a refund because of a dispute, of which we may not have heard yet."""


def refund(builder: PaymentDecisionBuilder, data: RefundPayment) -> Outcome:
    """Refund an amount, or all that is left."""
    refund_id = ids.refund_id(builder.command.command_id)
    made = builder.state.refunds().get(refund_id)
    if made:  # its outcome is forgotten after a day, and so are Stripe's keys; the refund is not
        if data.amount in {None, made.amount}:
            return builder.accept()
        return builder.refuse("IDEMPOTENCY_KEY_REUSED", "It made a refund of another amount.")
    amount = builder.state.refundable if data.amount is None else data.amount
    return _refund_amount(builder, refund_id, amount, data.reason)


RETRY_REFUSALS: Final = {
    RefundStatus.PENDING: ("REFUND_PENDING", "It is under way; wait how it ends."),
    RefundStatus.SUCCEEDED: ("REFUND_SUCCEEDED", "The money is back."),
}


def retry_refund(builder: PaymentDecisionBuilder, data: RetryRefund) -> Outcome:
    """A failed refund has ended at Stripe: a new one repeats it, up to the amount that is left."""
    refunds = builder.state.refunds()
    refund_id = ids.refund_id(builder.command.command_id)
    if refund_id in refunds:
        return builder.accept()
    failed = refunds.get(data.refund_id)
    if failed is None:
        return builder.refuse("REFUND_UNKNOWN", "This payment has no such refund.")
    if failed.status in RETRY_REFUSALS:
        return builder.refuse(*RETRY_REFUSALS[failed.status])
    if any(refund.retry_of == failed.refund_id for refund in refunds.values()):
        return builder.refuse("REFUND_RETRIED", "It was retried; retry that one if it failed.")
    amount = min(failed.amount, builder.state.refundable)
    if payment := builder.payment:
        amount -= amount % money.rules_of(payment.currency).step if payment.disputed else 0
    return _refund_amount(builder, refund_id, amount, failed.reason, failed.refund_id)


def _refund_amount(
    builder: PaymentDecisionBuilder,
    refund_id: str,
    amount: int,
    reason: str,
    retry_of: str | None = None,
) -> Outcome:
    """Start the refund that a command asks for, unless this amount can't be refunded now."""
    payment, refundable = builder.payment, builder.state.refundable
    if payment is None or not payment.captured:
        return builder.refuse("NOT_PAID", "There is no captured money to refund.")
    if payment.is_refund_blocked:
        return builder.refuse(
            "DISPUTED", "A dispute is open; Stripe refuses refunds until it is closed."
        )
    unit = f"{payment.currency} (minor units)"
    if not 0 < amount <= refundable:
        return builder.refuse(
            "REFUND_TOO_LARGE", f"amount: at most {refundable} {unit} can still be refunded."
        )
    step = money.rules_of(payment.currency).step
    if amount % step and amount != refundable:
        return builder.refuse(
            "REFUND_UNEVEN", f"amount: in {unit} Stripe refunds multiples of {step}."
        )
    by = builder.command.issued_by
    start_refund(builder, refund_id, amount, reason, by, retry_of=retry_of)
    return builder.accept()


def refund_all(builder: PaymentDecisionBuilder, reason: str, refund_id: str, by: str) -> None:
    """Refund all that is left; defer it while nothing is captured or a dispute is open."""
    payment = builder.payment
    if payment is None or not payment.captured or payment.is_refund_blocked:
        builder.change(refund_wanted=reason)
    elif builder.state.refundable > 0:
        start_refund(builder, refund_id, builder.state.refundable, reason, by)


def start_deferred_refund(builder: PaymentDecisionBuilder) -> None:
    """Start the deferred refund, if there is one."""
    wanted = builder.work.refund_wanted
    if wanted:
        builder.change(refund_wanted=None)
        refund_all(builder, wanted, ids.refund_id(builder.input.identity.id), by="orders")


def start_refund(
    builder: PaymentDecisionBuilder,
    refund_id: str,
    amount: int,
    reason: str,
    by: str,
    *,
    retry_of: str | None = None,
) -> None:
    """Open a refund and make its Stripe write pending; amount in minor units."""
    payment = builder.known_payment
    refund = Refund(
        refund_id=refund_id, amount=amount, reason=reason, by=by, status=RefundStatus.PENDING,
        requested_at=builder.at_ms, retry_of=retry_of,
    )  # fmt: skip
    builder.change(refunds={**builder.work.refunds, refund_id: refund})
    body = {
        "payment_intent": payment.stripe_intent_id,
        "amount": amount,
        "reason": reason if reason in STRIPE_REASONS else "requested_by_customer",
        "metadata": {
            "refundId": refund_id, "orderId": builder.order_id, "paymentId": builder.payment_id
        },
    }  # fmt: skip
    builder.start_effect(
        Effect(
            effect_id=REFUND_EFFECT_PREFIX + refund_id,
            kind=EffectKind.REFUND,
            intent_id=payment.stripe_intent_id,
            requested_at=builder.at_ms,
            body=body,
        ),
        by,
    )


def fail_refund(builder: PaymentDecisionBuilder, refund_id: str, code: str) -> None:
    """End a pending refund that Stripe refused; one that Stripe has shown all the same goes its own way."""
    refund = builder.work.refunds.get(refund_id)
    if refund is None or refund.stripe_refund_id:
        return
    end_refund(builder, replace(refund, status=RefundStatus.FAILED, failure_reason=code))
    if code in DISPUTED_CODES and refund.by == "orders":
        _defer_refund_again(builder, refund.reason)


def _defer_refund_again(builder: PaymentDecisionBuilder, reason: str) -> None:
    """A dispute came before a cancelled order's refund, which follows when the dispute is won.

    It may have been closed before this refusal was heard of: each dispute explains one of them,
    and what is refused beyond that is the operator's.
    """
    payment = builder.known_payment
    refused = sum(r.failure_reason in DISPUTED_CODES for r in payment.refunds.values())
    if payment.disputes and refused > len(payment.disputes):
        return
    builder.change(refund_wanted=reason)
    if payment.disputes and not payment.is_refund_blocked:
        start_deferred_refund(builder)


def end_refund(builder: PaymentDecisionBuilder, refund: Refund) -> None:
    """Emit what became of a refund and take it from the pending ones."""
    payment = builder.known_payment
    before = payment.refunded
    pending = {k: r for k, r in builder.work.refunds.items() if k != refund.refund_id}
    builder.change(refunds=pending)
    if refund.status is RefundStatus.SUCCEEDED:
        total = before + refund.amount
        is_full = total >= payment.captured
        kind = EventType.PAYMENT_REFUNDED if is_full else EventType.PAYMENT_REFUND_PARTIAL
    else:
        earlier = payment.refunds.get(refund.refund_id)
        was_counted = earlier is not None and earlier.status is RefundStatus.SUCCEEDED
        total = before - (earlier.amount if earlier and was_counted else 0)
        kind = EventType.PAYMENT_REFUND_FAILED
    builder.apply(
        kind,
        PaymentRefund(
            payment_id=payment.payment_id,
            order_id=builder.order_id,
            currency=payment.currency,
            refunded_total=total,
            captured_total=payment.captured,
            requested_at=to_rfc3339(refund.requested_at) if refund.requested_at else None,
            **fields_of(refund, but={"requested_at", "ended_at", "requires_action"}),
        ),
    )
    _retry_with_remainder(builder)


def _retry_with_remainder(builder: PaymentDecisionBuilder) -> None:
    """Another refund came before a cancelled order's, which Stripe therefore refused as too large.

    Ends, for what repeats it is smaller, and is repeated only when still less is left.
    """
    refunds, left = builder.state.refunds(), builder.state.refundable
    retried = {refund.retry_of for refund in refunds.values()}
    for failed in refunds.values():
        is_open = failed.status is RefundStatus.FAILED and failed.refund_id not in retried
        if is_open and failed.by == "orders" and 0 < left < failed.amount:
            refund_id = ids.refund_id(f"{builder.input.identity.id}/{failed.refund_id}")
            start_refund(
                builder, refund_id, left, failed.reason, by="orders", retry_of=failed.refund_id
            )
            return
