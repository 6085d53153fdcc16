"""Builds one decision: numbers, dates and serialises the events and commands that a service emits."""

import re
from typing import Final

from models import ids
from models.cloudevents import cloudevent_headers
from models.commands import COMMANDS, Command, CommandType, WebhookReceived
from models.delivery import DeliveryRecord
from models.events import AUDIT_TYPES, EVENTS, CommandRefused, Event, EventType
from models.fields import MAX_COUNT
from models.messages import Message, encode
from models.notification import NotificationRecord
from models.order import OrderWork
from models.payment import PaymentWork
from models.times import DAY_MS, from_rfc3339, to_rfc3339
from models.tracing import TRACEPARENT
from models.transition import Input, Outcome, Output
from models.upcasters import written_version

SYSTEM: Final = "system"
_TRACEPARENT_FORM: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MAX_AUDIT_RECORDS: Final = 500
"""Records of one service's audit of an order, from which on a customer's refusals are not added: whoever
asks again and again would make a timeline that no worker can show."""
MAX_TIMESTAMP_DEVIATION_MS: Final = 10 * 365 * DAY_MS
"""Between a record's own time and Kafka's timestamp: a dead letter may be redriven that late."""


DecisionState = OrderWork | PaymentWork | DeliveryRecord | NotificationRecord
"""What a service keeps between two decisions: their audit's count, the latest time, the correlation."""


class DecisionBuilder:
    """Collects the outputs of one input, in order.

    sequence, audit_sequence, command_sequence: the last numbers used so far; read them back afterwards.
    at_ms, at: when all of it occurred (RFC 3339): the input's time, but never before the record's last.
    """

    def __init__(
        self,
        producer: str,
        record: Input,
        kept: DecisionState,
        sequence: int = 0,
        command_sequence: int = 0,
    ) -> None:
        self.producer, self.input, self.order_id = producer, record, record.key
        self.payment_id = ids.payment_id(record.key)
        self.at_ms = max(time_of(record), kept.occurred_at)
        self.at = to_rfc3339(self.at_ms)
        caused = getattr(record.message, "correlation_id", "") or record.identity.id
        self.correlation_id = kept.correlation_id or caused
        self.sequence, self.audit_sequence = sequence, kept.audit_sequence
        self.command_sequence = command_sequence
        self.outputs: list[Output] = []
        self.events: list[str] = []
        self.positions: dict[str, int] = {}
        self._index = 0
        self._traceparent = _traceparent_of(record)

    @property
    def traceparent(self) -> str | None:
        """The trace that the input belongs to, and so all that follows from it."""
        return self._traceparent.decode() if self._traceparent else None

    def emit(self, event_type: EventType, data: Message) -> Event:
        """Add an event, or a record of the audit, with the next number of its count.

        Raises ValueError for a number that no reader takes, and for a type that begins at a later level.
        """
        spec = EVENTS[event_type]
        if self.input.level < spec.since:
            raise ValueError(f"{event_type} begins at level {spec.since:d}")
        is_audit = event_type in AUDIT_TYPES
        if is_audit:
            self.audit_sequence += 1
        else:
            self.sequence += 1
        if max(self.sequence, self.audit_sequence) > MAX_COUNT:
            raise ValueError(f"{self.producer}: more than {MAX_COUNT} events of one order")
        event = Event(
            event_id=self._next_id(),
            event_type=event_type,
            schema_version=written_version(event_type, self.input.level),
            occurred_at=self.at,
            order_id=self.order_id,
            payment_id=self.payment_id,
            sequence=self.audit_sequence if is_audit else self.sequence,
            causation_id=self.input.identity.id,
            correlation_id=self.correlation_id,
            producer=self.producer,
            data=data,
        )
        headers = self._headers(event.event_id, event_type, event.occurred_at)
        value = encode(event)
        for topic in spec.topics:
            self.outputs.append(Output(topic, self.order_id, value, headers))
            self.positions[topic] = event.sequence
        if not is_audit:
            self.events.append(event.event_id)
        return event

    def send(self, command_type: CommandType, data: Message) -> None:
        """Add a command to another service, with the next number of this service's commands.

        Raises ValueError for a type that begins at a later level.
        """
        _, topic, since = COMMANDS[command_type]
        if self.input.level < since:
            raise ValueError(f"{command_type} begins at level {since:d}")
        self.command_sequence += 1
        command = Command(
            command_id=self._next_id(),
            command_type=command_type,
            schema_version=written_version(command_type, self.input.level),
            issued_at=self.at,
            issued_by=f"{SYSTEM}:{self.producer}",
            order_id=self.order_id,
            causation_id=self.input.identity.id,
            correlation_id=self.correlation_id,
            producer=self.producer,
            sequence=self.command_sequence,
            data=data,
        )
        headers = self._headers(command.command_id, command_type, command.issued_at)
        self.outputs.append(Output(topic, self.order_id, encode(command), headers))
        self.positions[topic] = command.sequence

    def accept(self) -> Outcome:
        """Give the outcome of a command that was carried out."""
        return Outcome(accepted=True, events=tuple(self.events), positions=dict(self.positions))

    @property
    def command(self) -> Command:
        """The input, where it is a command."""
        command: Command = self.input.message
        return command

    @property
    def is_operator(self) -> bool:
        """Whether the input is an operator's command."""
        return self.command.issued_by.startswith("operator:")

    def refuse(self, code: str, detail: str) -> Outcome:
        """Record the command's refusal in the audit and give it as the outcome."""
        command = self.command
        is_customers = command.issued_by.startswith("customer:")
        if is_customers and self.audit_sequence >= MAX_AUDIT_RECORDS:
            return Outcome(accepted=False, code=code, detail=detail)
        asked = {"command_id": command.command_id, "command_type": command.command_type}
        refused = CommandRefused(**asked, code=code, detail=detail, by=command.issued_by)
        self.emit(EventType.COMMAND_REFUSED, refused)
        return Outcome(accepted=False, code=code, detail=detail, positions=dict(self.positions))

    def _headers(self, id: str, type: str, time: str) -> tuple[tuple[str, bytes], ...]:
        headers = cloudevent_headers(id, type, f"/tiffin/{self.producer}", time)
        return (*headers, (TRACEPARENT, self._traceparent)) if self._traceparent else headers

    def _next_id(self) -> str:
        self._index += 1
        return ids.event_id(self.input.identity.id, self.producer, self._index)


def _traceparent_of(record: Input) -> bytes | None:
    """The input's trace context, if it is one: whatever else the header holds goes no further.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    header = dict(record.headers).get(TRACEPARENT)
    return header if header and _TRACEPARENT_FORM.fullmatch(header) else None


def time_of(record: Input) -> int:
    """When an input came, in milliseconds since the epoch: Kafka's timestamp, where that is a time.

    Whoever writes a record may give it any timestamp: -1, 1970, 2099. One that is years away from what
    the record says of itself, which was checked when it was read, does not count.
    """
    match record.message:
        case Command(issued_at=at) | Event(occurred_at=at):
            said_ms = from_rfc3339(at)
        case WebhookReceived(created=created_s):
            said_ms = created_s * 1000
        case _:
            return record.timestamp_ms
    is_a_time = abs(record.timestamp_ms - said_ms) <= MAX_TIMESTAMP_DEVIATION_MS
    return record.timestamp_ms if is_a_time else said_ms
