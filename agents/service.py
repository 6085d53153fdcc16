"""How the services read their input records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from models import topics
from models.commands import read_command, read_webhook
from models.events import OPERATORS, read_event_of
from models.transition import Header


def _event(topic: str, key: bytes, value: bytes) -> tuple[Header, Any]:
    event = read_event_of(topic, key, value)
    if event.producer == OPERATORS:
        return Header(event.event_id), event
    return Header(event.event_id, event.producer, event.sequence), event


def _command(topic: str, key: bytes, value: bytes) -> tuple[Header, Any]:
    command = read_command(topic, key, value)
    header = Header(command.command_id, command.producer, command.sequence, command.body_hash)
    return header, command


def _webhook(_: str, key: bytes, value: bytes) -> tuple[Header, Any]:
    webhook = read_webhook(key, value)
    return Header(webhook.stripe_event_id), webhook


_READERS: Final[Mapping[str, Callable[[str, bytes, bytes], tuple[Header, Any]]]] = {
    topics.ORDER_COMMANDS: _command,
    topics.PAYMENT_COMMANDS: _command,
    topics.DELIVERY_COMMANDS: _command,
    topics.NOTIFICATION_COMMANDS: _command,
    topics.WEBHOOKS: _webhook,
    topics.REFUND_INITIATED: _event,
    topics.PAYMENT_EVENTS: _event,
    "payment-completed": _event,
    "payment-failed": _event,
    "payment-refunded": _event,
    "payment-refund-partial": _event,
    topics.ORDER_EVENTS: _event,
    topics.DELIVERY_EVENTS: _event,
    topics.ORDER_AUDIT: _event,
}


class Reading:
    """Reads records by the topic that they came from."""

    def parse(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[Header, Any]:
        """Read one record. Raises UnreadableError when it can't be read."""
        return _READERS[topic](topic, key, value)
