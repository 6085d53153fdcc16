"""What Kafka has of one order: the inputs of its services, and what each service sent because of each input."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from app.dead_letters.log import MARKER
from models.topics import DEAD_LETTERS, ORDER_AUDIT
from models.tracing import TRACEPARENT, trace_id
from tables import DEAD_LETTER_ID_HEADER, DEAD_LETTER_PREFIX, REDRIVE_HEADER, SERVICE_HEADER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tables import ConsumedRecord


SOURCE: Final = "/tiffin/"
SPAN: Final = f"{1:016x}"
IDS: Final = ("eventId", "commandId", "stripeEventId")
Cause = tuple[str, ...]
"""What led to an output: the id of a message, or for a dead letter the topic and offset of a record."""


class SentRecord(NamedTuple):
    """A record that a service sent, or would send. The span in its traceparent is left out."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class OutputNumber(NamedTuple):
    """An output's number in one of the counts of its producer: of events, of commands, of the audit."""

    counter: str
    number: int


@dataclass(slots=True, eq=False)
class HistoryRecord:
    """A record, read once. body: of JSON, {} where it is none. service: that sent it; "": nobody of ours."""

    consumed: ConsumedRecord
    body: Mapping[str, Any]
    service: str = ""
    cause: Cause = ()

    @property
    def place(self) -> tuple[str, int]:
        """Topic and offset."""
        return self.consumed.topic, self.consumed.offset

    @property
    def at_ms(self) -> int:
        """Kafka's time of it, in milliseconds since the epoch."""
        return self.consumed.timestamp

    @property
    def id(self) -> str:
        """The sender's id; "" where there is none."""
        return message_id(self.body)

    @property
    def type(self) -> str:
        """Of a message."""
        return message_type(self.body)

    def sent(self) -> SentRecord:
        """As its sender made it."""
        found = self.consumed
        return sent_record(found.topic, found.key, found.value, found.headers)

    def causes(self) -> tuple[Cause, Cause]:
        """By which names outputs may say that this record led to them."""
        return (self.id,), (self.consumed.topic, str(self.consumed.offset))


def sent_record(
    topic: str,
    key: bytes | str | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
) -> SentRecord:
    """Make what is compared of a record."""
    raw = key.encode() if isinstance(key, str) else key
    return SentRecord(topic, raw, value, tuple((n, _header(n, v or b"")) for n, v in headers))


def _header(name: str, value: bytes) -> bytes:
    """Of a trace the id alone counts: where a worker makes spans, each has an id of its own."""
    trace = trace_id(value.decode(errors="replace")) if name == TRACEPARENT else ""
    return f"00-{trace}-{SPAN}-01".encode() if trace else value


def message_id(body: Mapping[str, Any]) -> str:
    """An event's, command's or webhook's own id; "" where there is none."""
    found = next((body[name] for name in IDS if name in body), "")
    return found if isinstance(found, str) else ""


def message_type(body: Mapping[str, Any]) -> str:
    """The type that a message says; "" where it says none."""
    found = body.get("eventType") or body.get("commandType") or ""
    return found if isinstance(found, str) else ""


def read_body(value: bytes | None) -> Mapping[str, Any]:
    """The JSON object of a value; {} where it is none."""
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def history_record(consumed: ConsumedRecord) -> HistoryRecord:
    """Read a record, and which service sent it because of what."""
    record = HistoryRecord(consumed, read_body(consumed.value))
    headers = {name: (value or b"").decode(errors="replace") for name, value in consumed.headers}
    if consumed.topic == DEAD_LETTERS:
        if MARKER not in headers:
            record.service = headers.get(SERVICE_HEADER, "")
            origin = (
                headers.get(f"{DEAD_LETTER_PREFIX}original-{part}", "")
                for part in ("topic", "offset")
            )
            record.cause = tuple(origin)
    elif REDRIVE_HEADER not in headers and DEAD_LETTER_ID_HEADER not in headers:
        source, producer = headers.get("ce_source", ""), record.body.get("producer")
        if producer and source == f"{SOURCE}{producer}":
            record.service, record.cause = str(producer), (str(record.body.get("causationId", "")),)
    return record


@dataclass(slots=True)
class OrderHistory:
    """All records of one order, each topic in order.

    sent: (service, cause) -> what it sent, each topic in order, repetitions left out. cuts: service -> what its
    table held at some time: no input that it had by then is decided again. None: the order's beginning is
    there. ends: topic -> offset from which on an input may not have been decided yet.
    """

    key: bytes | None
    records: Sequence[HistoryRecord]
    cuts: Mapping[str, bytes] | None = None
    ends: Mapping[str, int] = field(default_factory=dict)
    sent: dict[tuple[str, Cause], list[SentRecord]] = field(init=False)
    _numbers: dict[tuple[str, Cause], list[OutputNumber]] = field(init=False)

    def __post_init__(self) -> None:
        sent: defaultdict[tuple[str, Cause], dict[SentRecord, None]] = defaultdict(dict)
        numbers: defaultdict[tuple[str, Cause], list[OutputNumber]] = defaultdict(list)
        for record in self.records:
            if not record.service:
                continue
            cause = (record.service, record.cause)
            sent[cause].setdefault(record.sent())
            number = record.body.get("sequence")
            if isinstance(number, int) and record.consumed.topic != DEAD_LETTERS:
                numbers[cause].append(OutputNumber(_count_of(record), number))
        self.sent = {cause: list(found) for cause, found in sent.items()}
        self._numbers = dict(numbers)

    @property
    def order_id(self) -> str:
        """The key as text."""
        return "(no key)" if self.key is None else self.key.decode(errors="backslashreplace")

    def inputs(self, topics: Collection[str]) -> dict[str, list[HistoryRecord]]:
        """Topic -> what a service that reads these topics was given, and has decided."""
        lanes: dict[str, list[HistoryRecord]] = {}
        for record in self.records:
            topic, offset = record.place
            if topic in topics and offset < self.ends.get(topic, offset + 1):
                lanes.setdefault(topic, []).append(record)
        return lanes

    def sent_by(
        self, service: str, record: HistoryRecord, *, is_repeated: bool = False
    ) -> list[SentRecord]:
        """What a service sent because of an input, by topic.

        is_repeated: its id came before, so that what names its id was sent then.
        """
        by_id, by_place = record.causes()
        found = [*self.sent.get((service, by_place), ())]
        if not is_repeated:
            found += self.sent.get((service, by_id), ())
        return sorted(found, key=lambda each: each.topic)

    def numbers(self, service: str, record: HistoryRecord) -> dict[str, int]:
        """Count -> the least number of what a service sent because of an input."""
        least: dict[str, int] = {}
        for count, number in self._numbers.get((service, record.causes()[0]), ()):
            least[count] = min(number, least.get(count, number))
        return least

    @property
    def is_counted_from_one(self) -> bool:
        """Whether every count of every service begins with 1 here: nothing was sent before."""
        least: dict[tuple[str, str], int] = {}
        for (service, _), found in self._numbers.items():
            for count, number in found:
                least[service, count] = min(number, least.get((service, count), number))
        return all(number == 1 for number in least.values())


def _count_of(record: HistoryRecord) -> str:
    if "commandId" in record.body:
        return "commands"
    return "audit" if record.consumed.topic == ORDER_AUDIT else "events"
