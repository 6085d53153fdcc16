"""States folded anew from events: which events make which state, and events read back from a timeline.

What else a service's record holds (work under way, contacts) no event gives.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from models import delivery, order, payment, topics
from models.events import EVENTS, Event, EventType
from models.messages import Message


@dataclass(frozen=True, slots=True)
class EventFold:
    """How the events of a service make its state.

    service: its table and the producer of its events. topic: where the events are that `evolve` folds; other
    events of the producer, elsewhere, count in its sequence alone. derived: that state in the service's record.
    """

    service: str
    topic: str
    evolve: Callable[[Any, Event], Any]
    derived: Callable[[Any], Any]


EVENT_FOLDS: Final[Mapping[str, EventFold]] = {
    part.service: part
    for part in (
        EventFold("payments", topics.PAYMENT_EVENTS, payment.evolve, lambda state: state.payment),
        EventFold("orders", topics.ORDER_EVENTS, order.evolve, lambda state: state.order),
        EventFold(
            "deliveries", topics.DELIVERY_EVENTS, delivery.evolve, lambda state: state.delivery
        ),
    )
}
"""By service."""


def derived_state(service: str, state: Any) -> Message | None:
    """What evolve derives, of the state in a service's record; None before the first event."""
    found: Message | None = None if state is None else EVENT_FOLDS[service].derived(state)
    return found


def as_json(state: Message) -> dict[str, Any]:
    """A derived state as JSON values; the same for the same state, however it came about."""
    return state.model_dump(mode="json", by_alias=True)


def event_of(order_id: str, row: Mapping[str, Any]) -> Event:
    """The event of a timeline's row, as it was emitted. Raises ValueError for a row that is none."""
    event_type = EventType(row["eventType"])
    kind = EVENTS[event_type].data
    # Rows leave out what is null, also where a field has to be there.
    missing = {
        field.alias or name: None
        for name, field in kind.model_fields.items()
        if field.is_required()
    }
    return Event(
        event_id=row["eventId"],
        event_type=event_type,
        occurred_at=row["occurredAt"],
        order_id=order_id,
        payment_id=row.get("paymentId"),
        sequence=row["sequence"],
        causation_id=row.get("causationId") or "",
        correlation_id=row.get("correlationId") or "",
        producer=row["service"],
        data=kind.model_validate({**missing, **row["detail"]}),
    )
