"""An order's timeline as its record holds it: what its events do not say of each other is kept, and no more.

An event's id follows from what caused it, most causes are events of the same order, and names, topics and the
payment's id are the same for all orders. So an event takes a third of what it takes as JSON. What can't be told
exactly so is kept as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import orjson
from msgspec import to_builtins
from msgspec.structs import replace

from models import ids, topics
from models.events import EVENTS, Event, EventType
from models.messages import Message
from models.search_terms import NAMED_IDS, TermKind, id_entry, ids_of_event, search_rows
from models.times import from_rfc3339, to_rfc3339

ENDS: Final = frozenset(
    {EventType.ORDER_DELIVERED, EventType.ORDER_CANCELLED, EventType.ORDER_REFUNDED}
)
"""What ends an order."""
MAX_EVENTS: Final = 200
"""In the record; those before are in rows of as many each, so that a record stays small."""
MAX_EVENT_BYTES: Final = 100_000
"""The same in bytes, as they are stored; an event that is larger is alone."""
MAX_RECENT: Final = 500
"""Orders of which it is kept what the next event may refer to."""
MAX_INDEX: Final = 32
"""Of an event among those of one cause: of later ones the id is kept."""
ORDER, PAYMENT, MESSAGE, CAUSE = range(-3, 1)
"""What a reference stands for: an id of the order, or, above these, that of the event so many places before."""
_TOPICS: Final = (
    topics.PAYMENT_EVENTS,
    topics.ORDER_EVENTS,
    topics.DELIVERY_EVENTS,
    topics.ORDER_AUDIT,
)
TOPIC_OF: Final[Mapping[str, str]] = {
    kind: next(topic for topic in spec.topics if topic in _TOPICS) for kind, spec in EVENTS.items()
}
"""Type -> the topic by which the timeline gets its events."""
_event_id: Final = lru_cache(8192)(ids.event_id)
_command_id: Final = lru_cache(1024)(ids.command_id)
RESULT: Final = [CAUSE]
"""In the place of a cause."""

Row = Mapping[str, Any]
"""An event as readers of a timeline see it; `row_of`."""


class Timeline(Message):
    """State of an order in the timeline table.

    rows: number of its first events, which are in rows of the table. events: the others, each as
    `_EarlierEvents.pack` gives it. not_found: number of the first of these by whose ids the order is not found
    any more (models/retention.py).
    """

    rows: int = 0
    events: tuple[Any, ...] = ()
    not_found: int = 0

    @property
    def count(self) -> int:
        """Of all events."""
        return self.rows + len(self.events)

    @property
    def last_ms(self) -> int:
        """When the latest event in the record came about, in milliseconds since the epoch; 0 without any."""
        first_ms = last_ms = 0
        for event in self.events:
            if isinstance(event, dict):  # no event of ours: its time may be none
                continue
            last_ms = max(last_ms, first_ms + event[0])
            first_ms = first_ms or event[0]
        return last_ms

    @property
    def has_ended(self) -> bool:
        """Whether the order has, so that few events will come; one with so many is written smaller as well."""
        return self.rows > 0 or not ENDS.isdisjoint(
            event[2] for event in self.events if isinstance(event, list)
        )


def row_of(topic: str, event: Event) -> Row:
    """An event as readers of a timeline see it, and as JSON in the rows of earlier versions."""
    return {
        "occurredAt": event.occurred_at,
        "service": event.producer,
        "eventType": event.event_type,
        "eventId": event.event_id,
        "causationId": event.causation_id,
        "correlationId": event.correlation_id,
        "sequence": event.sequence,
        "topic": topic,
        "paymentId": event.payment_id,
        "detail": {
            name: value for name, value in to_builtins(event.data).items() if value is not None
        },
    }


def add_event(timeline: Timeline, order_id: str, row: Row) -> tuple[Timeline, Mapping[str, bytes]]:
    """The timeline with one more event, and the rows that earlier ones move to, if they do.

    The key of their row is `orderId/number of its first event`: deciding again after a crash gives the same.
    """
    rows, known = {}, _known_before(order_id, timeline.events)
    packed = known.pack(row)
    size_bytes = known.size_bytes + _size_bytes(packed)
    if len(timeline.events) >= MAX_EVENTS or (timeline.events and size_bytes > MAX_EVENT_BYTES):
        rows = search_rows(((TermKind.ID, name) for name in known.names), order_id)
        rows[f"{order_id}/{timeline.rows + 1:06d}"] = orjson.dumps(timeline.events)
        timeline, known = Timeline(rows=timeline.count), _EarlierEvents(order_id, ())
        packed = known.pack(row)
    events = (*timeline.events, packed)
    known.add(row, packed)
    _remember(timeline.events, events, known)
    return replace(timeline, events=events), rows


def entries_of(timeline: Timeline) -> tuple[str, ...]:
    """What an order is found by: ids of its events in the record, and of what they name.

    Those of events that have moved to rows are in rows as well, `search_terms.search_rows`.
    """
    if not timeline.not_found:
        return tuple(_known_before("", timeline.events).names.values())
    later = islice(unpack("", timeline.events), timeline.not_found, None)
    names = dict.fromkeys(name for row in later for name in ids_of_event(row))
    return tuple(map(id_entry, names))


def _size_bytes(packed: Any) -> int:
    return len(orjson.dumps(packed))


def stored_events(
    order_id: str, state: Timeline | int, rows: Iterable[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    """All of an order's events in the order in which they came: where each is, and its row as JSON.

    rows: those of the table, in order. A row behind those that the record counts is left out: a crash came
    before the record, and its events come again.
    """
    known = state if isinstance(state, int) else state.rows
    for key, value in rows:
        number = key.rpartition("/")[2]
        if number.isdecimal() and int(number) > known:
            continue
        if value.startswith(b"["):
            yield from _unpacked(order_id, orjson.loads(value), int(number))
        else:
            yield key, value
    if isinstance(state, Timeline):
        yield from _unpacked(order_id, state.events, state.rows + 1)


def _unpacked(order_id: str, events: Iterable[Any], first: int) -> Iterator[tuple[str, bytes]]:
    for number, row in enumerate(unpack(order_id, events), first):
        yield f"{order_id}/{number:06d}", orjson.dumps(row)


def unpack(order_id: str, events: Iterable[Any]) -> Iterator[Row]:
    """The events as they were added, one after the other."""
    known = _EarlierEvents(order_id, ())
    for event in events:
        row = event if isinstance(event, dict) else known.unpack(event)
        known.add(row, event)
        yield row


class _EarlierEvents:
    """What an event is packed and unpacked with: the ids of those before it, and what the first one says.

    names: ids by which the order is found -> their entries.
    """

    def __init__(self, order_id: str, before: Iterable[Any]) -> None:
        self.order_id, self.payment_id = order_id, ids.payment_id(order_id)
        self.first_ms, self.correlation_id = 0, ""
        self.size_bytes = 0
        self.ids: list[str] = []
        self.names: dict[str, str] = {}
        for event in before:
            self.add(self.unpack(event) if isinstance(event, list) else event, event)

    def add(self, row: Row, event: Any) -> None:
        """Go on behind an event. event: as it is packed."""
        if not self.first_ms and isinstance(event, list):
            self.first_ms = event[0]
            self.correlation_id = event[7].get("correlationId", "")
        self.size_bytes += _size_bytes(event)
        self.ids.append(row["eventId"])
        for name in ids_of_event(row):
            if name not in self.names:
                self.names[name] = id_entry(name)

    def pack(self, row: Row) -> Any:
        """An event without what those before it say of it.

        A list: milliseconds since the first of them (of the first: since the epoch), service, type, its index
        among the events of its cause or else its id, its cause (RESULT: as `_result_of` gives it), its
        sequence, its detail, what is not as usual.
        """
        try:
            packed = self._packed(row)
            if self.unpack(packed) == row:
                return packed
        except (ArithmeticError, LookupError, TypeError, ValueError):
            pass  # no event of ours
        return dict(row)  # whatever can't be told otherwise is kept as it is

    def _packed(self, row: Row) -> list[Any]:
        kind, service = row["eventType"], row["service"]
        cause, event_id = row["causationId"], row["eventId"]
        index: int | str = event_id
        for number in range(MAX_INDEX):
            if _event_id(cause, service, number) == event_id:
                index = number
                break
        usual = {
            "topic": TOPIC_OF[kind],
            "paymentId": self.payment_id,
            "correlationId": self.correlation_id,
        }
        other = {name: row[name] for name, value in usual.items() if row[name] != value}
        at_ms = from_rfc3339(row["occurredAt"]) - self.first_ms
        detail = {name: self._reference(name, value, row) for name, value in row["detail"].items()}
        is_result = cause == _result_of(kind, row["detail"])
        place = RESULT if is_result else self._place_of(cause)
        packed = [at_ms, service, kind, index, place, row["sequence"], detail]
        return [*packed, other] if other or not self.first_ms else packed

    def unpack(self, packed: list[Any]) -> Row:
        """The event again."""
        at_ms, service, kind, index, place, sequence, detail, *rest = packed
        other = rest[0] if rest else {}
        cause = self.ids[-place] if isinstance(place, int) else place
        if isinstance(place, list):
            detail = self._resolved(detail, "")
            cause = _result_of(kind, detail)
        return {
            "occurredAt": to_rfc3339(at_ms + self.first_ms),
            "service": service,
            "eventType": kind,
            "eventId": index if isinstance(index, str) else _event_id(cause, service, index),
            "causationId": cause,
            "correlationId": other.get("correlationId", self.correlation_id),
            "sequence": sequence,
            "topic": other.get("topic") or TOPIC_OF[kind],
            "paymentId": other.get("paymentId", self.payment_id),
            "detail": self._resolved(detail, cause),
        }

    def _place_of(self, event_id: str) -> int | str:
        """How many places before the event is, or its id."""
        return len(self.ids) - self.ids.index(event_id) if event_id in self.ids else event_id

    def _reference(self, name: str, value: Any, row: Row) -> Any:
        """A detail that stands elsewhere: a list with nothing but where; others as they are."""
        if not isinstance(value, str):
            if _is_reference(value):
                raise ValueError("it looks like a reference")
            return value
        if name == "notificationId" and value == _message_id(row["detail"]):
            return [MESSAGE]
        named = {row["causationId"]: CAUSE}
        if name not in NAMED_IDS:  # which are read without knowing whose timeline it is
            named |= {self.order_id: ORDER, self.payment_id: PAYMENT}
        place = named.get(value, self._place_of(value))
        return [place] if isinstance(place, int) else value

    def _resolved(self, detail: Mapping[str, Any], cause: str) -> dict[str, Any]:
        named = {ORDER: self.order_id, PAYMENT: self.payment_id, CAUSE: cause}
        found = dict(detail)
        for name, value in detail.items():
            if _is_reference(value) and value[0] != MESSAGE:
                place = value[0]
                found[name] = named[place] if place in named else self.ids[-place]
        if found.get("notificationId") == [MESSAGE]:
            found["notificationId"] = _message_id(found)
        return found


def _is_reference(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 1 and type(value[0]) is int


def _result_of(kind: str, detail: Mapping[str, Any]) -> str | None:
    """The command that told of an event, where its id follows from what the event says; None: it does not."""
    if kind == EventType.NOTIFICATION_SENT:
        return _command_id("notified", detail.get("notificationId"), detail.get("tries"), "SENT")
    if kind == EventType.EFFECT_FINISHED:
        return _command_id("result", detail.get("idempotencyKey"), detail.get("result"))
    return None


def _message_id(detail: Mapping[str, Any]) -> str:
    return ids.notification_id(detail.get("aboutEventId", ""), detail.get("channel", ""))


_recent: dict[int, tuple[tuple[Any, ...], _EarlierEvents]] = {}
"""By the identity of the events."""


def _known_before(order_id: str, events: tuple[Any, ...]) -> _EarlierEvents:
    """What is known behind these events; of orders whose last event is of a moment ago it is kept."""
    remembered = _recent.get(id(events))
    if remembered is not None and remembered[0] is events:
        return remembered[1]
    return _EarlierEvents(order_id, events)


def _remember(before: tuple[Any, ...], events: tuple[Any, ...], known: _EarlierEvents) -> None:
    _recent.pop(id(before), None)
    _recent[id(events)] = events, known
    if len(_recent) > MAX_RECENT:
        del _recent[next(iter(_recent))]
