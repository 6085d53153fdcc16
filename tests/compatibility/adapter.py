"""All that the compatibility tests know of the product's inside: when a name moves, change it here alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

import tables.replay
from agents import services
from agents.dictionaries import dictionaries_of
from agents.notifications import NotificationPolicy
from agents.orders.transitions import Deadlines
from agents.payments.transitions import PaymentPolicy
from agents.service import topic_uses
from app.dead_letters.log import MARKER, DeadLetterLog, marker
from models import analytics, history, search_terms
from models.commands import CommandType
from models.events import EventType
from models.messages import Message, convert, decode, encode
from models.notification import Channel
from models.operations import PlatformId, WorkerClock
from models.reconciliation import ReconciliationReport
from models.timeline import Timeline, stored_events
from models.topics import RESTAURANT_TAKINGS
from models.transition import Decision, Input, TransitionService
from tables.changelog import TableProgress, is_engine_record
from tables.dead_letters import DeadLetterRecord
from tables.packing import unpack
from tables.record import TERMINAL, Record
from tests.compatibility.stored import DEAD_LETTERS, PROGRESS, Sent, Stored

SEARCH_PREFIX = search_terms.SEARCH_ROW_PREFIX.encode()
SERVICES = ("payments", "orders", "deliveries", "notifications", "analytics", "timeline")
"""That were recorded; takings came after them."""
READERS: Mapping[str, Collection[str]] = {
    use.topic.name: frozenset(use.read_by)
    for use in topic_uses(services())
    if use.topic.name != RESTAURANT_TAKINGS
}
"""Topic -> names of the services that read it."""
READ_OUTSIDE: Mapping[str, type[Message]] = {
    "reconciliation": ReconciliationReport,
    "worker-clocks": WorkerClock,
    "platform-identity": PlatformId,
}
"""Topics that no service reads -> what a record of theirs is."""
TOPICS_SINCE = {
    "2026-11-first": {
        "platform-identity",
        "platform-partitions",
        RESTAURANT_TAKINGS,
    },
}
"""Recording -> topics that came after it."""
MESSAGE_TYPES = (*CommandType, *EventType)
NEVER_RECORDED = {
    "RECORD_SKIPPED", "STAFF_REVOKED", "UPGRADE_FINISHED", "CANCEL_DELIVERY", "PAYMENT_ACTION_FINISHED",
    "PAYMENT_DETAILS_ADDED", "ASK_STRIPE_AGAIN", "REPAIR_ORDER", "REPAIR_PAYMENT", "REPAIR_DELIVERY",
    "STATE_REPAIRED", "PAYMENT_FRAUD_WARNING", "PAYMENT_REVIEW_OPENED", "PAYMENT_REVIEW_CLOSED",
}  # fmt: skip
"""Of these types: no partition was stopped and skipped, nothing of ours sends the second, and the others came
after the recording."""
HEADERS_ADDED_SINCE = {"ce_specversion", "content-type"}
"""Headers that records have today and had not when the recordings were made: CloudEvents' version, JSON."""
ADDED_SINCE = re.compile(
    rb'"seenAt":\{[^}]*\},|"ce_specversion","1\.0",|"content-type","application/json",'
    rb'|,\\*"dueAt\\*":\d+(?=\})'
    rb'|,"index":\[\[[^\]]*\],\{[^}]*\}\](?=\}$)'
)
"""What is stored today and was not then: the times of Stripe's facts, those headers of outputs, the deadline
in INITIATE_PAYMENT, and what a record is found by."""
ENDED_SINCE = {"payments", "analytics", "timeline"}
"""Tables whose records say that they have ended, and did not then."""
WORDED_HEADERS = {"kafka_dlt-exception-message"}
"""Headers that say to a person why a record can't be read: their wording may change."""
FAILURE = "broken on request"
"""What a service says that was made to fail while it was recorded."""


def make_service(name: str, run: Mapping[str, Any]) -> TransitionService:
    """A service, as a worker with these settings has it."""
    deadlines = Deadlines(
        payment_ms=int(run["payment_deadline_s"] * 1000),
        kitchen_ms=int(run["kitchen_deadline_s"] * 1000),
    )
    policy = NotificationPolicy(
        frozenset(Channel(channel) for channel in run["channels"]),
        run["notification_tries"],
        int(run["notification_repeat_after_s"] * 1000),
    )
    # The recordings are of a time when Stripe's dashboard chose the payment methods.
    payments = PaymentPolicy(methods=None, expires_ms=deadlines.payment_ms)
    made = services(deadlines, policy, payments)
    return next(each for each in made if each.name == name)


class _Failing:
    """A service that raises at some inputs, as one with a bug would."""

    def __init__(self, service: TransitionService, at: Collection[tuple[str, int]]) -> None:
        self._service, self._at = service, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        if (record.topic, record.offset) in self._at:
            raise RuntimeError(FAILURE)
        return self._service.decide(state, record, read)


class _Consumed(NamedTuple):
    """A record as the engine gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_type: int = 1  # the broker's


class Replay(tables.replay.Replay):
    """One service in one partition, as a worker with the settings of a run has it.

    failing: topic and offset of inputs at which it raises. See `tables.replay.Replay`.
    """

    def __init__(
        self,
        name: str,
        run: Mapping[str, Any],
        stored: dict[bytes, bytes],
        *,
        epoch: int,
        done: Mapping[str, int],
        failing: Collection[tuple[str, int]] = (),
    ) -> None:
        service = _Failing(make_service(name, run), failing)
        super().__init__(
            service, stored, epoch=epoch, done=done, dead_letter_topic=DEAD_LETTERS, readers=READERS
        )

    def sent(self, inputs: Sequence[Stored]) -> tuple[list[tuple[bytes, bytes]], list[Sent]]:
        """Decide inputs together; gives what is written to the changelog, and what is sent."""
        writes, outputs = self.step([_Consumed(*each[:7]) for each in inputs])
        return writes, [_sent(output) for output in outputs]


def ended_records(rows: Mapping[bytes, bytes]) -> list[bytes]:
    """The keys of records that have ended."""
    return [key for key, value in rows.items() if b"/" not in key and value.startswith(TERMINAL)]


def _sent(output: Any) -> Sent:
    topic, key, value, headers = output
    is_text = not isinstance(output, DeadLetterRecord)
    return Sent(topic, key.encode() if is_text else key, value, tuple(headers))


def read_stored(table: str, key: bytes, value: bytes, run: Mapping[str, Any]) -> bytes:
    """Read what a table stores under a key by whatever reads it, and write it again."""
    assert is_engine_record(key, value), "a worker recovers it"
    if key == PROGRESS:
        return TableProgress.load(value).dump()
    if key.startswith(b"\0"):
        return orjson.dumps(orjson.loads(value))
    if b"/" in key:
        return _read_row(table, key.decode(), value)
    service = make_service(table, run)
    record = Record(key.decode(), value, service)
    # Another epoch, and nothing that is known to have left: then all of it is to be sent again.
    record.take_over_outbox(record.epoch + 1, {})
    return as_recorded(table, record.dump(service))


def as_recorded(table: str, value: bytes) -> bytes:
    """What is written to a table today, as it was written when the recordings were made.

    Ended records are packed, some tables have such now, and fields were added.
    """
    value = ADDED_SINCE.sub(b"", unpack(value, dictionaries_of(table)))
    return value.replace(TERMINAL + b",", b"{", 1) if table in ENDED_SINCE else value


def is_written_still(table: str, key: bytes) -> bool:
    """Whether a table is still given what has this key.

    What orders are found by is in the records' index now, and a timeline's events are in its record.
    """
    return b"/" not in key or (table != "timeline" and not key.startswith(SEARCH_PREFIX))


def is_found_still(row: bytes, value: bytes) -> bool:
    """Whether an order is found by the same term as by a row of then. value: its record, as it is today."""
    prefix = row.decode().rsplit("/", 2)[0] + "/"
    entry = search_terms.entry_prefix(prefix)[:-1]
    return re.search(rb'"%b[/"]' % re.escape(entry.encode()), value) is not None


def without_timeline(
    rows: Mapping[bytes, bytes],
) -> tuple[dict[str, list[bytes]], dict[bytes, bytes]]:
    """A timeline's rows: its events by order, whether in rows or in records, and all others; each as it was.

    The state in the records is left out: they hold the events now, and held their number.
    """
    events: dict[str, list[bytes]] = {}
    others: dict[bytes, bytes] = {}
    for key, value in rows.items():
        if b"/" in key:
            continue
        record, order_id = orjson.loads(as_recorded("timeline", value)), key.decode()
        state = record.pop("state") or 0
        others[key] = orjson.dumps(record)
        own = [(k.decode(), v) for k, v in sorted(rows.items()) if k.startswith(key + b"/")]
        timeline = state if isinstance(state, int) else convert(Timeline, state)
        events[order_id] = [event for _, event in stored_events(order_id, timeline, own)]
    return events, others


def _read_row(table: str, key: str, value: bytes) -> bytes:
    if key.startswith(search_terms.SEARCH_ROW_PREFIX):
        assert search_terms.order_of_row(key)
        return search_terms.ROW
    if table == "timeline":
        return orjson.dumps(dict(history.read_row(value)))
    analytics.parts_of(key)
    return analytics.dump_row(*analytics.load_row(value))


def order_of_row(key: bytes) -> str | None:
    """The order that a row is for by which orders are found; None for other rows."""
    name = key.decode()
    return (
        search_terms.order_of_row(name) if name.startswith(search_terms.SEARCH_ROW_PREFIX) else None
    )


def read_by(service: str, record: Stored, run: Mapping[str, Any]) -> bytes:
    """Read a record as a service does, and write the message again."""
    made = make_service(service, run)
    _, message = made.parse(record.topic, record.key or b"", record.value or b"")
    return encode(message)


def read_outside(record: Stored) -> bytes | None:
    """Read a record of a topic that no service reads, and write it again; None: nobody reads it."""
    kind = READ_OUTSIDE.get(record.topic)
    return None if kind is None else encode(decode(kind, record.value or b""))


def read_event_again(order_id: str, row: bytes) -> bytes:
    """The event of a timeline's row, as it was sent."""
    return encode(history.event_of(order_id, history.read_row(row)))


def read_dead_letters(records: Sequence[Stored]) -> tuple[list[dict[str, Any]], dict[int, bytes]]:
    """The dead letters as operators are shown them, and by offset the markers, written again."""
    letters, markers = DeadLetterLog(), {}
    for each in records:
        letters.take(each.offset, each.timestamp_ms, each.key, each.value, each.headers)
        if any(name == MARKER for name, _ in each.headers):
            letter = letters.get(orjson.loads(each.value or b"")["deadLetterId"])
            markers[each.offset] = marker(letter, letter.state, letter.settled)
    shown = [
        {
            "deadLetterId": letter.name,
            "service": letter.service,
            "state": str(letter.state),
            "error": letter.error,
            "message": letter.message,
        }
        for letter in letters.all()
    ]
    return shown, markers
