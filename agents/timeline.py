"""The timeline service: one ordered history of an order over all topics that are kept for ever."""

from typing import Final

import orjson
from msgspec import to_builtins

from agents.service import GATHERED_S, Service, events
from models import search_terms, topics
from models.events import Event
from models.transition import Decision, Input, ReadRow


def decide(state: int, record: Input, _read: ReadRow) -> Decision:
    """Add the event as the order's next row, `orderId/number`, and rows by which its ids are found."""
    event: Event = record.message
    row = {
        "occurredAt": event.occurred_at,
        "service": event.producer,
        "eventType": event.event_type,
        "eventId": event.event_id,
        "causationId": event.causation_id,
        "correlationId": event.correlation_id,
        "sequence": event.sequence,
        "topic": record.topic,
        "paymentId": event.payment_id,
        "detail": {
            name: value for name, value in to_builtins(event.data).items() if value is not None
        },
    }
    number = state + 1
    rows = {f"{record.key}/{number:06d}": orjson.dumps(row), **search_terms.rows_of_event(event)}
    return Decision(number, rows=rows)


TIMELINE: Final = Service(
    name="timeline",
    about="Keeps one ordered history of each order over all topics that are kept for ever.",
    inputs=dict.fromkeys(
        (topics.PAYMENT_EVENTS, topics.ORDER_EVENTS, topics.DELIVERY_EVENTS, topics.ORDER_AUDIT),
        events,
    ),
    state=int,
    initial=0,
    decide=decide,
    gather_s=GATHERED_S,
)
