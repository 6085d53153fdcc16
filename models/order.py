"""An order's record: what its events say of it, and what is kept beside them (cart, contact, deadlines)."""

from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import field
from msgspec.structs import replace

from models.commands import Address, Contact, Item, PlaceOrder
from models.events import Event, EventType, OrderCancelled, OrderPaymentPending
from models.graphs import ORDER_TERMINAL, OrderStatus
from models.messages import Message, as_stored, fields_of, stored_form

PLACED: Final = "PLACED"
"""Status that an order is shown with until Stripe has opened its payment."""


class Order(Message):
    """What the order's own events say, and no more: folding them gives exactly this.

    amount: minor units. reached: status -> milliseconds since the epoch when it was last reached.
    """

    order_id: str
    payment_id: str
    user_id: str
    restaurant_id: str
    amount: int
    currency: str
    status: OrderStatus
    sequence: int
    occurred_at: int
    reached: dict[OrderStatus, int]
    cancel_reason: str | None = None
    cancelled_by: str | None = None


if TYPE_CHECKING:
    StoredAddress = Address
else:
    StoredAddress = stored_form(Address)


class Placed(Message):
    """What the customer sent: the only place where contact and address are kept, for a time.

    contact, address, notes, allergies: None once their time is over (models/retention.py).
    """

    restaurant_id: str
    restaurant_name: str
    items: tuple[Item, ...]
    amount: int
    currency: str
    user_id: str
    contact: Contact | None = None
    address: StoredAddress | None = None
    placed_at: int
    language: str | None = None
    notes: str | None = None
    allergies: str | None = None

    @classmethod
    def of(cls, data: PlaceOrder, placed_at: int) -> Self:
        """What was sent; placed_at: milliseconds since the epoch."""
        stored = {**fields_of(data), "address": as_stored(data.address)}
        return cls(**stored, placed_at=placed_at)


class OrderWork(Message):
    """What no event holds.

    cancel: reason and asker of a cancel that came before the payment existed.
    expiring: the payment's deadline has passed and Stripe has been asked to cancel.
    deadlines: kind ("PAYMENT", "KITCHEN") -> milliseconds since the epoch.
    captured: Stripe has the money (and it is not all refunded).
    refundInitiated: the order has asked for its refund.
    """

    cancel: tuple[str, str] | None = None
    expiring: bool = False
    captured: bool = False
    refund_initiated: bool = False
    deadlines: dict[str, int] = field(default_factory=dict)
    command_sequence: int = 0
    audit_sequence: int = 0
    sequence: int = 0
    occurred_at: int = 0
    correlation_id: str = ""


class OrderRecord(Message):
    """State of an order in the orders table. `sequence` of the work counts all of its events."""

    order: Order | None = None
    placed: Placed | None = None
    work: OrderWork = OrderWork()

    @property
    def status_shown(self) -> str:
        """The order's status, PLACED before its payment has been opened."""
        return self.order.status if self.order else PLACED

    @property
    def has_ended(self) -> bool:
        """Delivered, refunded, or cancelled with no money of it here and nothing to be waited for."""
        if self.order is None or self.work.deadlines:
            return False
        is_unpaid_cancel = self.order.status is OrderStatus.CANCELLED and not (
            self.work.captured or self.work.refund_initiated
        )
        return self.order.status in ORDER_TERMINAL or is_unpaid_cancel


STATUS_AFTER: dict[EventType, OrderStatus] = {
    EventType.ORDER_PAYMENT_PENDING: OrderStatus.PAYMENT_PENDING,
    EventType.ORDER_PAYMENT_FAILED: OrderStatus.PAYMENT_FAILED,
    EventType.ORDER_CREATED: OrderStatus.PENDING,
    EventType.ORDER_CONFIRMED: OrderStatus.CONFIRMED,
    EventType.ORDER_PREPARING: OrderStatus.PREPARING,
    EventType.ORDER_READY_FOR_PICKUP: OrderStatus.READY_FOR_PICKUP,
    EventType.ORDER_OUT_FOR_DELIVERY: OrderStatus.OUT_FOR_DELIVERY,
    EventType.ORDER_DELIVERED: OrderStatus.DELIVERED,
    EventType.ORDER_CANCELLED: OrderStatus.CANCELLED,
    EventType.ORDER_REFUNDED: OrderStatus.REFUNDED,
    EventType.ORDER_REFUND_REVERSED: OrderStatus.CANCELLED,
}
"""Every transition has an event type of its own; a reversed refund leads back to CANCELLED."""


def evolve(order: Order | None, event: Event) -> Order:
    """Fold one event of order-events into the order. Raises ValueError for a foreign first event."""
    at, status = event.occurred_at_ms, STATUS_AFTER[event.event_type]
    if order is None:
        if not isinstance(event.data, OrderPaymentPending):
            raise ValueError(f"an order begins with ORDER_PAYMENT_PENDING, not {event.event_type}")
        data = event.data
        return Order(
            order_id=event.order_id, payment_id=event.payment_id or "", user_id=data.user_id,
            restaurant_id=data.restaurant_id, amount=data.amount, currency=data.currency,
            status=status, sequence=event.sequence, occurred_at=at, reached={status: at},
        )  # fmt: skip
    changes: dict[str, Any] = {
        "status": status, "sequence": event.sequence, "occurred_at": at,
        "reached": {**order.reached, status: at},
    }  # fmt: skip
    if isinstance(event.data, OrderCancelled):
        changes |= {"cancel_reason": event.data.reason, "cancelled_by": event.data.by}
    return replace(order, **changes)
