"""Events: their envelope, the data of each type, and the topics that each goes to."""

from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

from models import topics
from models.delivery_code import DeliveryProof
from models.fields import (
    Count,
    Currency,
    Id,
    MinorUnits,
    OrderKey,
    SequenceNumber,
    ShortText,
    Text,
    Timestamp,
    Url,
)
from models.graphs import RefundStatus
from models.levels import OLDEST, Level
from models.messages import Data, Message, OrderMessage, read_data, read_envelope, written
from models.times import from_rfc3339
from models.transition import UnreadableError


class EventType(StrEnum):
    """Types of events; payment events first, then those of orders, deliveries and the audit."""

    PAYMENT_INITIATED = "PAYMENT_INITIATED"
    PAYMENT_PROCESSING = "PAYMENT_PROCESSING"
    PAYMENT_REQUIRES_ACTION = "PAYMENT_REQUIRES_ACTION"
    PAYMENT_ACTION_FINISHED = "PAYMENT_ACTION_FINISHED"
    PAYMENT_COMPLETED = "PAYMENT_COMPLETED"
    PAYMENT_DETAILS_ADDED = "PAYMENT_DETAILS_ADDED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_CANCELLED = "PAYMENT_CANCELLED"
    PAYMENT_REFUND_INITIATED = "PAYMENT_REFUND_INITIATED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"
    PAYMENT_REFUND_PARTIAL = "PAYMENT_REFUND_PARTIAL"
    PAYMENT_REFUND_FAILED = "PAYMENT_REFUND_FAILED"
    PAYMENT_DISPUTED = "PAYMENT_DISPUTED"
    PAYMENT_DISPUTE_CLOSED = "PAYMENT_DISPUTE_CLOSED"
    PAYMENT_FRAUD_WARNING = "PAYMENT_FRAUD_WARNING"
    PAYMENT_REVIEW_OPENED = "PAYMENT_REVIEW_OPENED"
    PAYMENT_REVIEW_CLOSED = "PAYMENT_REVIEW_CLOSED"
    ORDER_PAYMENT_PENDING = "ORDER_PAYMENT_PENDING"
    ORDER_PAYMENT_FAILED = "ORDER_PAYMENT_FAILED"
    ORDER_CREATED = "ORDER_CREATED"
    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    ORDER_PREPARING = "ORDER_PREPARING"
    ORDER_READY_FOR_PICKUP = "ORDER_READY_FOR_PICKUP"
    ORDER_OUT_FOR_DELIVERY = "ORDER_OUT_FOR_DELIVERY"
    ORDER_DELIVERED = "ORDER_DELIVERED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_REFUNDED = "ORDER_REFUNDED"
    ORDER_REFUND_REVERSED = "ORDER_REFUND_REVERSED"
    DELIVERY_CREATED = "DELIVERY_CREATED"
    DELIVERY_ASSIGNED = "DELIVERY_ASSIGNED"
    DELIVERY_PICKED_UP = "DELIVERY_PICKED_UP"
    DELIVERY_DELIVERED = "DELIVERY_DELIVERED"
    DELIVERY_CANCELLED = "DELIVERY_CANCELLED"
    COMMAND_REFUSED = "COMMAND_REFUSED"
    EFFECT_REQUESTED = "EFFECT_REQUESTED"
    EFFECT_FINISHED = "EFFECT_FINISHED"
    WEBHOOK_RECEIVED = "WEBHOOK_RECEIVED"
    ANOMALY_SEEN = "ANOMALY_SEEN"
    NOTIFICATION_SENT = "NOTIFICATION_SENT"
    NOTIFICATION_FAILED = "NOTIFICATION_FAILED"
    NOTIFICATION_RETRIED = "NOTIFICATION_RETRIED"
    NOTIFICATION_HELD = "NOTIFICATION_HELD"
    DEAD_LETTER_REDRIVEN = "DEAD_LETTER_REDRIVEN"
    DEAD_LETTER_DISCARDED = "DEAD_LETTER_DISCARDED"
    RECORD_SKIPPED = "RECORD_SKIPPED"
    ORDERS_SEARCHED = "ORDERS_SEARCHED"
    UPGRADE_FINISHED = "UPGRADE_FINISHED"
    STATE_REPAIRED = "STATE_REPAIRED"
    STAFF_REVOKED = "STAFF_REVOKED"


E = EventType


class PaymentInitiated(Message):
    order_id: OrderKey
    user_id: ShortText
    amount: MinorUnits
    currency: Currency
    stripe_intent_id: Id
    restaurant_id: ShortText = written("")


class PaymentProcessing(Message):
    payment_id: Id
    stripe_intent_id: Id
    attempt: Count


class PaymentRequiresAction(Message):
    payment_id: Id
    attempt: Count
    next_action: ShortText


class PaymentActionFinished(Message):
    """The customer has answered the bank, and Stripe waits for the result."""

    payment_id: Id
    attempt: Count


class PaymentCompleted(Message):
    """cancelRequested: why the order is not made although the money came; its refund follows.

    A cancel of the payment came first, or the money came too late (PAID_TOO_LATE), or in time while we learned
    of it too late (HEARD_TOO_LATE).
    """

    payment_id: Id
    order_id: OrderKey
    amount: MinorUnits
    currency: Currency
    stripe_charge_id: Id | None
    receipt_url: Url | None
    attempt: Count
    cancel_requested: ShortText | None = written(None)


class PaymentDetailsAdded(Message):
    """What was not known when the payment was completed; None: known before, or still not known.

    amount: what was captured then.
    """

    payment_id: Id
    amount: MinorUnits
    currency: Currency
    stripe_charge_id: Id | None
    receipt_url: Url | None


class PaymentFailed(Message):
    """cancelRequested: the reason of a cancel that waited for this moment; nobody is to pay again."""

    payment_id: Id
    order_id: OrderKey
    failure_reason: Text
    failure_code: ShortText | None = written(None)
    stripe_charge_id: Id | None = written(None)
    attempt: Count
    cancel_requested: ShortText | None = None


class PaymentCancelled(Message):
    payment_id: Id
    order_id: OrderKey
    cancel_reason: ShortText


class PaymentRefundInitiated(Message):
    order_id: OrderKey
    payment_id: Id
    reason: ShortText


class PaymentRefund(Message):
    """Data of PAYMENT_REFUNDED, _REFUND_PARTIAL and _REFUND_FAILED.

    requestedAt: RFC 3339. retryOf: the failed refund that this one repeats. refundedTotal, capturedTotal:
    of the payment, as of this event; capturedTotal is missing in events of earlier versions.
    """

    payment_id: Id
    order_id: OrderKey
    refund_id: Id
    stripe_refund_id: Id | None
    amount: MinorUnits
    currency: Currency
    status: RefundStatus
    reason: ShortText
    by: ShortText
    failure_reason: Text | None = written(None)
    requested_at: Timestamp | None = written(None)
    retry_of: Id | None = written(None)
    refunded_total: MinorUnits
    captured_total: MinorUnits | None = written(None)

    @property
    def is_all_refunded(self) -> bool:
        """Whether nothing is left, although this refund may have failed: it need not have counted."""
        return self.captured_total is not None and self.refunded_total >= self.captured_total


class PaymentDispute(Message):
    """isChargeRefundable: Stripe still refunds, an inquiry say. evidenceDueBy: RFC 3339."""

    payment_id: Id
    order_id: OrderKey
    dispute_id: Id
    amount: MinorUnits
    currency: Currency
    status: ShortText
    reason: ShortText
    is_charge_refundable: bool = written(False)  # noqa: FBT003 -- the default itself
    evidence_due_by: Timestamp | None = written(None)


class PaymentFraudWarning(Message):
    """An early fraud warning; isActionable: it has received no dispute and is not fully refunded."""

    payment_id: Id
    order_id: OrderKey
    warning_id: Id
    fraud_type: ShortText
    is_actionable: bool


class PaymentReview(Message):
    """A review at Stripe; closedReason: None while it is open."""

    payment_id: Id
    order_id: OrderKey
    review_id: Id
    opened_reason: ShortText
    closed_reason: ShortText | None = written(None)


class OrderPaymentPending(Message):
    user_id: ShortText
    restaurant_id: ShortText
    amount: MinorUnits
    currency: Currency


class OrderCreated(Message):
    order_id: OrderKey
    status: Literal["PENDING"] = written("PENDING")
    restaurant_id: ShortText
    amount: MinorUnits
    currency: Currency


class OrderMoved(Message):
    """Data of an order's transition that says no more than that it happened.

    by: whose command it was ("kitchen:...", "operator:..."); None where an event led to it.
    """

    by: ShortText | None = written(None)


class OrderCancelled(Message):
    reason: ShortText
    by: ShortText


class DeliveryMoved(Message):
    """proof: of DELIVERY_DELIVERED; None where the platform asks for no delivery code."""

    shown_if_set = ("proof",)

    courier_id: ShortText | None = written(None)
    reason: Text | None = written(None)
    proof: DeliveryProof | None = None


class CommandRefused(Message):
    command_id: Id
    command_type: ShortText
    code: ShortText
    detail: Text
    by: ShortText


class EffectRequested(Message):
    """by: who asked, for a refund and a cancel ("operator:...", "system:orders"); else None."""

    effect_id: Id
    kind: ShortText
    idempotency_key: ShortText
    by: ShortText | None = written(None)


class EffectFinished(Message):
    effect_id: Id
    kind: ShortText
    idempotency_key: ShortText
    result: ShortText
    code: ShortText | None = written(None)


class WebhookNoted(Message):
    stripe_event_id: Id
    stripe_event_type: ShortText
    effect: ShortText


class AnomalySeen(Message):
    code: ShortText
    detail: Text


class NotificationAudit(Message):
    """about, aboutEventId: the event that the customer is told of; never by which address."""

    notification_id: Id
    channel: Literal["EMAIL", "SMS"]
    about: EventType
    about_event_id: Id


class NotificationSent(NotificationAudit):
    tries: Count
    provider_id: ShortText | None = written(None)


class NotificationFailed(NotificationAudit):
    tries: Count
    status: ShortText
    code: ShortText


class NotificationHeld(NotificationAudit):
    """Not sent before heldUntil (RFC 3339); code: which limit it met."""

    code: ShortText
    held_until: Timestamp


class NotificationRetried(NotificationAudit):
    by: ShortText


class DeadLetterSettled(Message):
    """What an operator did with a dead letter. offset: of the original in its topic and partition."""

    dead_letter_id: ShortText
    service: ShortText
    topic: ShortText
    partition: Annotated[int, Meta(ge=0, lt=2**31)]
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    error: ShortText
    reason: Text
    by: ShortText


class RecordSkipped(Message):
    """What an operator did about a partition that was stopped.

    offset: where it was; next_offset: where it went on: the same where it was only tried again.
    """

    topic: ShortText
    partition: Annotated[int, Meta(ge=0, lt=2**31)]
    offset: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    next_offset: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    service: Annotated[str, Meta(max_length=100)]
    error: Text
    reason: Text
    by: ShortText


class OrdersSearched(Message):
    """An operator looked for orders by a person's data. kinds: "email", "phone", "name"; never which."""

    kinds: Annotated[tuple[ShortText, ...], Meta(max_length=10)]
    found: Count
    by: ShortText


class UpgradeFinished(Message):
    """An operator has raised the platform's level (models/levels.py). beginsAt: by Kafka's clock."""

    level: Count
    begins_at: Timestamp
    reason: Text
    by: ShortText


class StateRepaired(Message):
    """A service made its state of an order anew from its events.

    fromSequence, toSequence: of the last event in the state before (0: there was none) and after. notRestored:
    what no event tells and is gone: "contact", "cart", "outcomes", "work under way".
    """

    from_sequence: Count
    to_sequence: Count
    not_restored: Annotated[tuple[ShortText, ...], Meta(max_length=10)]
    by: ShortText


class StaffRevoked(Message):
    """An operator has revoked tokens of staff. isSingle: one token of the subject, not all until then."""

    subject: ShortText
    is_single: bool
    issued_before: Timestamp
    reason: Text
    by: ShortText


OPERATORS: Final = "operators"
"""Producer of the audit of what operators do with dead letters, and look for: no engine that could count stands
behind it, so its events all have sequence 1 and are told apart by their ids."""
NO_ORDER: Final = "no-order"
"""Key of the audit of what belongs to no order: a dead letter whose key can't be read, a skipped record, a
search."""


class EventSpec(NamedTuple):
    """What is fixed for a type of events.

    data: what `data` holds, version 1. topics: where it is emitted to, in order. producers: who emits it;
    another one's sequence would be counted as that of a producer of ours. since: the level from which on it is
    emitted (models/levels.py).
    """

    data: type[Message]
    topics: tuple[str, ...]
    producers: frozenset[str]
    since: Level = OLDEST


AUDIT_PRODUCERS: Final = frozenset({"payments", "orders", "deliveries", "notifications", OPERATORS})
_ORDERS: Final = frozenset({"orders"})
_DELIVERIES: Final = frozenset({"deliveries"})


def _payment(data: type[Message], *more_topics: str, producer: str = "payments") -> EventSpec:
    return EventSpec(data, (topics.PAYMENT_EVENTS, *more_topics), frozenset({producer}))


def _audit(data: type[Message], since: Level = OLDEST) -> EventSpec:
    return EventSpec(data, (topics.ORDER_AUDIT,), AUDIT_PRODUCERS, since)


EVENTS: Final[dict[EventType, EventSpec]] = {
    E.PAYMENT_INITIATED: _payment(PaymentInitiated, topics.PAYMENT_INITIATED),
    E.PAYMENT_PROCESSING: _payment(PaymentProcessing, topics.PAYMENT_PROCESSING),
    E.PAYMENT_REQUIRES_ACTION: _payment(PaymentRequiresAction),
    E.PAYMENT_ACTION_FINISHED: _payment(PaymentActionFinished),
    E.PAYMENT_COMPLETED: _payment(PaymentCompleted, topics.PAYMENT_COMPLETED),
    E.PAYMENT_DETAILS_ADDED: _payment(PaymentDetailsAdded),
    E.PAYMENT_FAILED: _payment(PaymentFailed, topics.PAYMENT_FAILED),
    E.PAYMENT_CANCELLED: _payment(PaymentCancelled, topics.PAYMENT_CANCELLED),
    E.PAYMENT_REFUND_INITIATED: _payment(
        PaymentRefundInitiated, topics.REFUND_INITIATED, producer="orders"
    ),
    E.PAYMENT_REFUNDED: _payment(PaymentRefund, topics.PAYMENT_REFUNDED),
    E.PAYMENT_REFUND_PARTIAL: _payment(PaymentRefund, topics.PAYMENT_REFUND_PARTIAL),
    E.PAYMENT_REFUND_FAILED: _payment(PaymentRefund),
    E.PAYMENT_DISPUTED: _payment(PaymentDispute),
    E.PAYMENT_DISPUTE_CLOSED: _payment(PaymentDispute),
    E.PAYMENT_FRAUD_WARNING: _payment(PaymentFraudWarning),
    E.PAYMENT_REVIEW_OPENED: _payment(PaymentReview),
    E.PAYMENT_REVIEW_CLOSED: _payment(PaymentReview),
    E.ORDER_PAYMENT_PENDING: EventSpec(OrderPaymentPending, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_PAYMENT_FAILED: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_CREATED: EventSpec(OrderCreated, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_CONFIRMED: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_PREPARING: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_READY_FOR_PICKUP: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_OUT_FOR_DELIVERY: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_DELIVERED: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_CANCELLED: EventSpec(OrderCancelled, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_REFUNDED: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.ORDER_REFUND_REVERSED: EventSpec(OrderMoved, (topics.ORDER_EVENTS,), _ORDERS),
    E.DELIVERY_CREATED: EventSpec(DeliveryMoved, (topics.DELIVERY_EVENTS,), _DELIVERIES),
    E.DELIVERY_ASSIGNED: EventSpec(DeliveryMoved, (topics.DELIVERY_EVENTS,), _DELIVERIES),
    E.DELIVERY_PICKED_UP: EventSpec(DeliveryMoved, (topics.DELIVERY_EVENTS,), _DELIVERIES),
    E.DELIVERY_DELIVERED: EventSpec(DeliveryMoved, (topics.DELIVERY_EVENTS,), _DELIVERIES),
    E.DELIVERY_CANCELLED: EventSpec(DeliveryMoved, (topics.DELIVERY_EVENTS,), _DELIVERIES),
    E.COMMAND_REFUSED: _audit(CommandRefused),
    E.EFFECT_REQUESTED: _audit(EffectRequested),
    E.EFFECT_FINISHED: _audit(EffectFinished),
    E.WEBHOOK_RECEIVED: _audit(WebhookNoted),
    E.ANOMALY_SEEN: _audit(AnomalySeen),
    E.NOTIFICATION_SENT: _audit(NotificationSent),
    E.NOTIFICATION_FAILED: _audit(NotificationFailed),
    E.NOTIFICATION_RETRIED: _audit(NotificationRetried),
    E.NOTIFICATION_HELD: _audit(NotificationHeld),
    E.DEAD_LETTER_REDRIVEN: _audit(DeadLetterSettled),
    E.DEAD_LETTER_DISCARDED: _audit(DeadLetterSettled),
    E.RECORD_SKIPPED: _audit(RecordSkipped),
    E.ORDERS_SEARCHED: _audit(OrdersSearched),
    E.UPGRADE_FINISHED: _audit(UpgradeFinished, Level.V0_2),
    E.STATE_REPAIRED: _audit(StateRepaired, Level.V0_2),
    E.STAFF_REVOKED: _audit(StaffRevoked, Level.V0_2),
}
AUDIT_TYPES: Final = frozenset(kind for kind in EVENTS if topics.ORDER_AUDIT in EVENTS[kind].topics)
EVENT_TYPES_OF_TOPIC: Final[dict[str, frozenset[EventType]]] = {
    topic: frozenset(kind for kind in EVENTS if topic in EVENTS[kind].topics)
    for topic in topics.TOPICS
}
"""Topic -> the types of events that are in it."""


class Event(OrderMessage):
    """The envelope of events.

    occurredAt: RFC 3339, milliseconds, UTC; never before the order's last one of this producer.
    sequence: gapless per producer and order (the audit has a count of its own).
    causationId: id of the input that led to it. correlationId: id of the first cause, the same all along.
    """

    event_id: Id
    event_type: EventType
    schema_version: Count = written(1)
    occurred_at: Timestamp
    payment_id: Id | None
    sequence: SequenceNumber
    causation_id: ShortText
    correlation_id: ShortText
    producer: ShortText
    data: Data

    @property
    def occurred_at_ms(self) -> int:
        """Milliseconds since the epoch."""
        return from_rfc3339(self.occurred_at)


def read_event_of(topic: str, key: bytes, value: bytes) -> Event:
    """Read an event that came in a topic; one that does not belong there is none. Raises UnreadableError."""
    event = read_event(key, value)
    if event.event_type not in EVENT_TYPES_OF_TOPIC[topic]:
        raise UnreadableError(f"eventType: {topic} does not take {event.event_type}")
    return event


def read_event(key: bytes, value: bytes) -> Event:
    """Read an event with its typed data. Raises UnreadableError."""
    event = read_envelope(Event, key, value)
    spec = EVENTS[event.event_type]
    if event.producer not in spec.producers:
        writers = ", ".join(sorted(spec.producers))
        raise UnreadableError(f"producer: {event.event_type} is written by {writers} alone")
    read_data(event, spec.data, event.event_type, event.schema_version)
    return event
