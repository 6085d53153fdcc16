"""The audit's records of what operators do."""

from typing import Final

from app.kafka.headers import record_headers
from models import ids
from models.events import NO_ORDER, OPERATORS, Event, EventType
from models.messages import Message, encode
from models.sender import CommandSender
from models.times import machine_now_ms, to_rfc3339
from models.topics import ORDER_AUDIT

OPERATORS_SOURCE: Final = f"/tiffin/{OPERATORS}"
"""CloudEvents' ce_source of what is put into Kafka for an operator."""


def operator_event(
    event_type: EventType, act: str, cause: str, data: Message, at_ms: int, order_id: str = NO_ORDER
) -> Event:
    """The audit's record of an act; its id is made of `act`."""
    return Event(
        event_id=ids.event_id(act, OPERATORS, 1),
        event_type=event_type,
        occurred_at=to_rfc3339(at_ms),
        order_id=order_id,
        payment_id=None if order_id == NO_ORDER else ids.payment_id(order_id),
        sequence=1,
        causation_id=cause,
        correlation_id=cause,
        producer=OPERATORS,
        data=data,
    )


async def publish_audit_event(
    sender: CommandSender, event_type: EventType, cause: str, data: Message
) -> None:
    """Return once Kafka has it; cause: what its id is made of. Raises KafkaUnavailableError."""
    await publish_event(sender, operator_event(event_type, cause, cause, data, machine_now_ms()))


async def publish_event(sender: CommandSender, event: Event) -> None:
    """Put an event of an operator into the audit. Raises KafkaUnavailableError."""
    headers = record_headers(event.event_id, event.event_type, OPERATORS_SOURCE, event.occurred_at)
    await sender.put(ORDER_AUDIT, event.order_id.encode(), encode(event), headers)
