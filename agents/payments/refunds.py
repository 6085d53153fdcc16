"""What operators ask of a payment's refunds: a new one, and the repetition of one that failed."""

from typing import Final

from agents.payments.transitions import PaymentDecisionBuilder
from models import ids, money
from models.commands import (
    Command,
    RefundPayment,
    RetryRefund,
)
from models.graphs import RefundStatus
from models.transition import Outcome


def refund(builder: PaymentDecisionBuilder, command: Command) -> Outcome:
    """Give money back: so much, or all that is left."""
    data: RefundPayment = command.data
    refund_id = ids.refund_id(command.command_id)
    made = builder.state.refunds().get(refund_id)
    if made:  # its outcome is forgotten after a day, and so are Stripe's keys; the refund is not
        if data.amount in {None, made.amount}:
            return builder.accept()
        return builder.refuse(
            command, "IDEMPOTENCY_KEY_REUSED", "It made a refund of another amount."
        )
    amount = builder.state.refundable if data.amount is None else data.amount
    refused = _refused(builder, command, amount)
    if refused:
        return refused
    builder.start_refund(refund_id, amount, data.reason, by=command.issued_by)
    return builder.accept()


RETRY_REFUSALS: Final = {
    RefundStatus.PENDING: ("REFUND_PENDING", "It is under way; wait how it ends."),
    RefundStatus.SUCCEEDED: ("REFUND_SUCCEEDED", "The money is back."),
}


def retry_refund(builder: PaymentDecisionBuilder, command: Command) -> Outcome:
    """A refund that failed is over at Stripe: another one repeats it, as far as money is left."""
    data: RetryRefund = command.data
    refunds = builder.state.refunds()
    refund_id = ids.refund_id(command.command_id)
    if refund_id in refunds:
        return builder.accept()
    failed = refunds.get(data.refund_id)
    if failed is None:
        return builder.refuse(command, "REFUND_UNKNOWN", "This payment has no such refund.")
    if failed.status in RETRY_REFUSALS:
        return builder.refuse(command, *RETRY_REFUSALS[failed.status])
    if any(refund.retry_of == failed.refund_id for refund in refunds.values()):
        return builder.refuse(
            command, "REFUND_RETRIED", "It was retried; retry that one if it failed."
        )
    amount = min(failed.amount, builder.state.refundable)
    refused = _refused(builder, command, amount)
    if refused:
        return refused
    builder.start_refund(
        refund_id, amount, failed.reason,
        by=command.issued_by, retry_of=failed.refund_id,
    )  # fmt: skip
    return builder.accept()


def _refused(builder: PaymentDecisionBuilder, command: Command, amount: int) -> Outcome | None:
    """The refusal where so much can't be refunded now."""
    payment, refundable = builder.payment, builder.state.refundable
    if payment is None or not payment.captured:
        return builder.refuse(command, "NOT_PAID", "There is no captured money to refund.")
    if payment.is_refund_blocked:
        return builder.refuse(
            command, "DISPUTED", "A dispute is open; Stripe refuses refunds until it is closed."
        )
    unit = f"{payment.currency} (minor units)"
    if not 0 < amount <= refundable:
        return builder.refuse(
            command,
            "REFUND_TOO_LARGE",
            f"amount: at most {refundable} {unit} can still be refunded.",
        )
    step = money.charge_increment(payment.currency)
    if amount % step:
        return builder.refuse(
            command, "REFUND_UNEVEN", f"amount: in {unit} Stripe refunds multiples of {step}."
        )
    return None
