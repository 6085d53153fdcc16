"""A page of the audit: the last records of several partitions merged into one list by time. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from app.kafka.reader import RecordWindow
from app.kafka.records import FetchedRecord
from models.events import EventType, read_event_of
from models.operations import AuditFilter, AuditPage
from models.transition import UnreadableError

AUDITED_EVENT_TYPES: Final = frozenset(
    {
        EventType.COMMAND_REFUSED, EventType.NOTIFICATION_RETRIED,
        EventType.DEAD_LETTER_REDRIVEN, EventType.DEAD_LETTER_DISCARDED, EventType.RECORD_SKIPPED,
        EventType.ORDERS_SEARCHED,
    }
)  # fmt: skip
"""Of the audit; whatever else an operator asked for names him in `by`."""


class _TimedRecord(NamedTuple):
    at_ms: int
    offset: int
    record: FetchedRecord


def audit_page(windows: Sequence[RecordWindow], limit: int, asked: AuditFilter) -> AuditPage:
    """Merge: whatever is older than a window that goes on is left to the next page."""
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
        later = [each.offset + 1 for each in records[window.place] if each.at_ms < horizon_ms]
        ends[window.place] = max(later, default=window.start)
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
    return list(_backwards(window))[::-1]


def _backwards(window: RecordWindow) -> Iterator[_TimedRecord]:
    least_ms: int | None = None
    for record in reversed(window.records):
        at_ms = record.timestamp_ms
        if least_ms is None or 0 <= at_ms < least_ms:
            least_ms = max(0, at_ms)
        yield _TimedRecord(least_ms, record.offset, record)


def _act(record: FetchedRecord, asked: AuditFilter) -> Mapping[str, Any] | None:
    """The record's event, if it is an act that is asked for."""
    try:
        raw = orjson.loads(record.value or b"")
        kind, order_id, by = raw["eventType"], raw["orderId"], raw["data"].get("by") or ""
        is_act = kind in AUDITED_EVENT_TYPES or by.startswith("operator:")
        is_asked = asked.kind in {None, kind} and asked.order in {None, order_id}
        if not (is_act and is_asked and asked.by.lower() in by.lower()):
            return None
        read_event_of(record.topic, record.key or b"", record.value or b"")
    except (ValueError, KeyError, TypeError, AttributeError, UnreadableError):
        return None  # no event of this application: it is among the dead letters
    return dict(raw)
