"""The audit's records of what operators do that concerns no order."""

import time
from typing import Final

from app.kafka.headers import record_headers
from models import ids
from models.events import NO_ORDER, OPERATORS, Event, EventType
from models.messages import Message, encode
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import ORDER_AUDIT

OPERATORS_SOURCE: Final = f"/tiffin/{OPERATORS}"
"""CloudEvents' ce_source of what is put into Kafka for an operator."""


async def publish_audit_event(
    sender: CommandSender, event_type: EventType, cause: str, data: Message
) -> None:
    """Return once Kafka has it; cause: what its id is made of. Raises KafkaUnavailableError."""
    event = Event(
        event_id=ids.event_id(cause, OPERATORS, 1),
        event_type=event_type,
        occurred_at=to_rfc3339(time.time_ns() // 1_000_000),
        order_id=NO_ORDER,
        payment_id=None,
        sequence=1,
        causation_id=cause,
        correlation_id=cause,
        producer=OPERATORS,
        data=data,
    )
    headers = record_headers(event.event_id, event.event_type, OPERATORS_SOURCE, event.occurred_at)
    await sender.put(ORDER_AUDIT, NO_ORDER.encode(), encode(event), headers)
