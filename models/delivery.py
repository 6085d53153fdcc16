"""Decide and evolve of deliveries: created by a paid order, moved by couriers, cancelled with the order."""

from typing import Any, Final

from msgspec.structs import replace

from models.commands import CommandType
from models.delivery_code import DeliveryProof
from models.events import DeliveryMoved, Event, EventType
from models.graphs import DeliveryStatus, OrderStatus
from models.messages import Message

S, E, C = DeliveryStatus, EventType, CommandType

STATUS_AFTER: Final = {
    E.DELIVERY_CREATED: S.PENDING,
    E.DELIVERY_ASSIGNED: S.ASSIGNED,
    E.DELIVERY_PICKED_UP: S.PICKED_UP,
    E.DELIVERY_DELIVERED: S.DELIVERED,
    E.DELIVERY_CANCELLED: S.CANCELLED,
}
ENDED_STATUSES: Final = frozenset({S.DELIVERED, S.CANCELLED})


class Delivery(Message):
    """What the delivery's events say. reached: status -> milliseconds since the epoch."""

    shown_if_set = ("proof",)

    order_id: str
    status: DeliveryStatus
    courier_id: str | None = None
    cancel_reason: str | None = None
    sequence: int
    occurred_at: int
    reached: dict[DeliveryStatus, int]
    proof: DeliveryProof | None = None


class DeliveryRecord(Message):
    """State of an order's delivery in the deliveries table.

    order_status: as order-events last told; None before the first of them.
    order_cancelled: the order has ended so; a delivery that does not exist yet never will.
    wrong_codes: how often the courier has typed a wrong delivery code.
    """

    delivery: Delivery | None = None
    order_status: OrderStatus | None = None
    order_cancelled: bool = False
    audit_sequence: int = 0
    occurred_at: int = 0
    correlation_id: str = ""
    wrong_codes: int = 0

    @property
    def has_ended(self) -> bool:
        """Nothing can happen to this delivery any more."""
        if self.delivery is None:
            return self.order_cancelled
        return self.delivery.status in ENDED_STATUSES


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
        "proof": data.proof,
    }  # fmt: skip
    return replace(delivery, **changes)
