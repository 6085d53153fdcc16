"""What an order waits for: since when, how long that may last, and who must act; one table, as data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from models.delivery import DeliveryRecord
from models.events import EventType
from models.graphs import UNPAID_ORDER, DeliveryStatus, OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import is_retryable
from models.notification import NotificationRecord, NotificationStatus
from models.order import OrderRecord
from models.payment import Dispute, EffectKind, Payment, PaymentRecord
from models.times import DAY_MS, HOUR_MS, MINUTE_MS


class Actor(StrEnum):
    """Who must act."""

    CUSTOMER = "CUSTOMER"
    KITCHEN = "KITCHEN"
    COURIER = "COURIER"
    STRIPE = "STRIPE"
    OPERATOR = "OPERATOR"
    SYSTEM = "SYSTEM"


class Subject(StrEnum):
    """What is waiting."""

    ORDER = "ORDER"
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    FRAUD_WARNING = "FRAUD_WARNING"
    REVIEW = "REVIEW"
    DELIVERY = "DELIVERY"
    EFFECT = "EFFECT"
    DEADLINE = "DEADLINE"
    WEBHOOK = "WEBHOOK"
    NOTIFICATION = "NOTIFICATION"
    QUARANTINE = "QUARANTINE"


@dataclass(frozen=True, slots=True)
class WaitRule:
    """One row of the table: a state, the events that end it, how long it may last, who ends it.

    advice: what an operator can do, where the state does not say it. listed_ms: for so long at most, where it
    may also be left as it is.
    """

    subject: Subject
    state: str
    expects: tuple[EventType, ...]
    allowed_ms: int
    actor: Actor
    advice: str = ""
    listed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits. since_ms: since the epoch. what: the id of the refund, effect, ... if any."""

    rule: WaitRule
    since_ms: int
    what: str = ""

    @property
    def due_ms(self) -> int:
        """When it becomes stuck, in milliseconds since the epoch."""
        return self.since_ms + self.rule.allowed_ms

    def is_over(self, now_ms: int) -> bool:
        """Nobody has to act any more, although nothing ended it."""
        return self.rule.listed_ms is not None and now_ms >= self.since_ms + self.rule.listed_ms


A, E, S = Actor, EventType, Subject
ORDER, PAYMENT, DELIVERY = OrderStatus, PaymentStatus, DeliveryStatus

_CANCELLED: Final = (E.ORDER_CANCELLED,)
_PAID: Final = (E.PAYMENT_COMPLETED, E.PAYMENT_FAILED)
_SETTLED: Final = (E.DEAD_LETTER_REDRIVEN, E.DEAD_LETTER_DISCARDED)

WAIT_RULES: Final = (
    WaitRule(S.ORDER, "PLACED", (E.ORDER_PAYMENT_PENDING,), MINUTE_MS, A.SYSTEM),
    WaitRule(S.ORDER, ORDER.PAYMENT_PENDING, (E.ORDER_CREATED, E.ORDER_PAYMENT_FAILED, E.ORDER_CANCELLED),
        30 * MINUTE_MS, A.CUSTOMER),
    WaitRule(S.ORDER, ORDER.PAYMENT_FAILED, (E.ORDER_PAYMENT_PENDING, E.ORDER_CANCELLED),
        30 * MINUTE_MS, A.CUSTOMER),
    WaitRule(S.ORDER, "EXPIRING", _CANCELLED, 5 * MINUTE_MS, A.STRIPE),
    WaitRule(S.ORDER, ORDER.PENDING, (E.ORDER_CONFIRMED, E.ORDER_CANCELLED), 10 * MINUTE_MS, A.KITCHEN),
    WaitRule(S.ORDER, ORDER.CONFIRMED, (E.ORDER_PREPARING,), 15 * MINUTE_MS, A.KITCHEN),
    WaitRule(S.ORDER, ORDER.PREPARING, (E.ORDER_READY_FOR_PICKUP,), 45 * MINUTE_MS, A.KITCHEN),
    WaitRule(S.ORDER, ORDER.READY_FOR_PICKUP, (E.ORDER_OUT_FOR_DELIVERY,), 20 * MINUTE_MS, A.COURIER),
    WaitRule(S.ORDER, ORDER.OUT_FOR_DELIVERY, (E.ORDER_DELIVERED,), HOUR_MS, A.COURIER),
    WaitRule(S.ORDER, ORDER.CANCELLED, (E.ORDER_REFUNDED,), DAY_MS, A.OPERATOR),
    WaitRule(S.PAYMENT, "OPENING", (E.PAYMENT_INITIATED,), MINUTE_MS, A.STRIPE),
    WaitRule(S.PAYMENT, "NOT_OPENED", (E.PAYMENT_INITIATED,), 0, A.OPERATOR),
    WaitRule(S.PAYMENT, PAYMENT.PENDING, (E.PAYMENT_PROCESSING, E.PAYMENT_CANCELLED),
        30 * MINUTE_MS, A.CUSTOMER),
    WaitRule(S.PAYMENT, PAYMENT.PROCESSING, _PAID, 10 * MINUTE_MS, A.STRIPE),
    WaitRule(S.PAYMENT, "REQUIRES_ACTION", _PAID, 15 * MINUTE_MS, A.CUSTOMER),
    WaitRule(S.PAYMENT, "UNKNOWN_AT_STRIPE", (E.PAYMENT_CANCELLED, E.PAYMENT_COMPLETED), 0, A.OPERATOR),
    WaitRule(S.PAYMENT, PAYMENT.FAILED, (E.PAYMENT_PROCESSING, E.PAYMENT_CANCELLED),
        30 * MINUTE_MS, A.CUSTOMER),
    WaitRule(S.REFUND, RefundStatus.PENDING,
        (E.PAYMENT_REFUNDED, E.PAYMENT_REFUND_PARTIAL, E.PAYMENT_REFUND_FAILED), DAY_MS, A.STRIPE),
    WaitRule(S.REFUND, RefundStatus.FAILED, (E.PAYMENT_REFUNDED, E.PAYMENT_REFUND_PARTIAL), 0, A.OPERATOR),
    WaitRule(S.REFUND, RefundStatus.CANCELLED, (E.PAYMENT_REFUNDED, E.PAYMENT_REFUND_PARTIAL), 0, A.OPERATOR),
    WaitRule(S.REFUND, "BLOCKED", (E.PAYMENT_DISPUTE_CLOSED,), DAY_MS, A.OPERATOR),
    WaitRule(S.DISPUTE, "NEEDS_RESPONSE", (E.PAYMENT_DISPUTED, E.PAYMENT_DISPUTE_CLOSED), DAY_MS,
        A.OPERATOR),
    WaitRule(S.DISPUTE, "UNDER_REVIEW", (E.PAYMENT_DISPUTE_CLOSED,), 90 * DAY_MS, A.STRIPE),
    WaitRule(S.DISPUTE, "IN_DOUBT", (E.PAYMENT_DISPUTED, E.PAYMENT_DISPUTE_CLOSED), 10 * MINUTE_MS,
        A.OPERATOR, "Stripe's events contradict each other. May the secret key read disputes?"),
    WaitRule(S.FRAUD_WARNING, "ACTIONABLE",
        (E.PAYMENT_REFUNDED, E.PAYMENT_DISPUTED, E.PAYMENT_FRAUD_WARNING), 0, A.OPERATOR,
        "The card's issuer reports fraud. A refund in full, before the bank opens a dispute, saves its fee.",
        30 * DAY_MS),
    WaitRule(S.REVIEW, "OPEN", (E.PAYMENT_REVIEW_CLOSED, E.PAYMENT_REFUNDED, E.PAYMENT_DISPUTED), 0,
        A.OPERATOR, "Approve it in Stripe's Dashboard, or refund the payment."),
    WaitRule(S.DELIVERY, DELIVERY.PENDING, (E.DELIVERY_ASSIGNED,), HOUR_MS, A.COURIER),
    WaitRule(S.DELIVERY, DELIVERY.ASSIGNED, (E.DELIVERY_PICKED_UP,), HOUR_MS, A.COURIER),
    WaitRule(S.DELIVERY, DELIVERY.PICKED_UP, (E.DELIVERY_DELIVERED,), HOUR_MS, A.COURIER),
    WaitRule(S.EFFECT, EffectKind.CREATE_INTENT, (E.EFFECT_FINISHED,), MINUTE_MS, A.STRIPE),
    WaitRule(S.EFFECT, EffectKind.CONFIRM, (E.EFFECT_FINISHED,), 2 * MINUTE_MS, A.STRIPE),
    WaitRule(S.EFFECT, EffectKind.CANCEL, (E.EFFECT_FINISHED,), 5 * MINUTE_MS, A.STRIPE),
    WaitRule(S.EFFECT, EffectKind.REFUND, (E.EFFECT_FINISHED,), 5 * MINUTE_MS, A.STRIPE),
    WaitRule(S.DEADLINE, "PAYMENT", _CANCELLED, MINUTE_MS, A.SYSTEM),
    WaitRule(S.DEADLINE, "KITCHEN", _CANCELLED, MINUTE_MS, A.SYSTEM),
    WaitRule(S.WEBHOOK, "HELD", (E.PAYMENT_INITIATED, E.PAYMENT_COMPLETED), 10 * MINUTE_MS, A.OPERATOR),
    WaitRule(S.NOTIFICATION, NotificationStatus.PENDING, (E.NOTIFICATION_SENT, E.NOTIFICATION_FAILED),
        15 * MINUTE_MS, A.SYSTEM),
    WaitRule(S.NOTIFICATION, NotificationStatus.HELD,
        (E.NOTIFICATION_SENT, E.NOTIFICATION_FAILED, E.NOTIFICATION_RETRIED), 26 * HOUR_MS, A.SYSTEM),
    WaitRule(S.NOTIFICATION, NotificationStatus.WAITING_FOR_OPERATOR, (E.NOTIFICATION_RETRIED,), 0,
        A.OPERATOR),
    WaitRule(S.QUARANTINE, "QUARANTINED", _SETTLED, 0, A.OPERATOR),
)  # fmt: skip

WAIT_RULE_BY_STATE: Final = {(row.subject, str(row.state)): row for row in WAIT_RULES}


def quarantined(service: str, since_ms: int) -> Waiting:
    """An order that is quarantined in a service."""
    return Waiting(WAIT_RULE_BY_STATE[S.QUARANTINE, "QUARANTINED"], since_ms, service)


def waiting(state: Any) -> tuple[Waiting, ...]:
    """What an order waits for, by one service's record of it.

    Pure, and the same at any time: what is stuck is what is due by now. Deadlines are in it that have
    not come yet. States of services that nothing waits for give nothing.
    """
    waits = _WAITS_OF_RECORD.get(type(state))
    return tuple(waits(state)) if waits else ()


def _waiting(subject: Subject, state: str, since_ms: int, what: str = "") -> Iterator[Waiting]:
    rule = WAIT_RULE_BY_STATE.get((subject, str(state)))
    if rule is not None:
        yield Waiting(rule, since_ms, what)


def _of_order(record: OrderRecord) -> Iterator[Waiting]:
    order, work = record.order, record.work
    if order is None:
        # Of an order that is being cancelled, its payment's record says what it waits for.
        if record.placed is not None and not (work.cancel or work.expiring):
            yield from _waiting(S.ORDER, "PLACED", record.placed.placed_at)
    elif work.expiring and order.status in UNPAID_ORDER:
        yield from _waiting(S.ORDER, "EXPIRING", work.occurred_at)
    elif order.status is not ORDER.CANCELLED or work.captured:
        yield from _waiting(S.ORDER, order.status, order.reached[order.status])
    for kind, due_ms in work.deadlines.items():
        yield from _waiting(S.DEADLINE, kind, due_ms)


def _of_payment(record: PaymentRecord) -> Iterator[Waiting]:
    payment, work = record.payment, record.work
    since_ms = work.waiting_since
    if payment is not None:
        state = "REQUIRES_ACTION" if payment.next_action else payment.status
        # Nothing but the attempts themselves happens to a payment in these states.
        if work.unknown_since is None:
            yield from _waiting(S.PAYMENT, state, payment.occurred_at)
        else:
            yield from _waiting(S.PAYMENT, "UNKNOWN_AT_STRIPE", work.unknown_since)
        for dispute in payment.disputes.values():
            yield from _of_dispute(dispute, payment.occurred_at)
        for dispute_id in work.doubted_disputes:
            doubted_ms = since_ms.get("DOUBTED_DISPUTES", payment.occurred_at)
            yield from _waiting(S.DISPUTE, "IN_DOUBT", doubted_ms, dispute_id)
        if work.refund_wanted and payment.is_refund_blocked:
            wanted_ms = since_ms.get("REFUND_WANTED", payment.occurred_at)
            yield from _waiting(S.REFUND, "BLOCKED", wanted_ms)
        yield from _of_fraud(record, payment)
    elif work.initiation is not None and not (work.initiation.error and work.cancel):
        # A payment that Stripe refused to open and that is cancelled has ended.
        state = "NOT_OPENED" if work.initiation.error else "OPENING"
        yield from _waiting(S.PAYMENT, state, since_ms.get("INITIATION", 0))
    yield from _of_refunds(record)
    for effect in work.effects.values():
        yield from _waiting(S.EFFECT, effect.kind, effect.requested_at, effect.effect_id)
    if work.held:
        first = work.held[0].stripe_event_id
        yield from _waiting(S.WEBHOOK, "HELD", since_ms.get("HELD", 0), first)


def _of_refunds(record: PaymentRecord) -> Iterator[Waiting]:
    for refund in record.refunds().values():
        if refund.status is RefundStatus.PENDING:
            yield from _waiting(S.REFUND, refund.status, refund.requested_at or 0, refund.refund_id)
        elif is_retryable(record, refund.refund_id):
            yield from _waiting(S.REFUND, refund.status, refund.ended_at or 0, refund.refund_id)


def _of_dispute(dispute: Dispute, at_ms: int) -> Iterator[Waiting]:
    if dispute.is_open:
        needs_response = dispute.status.endswith("needs_response")
        since_ms = dispute.opened_at if needs_response else dispute.changed_at
        state = "NEEDS_RESPONSE" if needs_response else "UNDER_REVIEW"
        since_ms = at_ms if since_ms is None else since_ms
        yield from _waiting(S.DISPUTE, state, since_ms, dispute.dispute_id)


def _of_fraud(record: PaymentRecord, payment: Payment) -> Iterator[Waiting]:
    """Warnings that a refund can still answer, and reviews; a dispute and a refund in full settle both."""
    if payment.disputes or payment.status is PAYMENT.REFUNDED:
        return
    for warning in payment.fraud_warnings.values():
        if warning.is_actionable and record.refundable:
            yield from _waiting(
                S.FRAUD_WARNING, "ACTIONABLE", warning.changed_at, warning.warning_id
            )
    for review in payment.reviews.values():
        if review.is_open:
            yield from _waiting(S.REVIEW, "OPEN", review.opened_at, review.review_id)


def _of_delivery(record: DeliveryRecord) -> Iterator[Waiting]:
    delivery = record.delivery
    if delivery is not None:
        yield from _waiting(S.DELIVERY, delivery.status, delivery.reached[delivery.status])


def _of_notifications(record: NotificationRecord) -> Iterator[Waiting]:
    for each in record.notifications.values():
        yield from _waiting(S.NOTIFICATION, each.status, each.requested_at, each.notification_id)


_WAITS_OF_RECORD: Final[dict[type, Callable[[Any], Iterator[Waiting]]]] = {
    OrderRecord: _of_order,
    PaymentRecord: _of_payment,
    DeliveryRecord: _of_delivery,
    NotificationRecord: _of_notifications,
}
