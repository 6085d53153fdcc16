"""Invariants of every order's money, checked live over the records of payments and orders."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models.graphs import (
    CAPTURED_STATUSES,
    PAID_ORDER,
    UNPAID_ORDER,
    OrderStatus,
    PaymentStatus,
    RefundStatus,
)
from models.money import rules_of
from models.payment import EffectKind, PaymentRecord

NOT_GIVEN_BACK: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELLED})


class MoneyViolation(StrEnum):
    """A violated invariant. One may be violated for a moment by an input in flight; it counts when it lasts."""

    CAPTURED_EXCEEDS_AUTHORISED = "CAPTURED_EXCEEDS_AUTHORISED"
    CAPTURED_FALLS_SHORT = "CAPTURED_FALLS_SHORT"
    """The payment intent was changed by hand; resolved once all of it is refunded."""
    REFUNDED_EXCEEDS_CAPTURED = "REFUNDED_EXCEEDS_CAPTURED"
    GIVEN_BACK_TWICE = "GIVEN_BACK_TWICE"
    """Refunds and disputes together took more than was captured."""
    STATUS_AGAINST_MONEY = "STATUS_AGAINST_MONEY"
    MONEY_WITHOUT_ORDER = "MONEY_WITHOUT_ORDER"
    ORDER_WITHOUT_MONEY = "ORDER_WITHOUT_MONEY"
    CANCELLED_KEEPS_MONEY = "CANCELLED_KEEPS_MONEY"
    """A cancelled order's money is not being refunded, and no operator is asked to act."""
    REFUND_UNATTENDED = "REFUND_UNATTENDED"
    """A pending refund that is neither being asked for nor known to Stripe."""


VIOLATION_DESCRIPTIONS: Final = {
    MoneyViolation.CAPTURED_EXCEEDS_AUTHORISED: "More was captured than the customer agreed to",
    MoneyViolation.CAPTURED_FALLS_SHORT: "Less was captured than the order costs",
    MoneyViolation.REFUNDED_EXCEEDS_CAPTURED: "More was refunded than captured",
    MoneyViolation.GIVEN_BACK_TWICE: "Refunds and disputes together took more than was captured",
    MoneyViolation.STATUS_AGAINST_MONEY: "The payment's status and its money contradict each other",
    MoneyViolation.MONEY_WITHOUT_ORDER: "The payment is captured, but its order still waits for it",
    MoneyViolation.ORDER_WITHOUT_MONEY: "The order goes on as if it were paid",
    MoneyViolation.CANCELLED_KEEPS_MONEY: "The order is cancelled, and nobody is giving its money back",
    MoneyViolation.REFUND_UNATTENDED: "A refund is pending, and nobody is asking Stripe for it",
}
"""For operators."""


@dataclass(frozen=True, slots=True)
class OrderMoney:
    """The money of one order, in minor units of its currency.

    is_wanted: a refund waits for a dispute to be closed. needs_operator: a refund failed, nobody has
    retried it, and there is money left to be refunded. is_unattended: see REFUND_UNATTENDED.
    """

    currency: str
    status: PaymentStatus
    authorised: int
    captured: int
    refunded: int
    refund_pending: int
    disputed: int
    is_wanted: bool
    needs_operator: bool
    is_unattended: bool

    @property
    def net(self) -> int:
        """Captured - refunded - disputed + reinstated."""
        return self.captured - self.refunded - self.disputed


def money_of(record: PaymentRecord) -> OrderMoney | None:
    """The money of a payment; None until Stripe has opened it."""
    payment, work = record.payment, record.work
    if payment is None:
        return None
    effects = work.effects.values()
    asked = {effect.refund_id for effect in effects if effect.kind is EffectKind.REFUND}
    return OrderMoney(
        currency=payment.currency,
        status=payment.status,
        authorised=payment.amount,
        captured=payment.captured,
        refunded=payment.refunded,
        refund_pending=record.refund_pending,
        disputed=payment.disputed,
        is_wanted=work.refund_wanted is not None,
        needs_operator=any(is_retryable(record, refund_id) for refund_id in payment.refunds),
        is_unattended=any(
            refund.stripe_refund_id is None and refund.refund_id not in asked
            for refund in work.refunds.values()
        ),
    )


def is_retryable(record: PaymentRecord, refund_id: str) -> bool:
    """Whether a refund failed, was not retried, and there is money left to be given back."""
    refunds = record.refunds()
    refund = refunds[refund_id]
    return (
        refund.status in NOT_GIVEN_BACK
        and record.refundable > 0
        and not any(other.retry_of == refund_id for other in refunds.values())
    )


def violations(money: OrderMoney, order: OrderStatus | None) -> list[MoneyViolation]:
    """Invariants that an order's money violates; order: None when its status is not known."""
    left = money.net - money.refund_pending
    is_in = money.status in CAPTURED_STATUSES
    is_all_back = is_in and money.refunded >= money.captured
    checks = {
        MoneyViolation.CAPTURED_EXCEEDS_AUTHORISED: money.captured > money.authorised,
        MoneyViolation.CAPTURED_FALLS_SHORT: 0 < money.captured < money.authorised
        and money.net > 0,
        MoneyViolation.REFUNDED_EXCEEDS_CAPTURED: money.refunded > money.captured,
        MoneyViolation.GIVEN_BACK_TWICE: money.disputed > 0 and money.net < 0,
        MoneyViolation.STATUS_AGAINST_MONEY: is_in is not bool(money.captured)
        or (money.status is PaymentStatus.REFUNDED) is not is_all_back,
        MoneyViolation.MONEY_WITHOUT_ORDER: bool(money.captured) and order in UNPAID_ORDER,
        MoneyViolation.ORDER_WITHOUT_MONEY: not money.captured and order in PAID_ORDER,
        MoneyViolation.CANCELLED_KEEPS_MONEY: order in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}
        # A dispute may leave less than Stripe refunds in this currency.
        and left >= (rules_of(money.currency).step if money.disputed else 1)
        and not (money.is_wanted or money.needs_operator),
        MoneyViolation.REFUND_UNATTENDED: money.is_unattended,
    }
    return [code for code, is_broken in checks.items() if is_broken]
