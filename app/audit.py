"""The audit of what operators do: its events are made and put into Kafka, and merged to pages when read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from app.kafka.headers import record_headers
from app.kafka.reader import RecordWindow
from app.kafka.records import FetchedRecord
from models import ids
from models.events import NO_ORDER, OPERATORS, Event, EventType, read_event_of
from models.messages import Message, checked, encode
from models.operations import AuditFilter, AuditPage
from models.sender import CommandSender
from models.times import machine_now_ms, to_rfc3339
from models.topics import ORDER_AUDIT
from models.transition import UnreadableError

OPERATORS_SOURCE: Final = f"/tiffin/{OPERATORS}"
"""CloudEvents' ce_source of what is put into Kafka for an operator."""
AUDITED_EVENT_TYPES: Final = {
    EventType.COMMAND_REFUSED, EventType.NOTIFICATION_RETRIED, EventType.DEAD_LETTER_REDRIVEN,
    EventType.DEAD_LETTER_DISCARDED, EventType.RECORD_SKIPPED, EventType.ORDERS_SEARCHED,
    EventType.UPGRADE_FINISHED,
    EventType.STATE_REPAIRED,
    EventType.STAFF_REVOKED,
}  # fmt: skip
"""Of the audit; whatever else an operator asked for names him in `by`."""


def operator_event(
    event_type: EventType, act: str, cause: str, data: Message, at_ms: int, order_id: str = NO_ORDER
) -> Event:
    """The audit's record of an act; its id is made of `act`. Raises ValueError for data beyond its bounds."""
    return Event(
        event_id=ids.event_id(act, OPERATORS, 1), event_type=event_type,
        occurred_at=to_rfc3339(at_ms), order_id=order_id,
        payment_id=None if order_id == NO_ORDER else ids.payment_id(order_id), sequence=1,
        causation_id=cause, correlation_id=cause, producer=OPERATORS, data=checked(data),
    )  # fmt: skip


async def publish_audit_event(
    sender: CommandSender,
    event_type: EventType,
    cause: str,
    data: Message,
    order_id: str = NO_ORDER,
) -> None:
    """Return once Kafka has it; cause: what its id is made of. Raises KafkaUnavailableError."""
    event = operator_event(event_type, cause, cause, data, machine_now_ms(), order_id)
    await publish_event(sender, event)


async def publish_event(sender: CommandSender, event: Event) -> None:
    """Put an event of an operator into the audit. Raises KafkaUnavailableError."""
    headers = record_headers(event.event_id, event.event_type, OPERATORS_SOURCE, event.occurred_at)
    await sender.put(ORDER_AUDIT, event.order_id.encode(), encode(event), headers)


class _TimedRecord(NamedTuple):
    at_ms: int
    record: FetchedRecord


def audit_page(windows: Sequence[RecordWindow], limit: int, asked: AuditFilter) -> AuditPage:
    """Windows merged by time: what is older than a window that goes on is left to the next page."""
    records = {window.place: _by_time(window) for window in windows}
    oldest = [records[w.place][0].at_ms for w in windows if w.records and not w.is_first]
    horizon_ms = max(oldest, default=0)
    acts = [
        (record.at_ms, event)
        for found in records.values()
        for record in found
        if (event := _act(record.record, asked)) is not None
    ]
    acts.sort(key=lambda act: -act[0])
    if len(acts) > limit:
        horizon_ms = max(horizon_ms, acts[limit - 1][0])
    ends = {}
    for window in windows:
        older = (each.record for each in records[window.place] if each.at_ms < horizon_ms)
        ends[window.place] = max((each.offset + 1 for each in older), default=window.start)
    is_all = all(window.is_first and ends[window.place] == window.start for window in windows)
    return AuditPage(
        events=[event for at_ms, event in acts if at_ms >= horizon_ms],
        scanned=sum(len(window.records) for window in windows),
        before={} if is_all else ends,
    )


def _by_time(window: RecordWindow) -> list[_TimedRecord]:
    """Its records with times that never fall: a timestamp of -1, or of 2099, is its neighbour's.

    Else one such record at the beginning of a window would hold up all pages behind it.
    """
    least_ms: int | None = None
    found = []
    for record in reversed(window.records):
        at_ms = record.timestamp_ms
        if least_ms is None or 0 <= at_ms < least_ms:
            least_ms = max(0, at_ms)
        found.append(_TimedRecord(least_ms, record))
    return found[::-1]


def _act(record: FetchedRecord, asked: AuditFilter) -> Mapping[str, Any] | None:
    """The record's event, if it is an act that is asked for."""
    try:
        raw = orjson.loads(record.value or b"")
        kind, order_id, by = raw["eventType"], raw["orderId"], raw["data"].get("by") or ""
        is_noted = kind == EventType.WEBHOOK_RECEIVED and raw["producer"] == OPERATORS
        is_act = kind in AUDITED_EVENT_TYPES or by.startswith("operator:") or is_noted
        is_asked = asked.kind in {None, kind} and asked.order in {None, order_id}
        if not (is_act and is_asked and asked.by.lower() in by.lower()):
            return None
        read_event_of(record.topic, record.key or b"", record.value or b"")
    except (ValueError, KeyError, TypeError, AttributeError, UnreadableError):
        return None  # no event of this application: it is among the dead letters
    return dict(raw)
