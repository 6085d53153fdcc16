"""The timeline service: one ordered history of an order over all topics that are kept for ever."""

from collections.abc import Callable
from typing import Any

import orjson

from agents.service import Reading
from models import search_terms, topics
from models.events import Event
from models.transition import Decision, Input


class TimelineService(Reading):
    """Writes a row `orderId/number` for each event and audit record, and rows by which ids are found."""

    name = "timeline"
    inputs = topics.inputs_of("timeline")

    def load(self, raw: Any) -> int:
        """Give the number of rows."""
        return int(raw or 0)

    def dump(self, state: int) -> int:
        """Give the number of rows as JSON."""
        return state

    def decide(self, state: int, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        """Add the event as the order's next row."""
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
            "detail": event.data.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        number = (state or 0) + 1
        rows = {
            f"{record.key}/{number:06d}": orjson.dumps(row),
            **search_terms.rows_of_event(event),
        }
        return Decision(number, rows=rows)
