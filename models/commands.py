"""Commands: their envelope, the data of each type, and the topic that takes each; Stripe's webhooks too."""

from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

from models import topics
from models.delivery_code import CodeCheck
from models.fields import (
    MAX_COUNT,
    ONE_LINE,
    Count,
    Currency,
    EpochMillis,
    EpochSeconds,
    Id,
    LanguageCode,
    MinorUnits,
    PositiveMinorUnits,
    SequenceNumber,
    ShortText,
    Text,
    Timestamp,
    Url,
    form,
)
from models.levels import OLDEST, Level
from models.messages import Data, Message, OrderMessage, read_data, read_envelope, written
from models.repair import RepairState
from models.stripe_facts import (
    DisputeFacts,
    FraudWarningFacts,
    IntentFacts,
    RefundFacts,
    ReviewFacts,
)
from models.transition import UnreadableError


class CommandType(StrEnum):
    """Types of commands."""

    PLACE_ORDER = "PLACE_ORDER"
    CANCEL_ORDER = "CANCEL_ORDER"
    ACCEPT_ORDER = "ACCEPT_ORDER"
    REJECT_ORDER = "REJECT_ORDER"
    START_PREPARING = "START_PREPARING"
    MARK_READY = "MARK_READY"
    CHECK_DEADLINE = "CHECK_DEADLINE"
    INITIATE_PAYMENT = "INITIATE_PAYMENT"
    CONFIRM_PAYMENT = "CONFIRM_PAYMENT"
    CANCEL_PAYMENT = "CANCEL_PAYMENT"
    REFUND_PAYMENT = "REFUND_PAYMENT"
    RETRY_REFUND = "RETRY_REFUND"
    STRIPE_RESULT = "STRIPE_RESULT"
    OBSERVE_PAYMENT = "OBSERVE_PAYMENT"
    ASK_STRIPE_AGAIN = "ASK_STRIPE_AGAIN"
    ASSIGN_DELIVERY = "ASSIGN_DELIVERY"
    PICK_UP_DELIVERY = "PICK_UP_DELIVERY"
    COMPLETE_DELIVERY = "COMPLETE_DELIVERY"
    CANCEL_DELIVERY = "CANCEL_DELIVERY"
    NOTIFICATION_RESULT = "NOTIFICATION_RESULT"
    RETRY_NOTIFICATION = "RETRY_NOTIFICATION"
    REPAIR_ORDER = "REPAIR_ORDER"
    REPAIR_PAYMENT = "REPAIR_PAYMENT"
    REPAIR_DELIVERY = "REPAIR_DELIVERY"


C = CommandType


class Item(Message):
    dish_id: ShortText
    name: ShortText
    quantity: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    unit_price: MinorUnits


class Contact(Message):
    name: ShortText
    email: ShortText
    phone: ShortText


class Address(Message):
    line1: ShortText
    line2: ShortText = written("")
    city: ShortText
    postal_code: ShortText


class PlaceOrder(Message):
    """The one record that carries contact and address.

    language: that the customer reads, such as "de". notes, allergies: for the kitchen, in their words.
    """

    restaurant_id: ShortText
    restaurant_name: ShortText
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=1000)]
    amount: PositiveMinorUnits
    currency: Currency
    user_id: ShortText
    contact: Contact
    address: Address
    language: LanguageCode | None = None
    notes: ShortText | None = None
    allergies: ShortText | None = None


class CancelOrder(Message):
    reason: ShortText = written("CUSTOMER_REQUEST")


class RejectOrder(Message):
    reason: ShortText


class NoData(Message):
    """Data of a command whose type says it all."""


class CheckDeadline(Message):
    deadline: Literal["PAYMENT", "KITCHEN"]
    due_at: EpochMillis


class InitiatePayment(Message):
    """dueAt: the order's deadline; missing in those of earlier versions, which go by the setting."""

    amount: PositiveMinorUnits
    currency: Currency
    user_id: ShortText
    restaurant_id: ShortText = written("")
    due_at: EpochMillis | None = None


class ConfirmPayment(Message):
    confirmation_token: Id | None = written(None)
    payment_method_id: Id | None = written(None)
    return_url: Url | None = written(None)


class CancelPayment(Message):
    reason: ShortText = written("CUSTOMER_REQUEST")


class RefundPayment(Message):
    """amount: None refunds all that is left."""

    amount: PositiveMinorUnits | None = written(None)
    reason: ShortText = written("OPERATOR_REQUEST")


class RetryRefund(Message):
    """Refund once more what a refund that failed did not give back."""

    refund_id: Id


class ResultKind(StrEnum):
    """How an effect ended; UNKNOWN outcomes are never reported, they are looked up until they are known."""

    DONE = "DONE"
    DECLINED = "DECLINED"
    CONFLICT = "CONFLICT"
    INVALID = "INVALID"
    NOT_SUBMITTED = "NOT_SUBMITTED"
    TRY_AGAIN = "TRY_AGAIN"


class StripeResult(Message):
    """An effect's outcome, with what Stripe said of the object.

    NOT_SUBMITTED: the intent is told only as it was found undone, for its time.
    TRY_AGAIN: Stripe answered definitively with an error that it keeps for the key, and a look-up shows
    no object: the next try gets a new key.
    """

    effect_id: Id
    idempotency_key: ShortText
    result: ResultKind
    intent: IntentFacts | None = written(None)
    refund: RefundFacts | None = written(None)
    code: ShortText | None = written(None)
    message: Text | None = written(None)


class ObservePayment(Message):
    """The result of a look-up at Stripe.

    attempt, sequence, auditSequence: the payment's when the look-up began; the last two are missing in those of
    earlier versions. unknownDisputes: were asked about, and Stripe has none of these ids. intent: None: Stripe
    has none of this id.
    """

    attempt: Count
    intent: IntentFacts | None = None
    refunds: Annotated[tuple[RefundFacts, ...], Meta(max_length=1000)] = written(())
    disputes: Annotated[tuple[DisputeFacts, ...], Meta(max_length=100)] = ()
    unknown_disputes: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    sequence: Count | None = None
    audit_sequence: Count | None = None


class AssignDelivery(Message):
    courier_id: ShortText


class CompleteDelivery(Message):
    """code: None where the platform asks for no delivery code. The code itself is in no record."""

    code: CodeCheck | None = None


class SendResult(StrEnum):
    """How a try to send a notification ended.

    REFUSED: no repetition can help. HELD: the contact has had as many messages as it may have, and this
    one was not sent. DEFERRED: another try may; an unknown outcome is one of these, and
    the message's id is the same in every try.
    """

    SENT = "SENT"
    REFUSED = "REFUSED"
    DEFERRED = "DEFERRED"
    HELD = "HELD"


class NotificationResult(Message):
    """attempt: the number of the try. code: never free text, which may name an address.

    heldUntil: with HELD, when it may be sent; milliseconds since the epoch.
    """

    notification_id: Id
    attempt: SequenceNumber
    result: SendResult
    provider_id: Annotated[str, form(ONE_LINE, max_length=200)] | None = written(None)
    code: Annotated[str, form(r"\w{1,60}")] | None = written(None)
    held_until: EpochMillis | None = written(None)


class RetryNotification(Message):
    notification_id: Id


class CommandSpec(NamedTuple):
    """What is fixed for a type of commands.

    data: what `data` holds. topic: which takes it. since: the level from which on it is sent.
    """

    data: type[Message]
    topic: str
    since: Level = OLDEST


COMMANDS: Final[dict[CommandType, CommandSpec]] = {
    C.PLACE_ORDER: CommandSpec(PlaceOrder, topics.ORDER_COMMANDS),
    C.CANCEL_ORDER: CommandSpec(CancelOrder, topics.ORDER_COMMANDS),
    C.ACCEPT_ORDER: CommandSpec(NoData, topics.ORDER_COMMANDS),
    C.REJECT_ORDER: CommandSpec(RejectOrder, topics.ORDER_COMMANDS),
    C.START_PREPARING: CommandSpec(NoData, topics.ORDER_COMMANDS),
    C.MARK_READY: CommandSpec(NoData, topics.ORDER_COMMANDS),
    C.CHECK_DEADLINE: CommandSpec(CheckDeadline, topics.ORDER_COMMANDS),
    C.INITIATE_PAYMENT: CommandSpec(InitiatePayment, topics.PAYMENT_COMMANDS),
    C.CONFIRM_PAYMENT: CommandSpec(ConfirmPayment, topics.PAYMENT_COMMANDS),
    C.CANCEL_PAYMENT: CommandSpec(CancelPayment, topics.PAYMENT_COMMANDS),
    C.REFUND_PAYMENT: CommandSpec(RefundPayment, topics.PAYMENT_COMMANDS),
    C.RETRY_REFUND: CommandSpec(RetryRefund, topics.PAYMENT_COMMANDS),
    C.STRIPE_RESULT: CommandSpec(StripeResult, topics.PAYMENT_COMMANDS),
    C.OBSERVE_PAYMENT: CommandSpec(ObservePayment, topics.PAYMENT_COMMANDS),
    C.ASK_STRIPE_AGAIN: CommandSpec(NoData, topics.PAYMENT_COMMANDS),
    C.ASSIGN_DELIVERY: CommandSpec(AssignDelivery, topics.DELIVERY_COMMANDS),
    C.PICK_UP_DELIVERY: CommandSpec(NoData, topics.DELIVERY_COMMANDS),
    C.COMPLETE_DELIVERY: CommandSpec(CompleteDelivery, topics.DELIVERY_COMMANDS),
    C.CANCEL_DELIVERY: CommandSpec(CancelOrder, topics.DELIVERY_COMMANDS),
    C.NOTIFICATION_RESULT: CommandSpec(NotificationResult, topics.NOTIFICATION_COMMANDS),
    C.RETRY_NOTIFICATION: CommandSpec(RetryNotification, topics.NOTIFICATION_COMMANDS),
    C.REPAIR_ORDER: CommandSpec(RepairState, topics.ORDER_COMMANDS, Level.V0_2),
    C.REPAIR_PAYMENT: CommandSpec(RepairState, topics.PAYMENT_COMMANDS, Level.V0_2),
    C.REPAIR_DELIVERY: CommandSpec(RepairState, topics.DELIVERY_COMMANDS, Level.V0_2),
}
PRODUCERS_OF_COMMANDS: Final[dict[str, frozenset[str]]] = {
    spec.topic: frozenset({"", "orders"} if spec.topic == topics.PAYMENT_COMMANDS else {""})
    for spec in COMMANDS.values()
}
"""Topic -> services whose commands it takes, told apart by their sequence; "": all other senders'."""


class Command(OrderMessage):
    """The envelope of commands.

    issuedBy: the role and subject that asked ("customer:...", "operator:...", "system:orders").
    bodyHash: of the request that made it; the same id with another body is a conflict.
    producer, sequence: set when an engine emitted it.
    """

    command_id: Id
    command_type: CommandType
    schema_version: Count = written(1)
    issued_at: Timestamp
    issued_by: ShortText
    body_hash: ShortText = written("")
    causation_id: ShortText = written("")
    correlation_id: ShortText = written("")
    producer: ShortText = written("")
    sequence: Count = written(0)
    data: Data


FACTS: Final = ("intent", "refund", "dispute", "fraud_warning", "review")
"""Fields of a webhook of which one at most is told."""


MAX_MORE_REFUNDS: Final = 200


class WebhookReceived(OrderMessage):
    """A verified Stripe event, reduced to its facts: no secret and no personal data is left in it.

    moreRefunds: those before `refund` of a charge.refunded, which tells of none: the oldest first.
    """

    stripe_event_id: Id
    stripe_event_type: ShortText
    created: EpochSeconds
    intent: IntentFacts | None = written(None)
    refund: RefundFacts | None = written(None)
    dispute: DisputeFacts | None = written(None)
    fraud_warning: FraudWarningFacts | None = None
    review: ReviewFacts | None = None
    more_refunds: Annotated[tuple[RefundFacts, ...], Meta(max_length=MAX_MORE_REFUNDS)] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where more than one thing is told."""
        if sum(getattr(self, name) is not None for name in FACTS) > 1:
            raise ValueError(f"at most one of {', '.join(FACTS)}")


def read_command(topic: str, key: bytes, value: bytes) -> Command:
    """Read a command of a topic with its typed data. Raises UnreadableError."""
    command = read_envelope(Command, key, value)
    if command.producer not in PRODUCERS_OF_COMMANDS[topic]:
        raise UnreadableError("producer: no service that emits commands to this topic")
    if bool(command.producer) is not bool(command.sequence):
        raise UnreadableError("sequence: counts the commands of a producer, and only those")
    spec = COMMANDS[command.command_type]
    if spec.topic != topic:
        raise UnreadableError(f"commandType: {topic} does not take {command.command_type}")
    read_data(command, spec.data, command.command_type, command.schema_version)
    return command


def read_webhook(key: bytes, value: bytes) -> WebhookReceived:
    """Read a reduced Stripe event. Raises UnreadableError."""
    return read_envelope(WebhookReceived, key, value)
