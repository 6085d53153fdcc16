"""Decide and evolve of deliveries: created by a paid order, moved by couriers, cancelled with the order."""

from typing import Any, Final

from pydantic import Field

from models import ids
from models.commands import AssignDelivery, CancelOrder, Command, CommandType
from models.events import DeliveryMoved, Event, EventType
from models.graphs import DELIVERY_GRAPH, DeliveryStatus, OrderStatus
from models.messages import Message
from models.order_state import STATUS_AFTER as ORDER_STATUS_AFTER
from models.transition import Decision, Input, Outcome
from models.turn import SYSTEM, Turn

S, E, C = DeliveryStatus, EventType, CommandType

STATUS_AFTER: Final = {
    E.DELIVERY_CREATED: S.PENDING,
    E.DELIVERY_ASSIGNED: S.ASSIGNED,
    E.DELIVERY_PICKED_UP: S.PICKED_UP,
    E.DELIVERY_DELIVERED: S.DELIVERED,
    E.DELIVERY_CANCELLED: S.CANCELLED,
}
EVENT_OF: Final = {
    C.ASSIGN_DELIVERY: E.DELIVERY_ASSIGNED,
    C.PICK_UP_DELIVERY: E.DELIVERY_PICKED_UP,
    C.COMPLETE_DELIVERY: E.DELIVERY_DELIVERED,
    C.CANCEL_DELIVERY: E.DELIVERY_CANCELLED,
}
"""What each command leads to, where the graph allows it."""
ENDED: Final = frozenset({S.DELIVERED, S.CANCELLED})
CARRIED: Final = frozenset({S.ASSIGNED, S.PICKED_UP})
"""What a courier has taken on and not ended: counted against the limit of one courier."""
TRUSTED: Final = frozenset({"operator", SYSTEM})
"""Roles that may move anybody's delivery; a courier may move its own."""


class Delivery(Message):
    """What the delivery's events say. reached: status -> milliseconds since the epoch."""

    order_id: str
    status: DeliveryStatus
    courier_id: str | None = None
    cancel_reason: str | None = None
    sequence: int
    occurred_at: int
    reached: dict[DeliveryStatus, int]


class DeliveryRecord(Message):
    """State of an order's delivery in the deliveries table.

    order_status: as order-events last told; None before the first of them.
    order_cancelled: the order has ended so; a delivery that does not exist yet never will.
    """

    delivery: Delivery | None = None
    order_status: OrderStatus | None = None
    order_cancelled: bool = False
    audit_sequence: int = Field(default=0)
    occurred_at: int = 0
    correlation_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Nothing can happen to this delivery any more."""
        if self.delivery is None:
            return self.order_cancelled
        return self.delivery.status in ENDED


def evolve(delivery: Delivery | None, event: Event) -> Delivery:
    """Fold one event of delivery-events. Raises ValueError for a foreign first event."""
    at, status = event.occurred_at_ms, STATUS_AFTER[event.event_type]
    data: DeliveryMoved = event.data
    if delivery is None:
        if event.event_type is not E.DELIVERY_CREATED:
            raise ValueError(f"a delivery begins with DELIVERY_CREATED, not {event.event_type}")
        return Delivery(
            order_id=event.order_id, status=status, sequence=event.sequence, occurred_at=at,
            reached={status: at},
        )  # fmt: skip
    changes: dict[str, Any] = {
        "status": status, "sequence": event.sequence, "occurred_at": at,
        "reached": {**delivery.reached, status: at},
        "courier_id": data.courier_id or delivery.courier_id, "cancel_reason": data.reason,
    }  # fmt: skip
    return delivery.model_copy(update=changes)


class DeliveryTurn(Turn):
    """One decision about a delivery."""

    def __init__(self, state: DeliveryRecord, record: Input) -> None:
        self.delivery, self.order_cancelled = state.delivery, state.order_cancelled
        self.order_status = state.order_status
        known = state.delivery
        super().__init__(
            "deliveries",
            record,
            payment_id=ids.payment_id(record.key),
            last_at_ms=state.occurred_at,
            correlation_id=state.correlation_id,
            sequence=known.sequence if known else 0,
            audit_sequence=state.audit_sequence,
        )

    def finished(self) -> DeliveryRecord:
        """The record as it is to be stored."""
        return DeliveryRecord(
            delivery=self.delivery, order_status=self.order_status,
            order_cancelled=self.order_cancelled, audit_sequence=self.audit_sequence,
            occurred_at=self.at_ms, correlation_id=self.correlation_id,
        )  # fmt: skip

    def allows(self, event_type: EventType) -> bool:
        """Whether the graph has this edge."""
        here = self.delivery.status if self.delivery else None
        return STATUS_AFTER[event_type] in DELIVERY_GRAPH[here]

    def move(self, event_type: EventType, data: DeliveryMoved) -> None:
        """Take one edge of the graph."""
        assert self.allows(event_type)
        self.delivery = evolve(self.delivery, self.emit(event_type, data))


def decide(state: DeliveryRecord | None, record: Input) -> Decision:
    """Decide one input of the deliveries service. Pure; never raises on what the world can send."""
    turn = DeliveryTurn(state or DeliveryRecord(), record)
    outcome: Outcome | None = None
    if isinstance(record.message, Command):
        outcome = _command(turn, record.message)
    else:
        _order_event(turn, record.message)
    return Decision(turn.finished(), turn.outputs, outcome=outcome)


def _command(turn: DeliveryTurn, command: Command) -> Outcome:
    event_type, data = EVENT_OF[command.command_type], command.data
    if not _may(turn, command):
        return turn.refuse(command, "WRONG_COURIER", "This delivery is another courier's.")
    if not turn.allows(event_type):
        where = f"is {turn.delivery.status}" if turn.delivery else "does not exist"
        return turn.refuse(
            command,
            "NOT_ALLOWED_NOW",
            f"The delivery {where}; {command.command_type} is not possible.",
        )
    if event_type is E.DELIVERY_PICKED_UP and turn.order_status is not OrderStatus.READY_FOR_PICKUP:
        # Commands and order-events are two topics: the kitchen's word may still be on its way.
        return turn.refuse(
            command,
            "NOT_READY_FOR_PICKUP",
            f"Deliveries knows the order as {turn.order_status}; it can be picked up once the kitchen "
            "has marked it ready. If that was a moment ago, try again.",
        )
    moved = DeliveryMoved(
        courier_id=data.courier_id if isinstance(data, AssignDelivery) else None,
        reason=data.reason if isinstance(data, CancelOrder) else None,
    )
    turn.move(event_type, moved)
    return turn.accept()


def _may(turn: DeliveryTurn, command: Command) -> bool:
    """A courier takes deliveries for itself and moves its own; nobody else but TRUSTED roles may."""
    role, _, subject = command.issued_by.partition(":")
    if role in TRUSTED:
        return True
    if role != "courier" or command.command_type is C.CANCEL_DELIVERY:
        return False
    if isinstance(command.data, AssignDelivery):
        return bool(command.data.courier_id == subject)
    courier_id = turn.delivery.courier_id if turn.delivery else None
    # Before there is a courier the graph refuses, with a better reason.
    return courier_id is None or courier_id == subject


def _order_event(turn: DeliveryTurn, event: Event) -> None:
    turn.order_status = ORDER_STATUS_AFTER[event.event_type]
    if event.event_type is E.ORDER_CREATED:
        if turn.delivery is None and not turn.order_cancelled:
            turn.move(E.DELIVERY_CREATED, DeliveryMoved())
    elif event.event_type is E.ORDER_CANCELLED:
        turn.order_cancelled = True
        if turn.delivery and turn.allows(E.DELIVERY_CANCELLED):
            turn.move(E.DELIVERY_CANCELLED, DeliveryMoved(reason=f"{SYSTEM}:{event.data.reason}"))
