"""An order's timeline, packed in its record, is read as it was written, whatever was."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from models import ids
from models.events import EventType
from models.messages import convert, encode
from models.retention import Retention, retained_timeline
from models.search_terms import SEARCH_ROW_PREFIX, TermKind, entry_prefix, row_prefix
from models.timeline import (
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    Timeline,
    add_event,
    entries_of,
    stored_events,
)

ORDER = ids.order_id("guest", "timeline")
CAUSES = ["cmd_1", "evt_1", ids.event_id("cmd_1", "orders", 0), ids.event_id("cmd_1", "orders", 40)]
NAMED = [*CAUSES, ORDER, ids.payment_id(ORDER), ids.notification_id(CAUSES[2], "SMS"), ""]
VALUES = st.one_of(
    st.sampled_from(NAMED), st.integers(-5, 5), st.text(max_size=3), st.booleans(),
    st.lists(st.one_of(st.integers(-4, 3), st.sampled_from(NAMED), st.booleans()), max_size=2),
)  # fmt: skip
DETAILS = st.dictionaries(
    st.sampled_from(["by", "notificationId", "aboutEventId", "channel", "kinds"]), VALUES
)
ROWS = st.builds(
    lambda at_ms, kind, cause, index, detail, other: {
        "occurredAt": f"2026-11-26T14:27:{at_ms:02d}.882Z",
        "service": "orders",
        "eventType": kind,
        "eventId": ids.event_id(cause, "orders", index),
        "causationId": cause,
        "correlationId": "cmd_1",
        "sequence": index,
        "topic": "order-audit",
        "paymentId": None,
        "detail": detail,
        **other,
    },
    st.integers(0, 59),
    st.sampled_from(list(EventType)),
    st.sampled_from(CAUSES),
    st.integers(0, 40),
    DETAILS,
    st.dictionaries(
        st.sampled_from(["eventId", "correlationId", "paymentId", "topic", "occurredAt"]),
        st.sampled_from([*NAMED, "2026-11-26", "1970-01-01T00:00:00.000Z"]),
    ),
)


def read(state: Timeline | int, rows: dict[str, bytes]) -> list[Any]:
    found = stored_events(ORDER, state, sorted(rows.items()))
    return [orjson.loads(value) for _, value in found]


def stored(state: Timeline) -> Timeline:
    """As a worker reads it again."""
    again: Timeline = convert(Timeline, orjson.loads(encode(state)))
    return again


@given(st.lists(ROWS, max_size=8), st.sets(st.integers(0, 8)))
def test_events_are_read_as_they_were_written(rows: list[Any], restarts: set[int]) -> None:
    state = Timeline()
    for number, row in enumerate(rows):
        state, moved = add_event(stored(state) if number in restarts else state, ORDER, row)
        assert not moved
    assert entries_of(state) == entries_of(stored(state)), "however it was come by"
    assert read(stored(state), {}) == orjson.loads(orjson.dumps(rows))


def event(number: int) -> dict[str, Any]:
    return {
        "occurredAt": "2026-11-26T14:27:51.882Z", "service": "orders", "eventType": "ORDER_CONFIRMED",
        "eventId": ids.event_id("cmd_1", "orders", number), "causationId": "cmd_1",
        "correlationId": "cmd_1", "sequence": number, "topic": "order-events",
        "paymentId": ids.payment_id(ORDER), "detail": {"by": "operator:olga"},
    }  # fmt: skip


def test_many_events_move_to_rows_so_that_the_record_stays_small() -> None:
    state, rows = Timeline(), dict[str, bytes]()
    for number in range(3 * MAX_EVENTS + 7):
        state, moved = add_event(state, ORDER, event(number))
        rows |= moved
        assert len(state.events) <= MAX_EVENTS
    moved_rows = [key for key in rows if not key.startswith(SEARCH_ROW_PREFIX)]
    assert moved_rows == [f"{ORDER}/{n * MAX_EVENTS + 1:06d}" for n in range(3)]
    entries = entries_of(state)
    for number in range(3 * MAX_EVENTS + 7):
        event_id = event(number)["eventId"]
        prefix = row_prefix(TermKind.ID, event_id)
        assert entry_prefix(prefix)[:-1] in entries or any(
            key.startswith(prefix) for key in rows
        ), "it is found"
    rows = {key: rows[key] for key in moved_rows}
    assert [row["sequence"] for row in read(state, rows)] == list(range(3 * MAX_EVENTS + 7))
    found = [key for key, _ in stored_events(ORDER, state, sorted(rows.items()))]
    assert found == [f"{ORDER}/{n:06d}" for n in range(1, 3 * MAX_EVENTS + 8)]


def test_a_row_whose_record_a_crash_cut_off_shows_nothing_twice() -> None:
    before = Timeline()
    for number in range(MAX_EVENTS):
        before, _ = add_event(before, ORDER, event(number))
    after, rows = add_event(before, ORDER, event(MAX_EVENTS))
    assert rows
    rows = {key: value for key, value in rows.items() if key.startswith(ORDER)}
    assert read(before, rows) == [event(number) for number in range(MAX_EVENTS)]
    again, moved = add_event(before, ORDER, event(MAX_EVENTS))
    assert again == after, "decided again"
    assert rows.items() <= moved.items()
    assert read(after, rows) == [event(number) for number in range(MAX_EVENTS + 1)]


def test_rows_of_earlier_versions_come_first() -> None:
    """Their record is a number: of the events that are in rows, one in each."""
    rows = {f"{ORDER}/{number + 1:06d}": orjson.dumps(event(number)) for number in range(3)}
    assert read(2, rows) == [event(0), event(1)]
    state, moved = add_event(Timeline(rows=3), ORDER, event(3))
    assert read(state, {**rows, **moved}) == [event(number) for number in range(4)]


def test_a_record_is_bounded_in_bytes_too() -> None:
    """What anybody may write into a detail: few events are as large as many usual ones."""
    state, rows, written = Timeline(), dict[str, bytes](), []
    for number in range(30):
        large = event(number) | {"detail": {"by": "x" * (MAX_EVENT_BYTES // 7)}}
        state, moved = add_event(stored(state) if number % 3 else state, ORDER, large)
        rows |= moved
        written.append(large)
        assert len(orjson.dumps(state.events)) <= MAX_EVENT_BYTES + 100
    own = {key: value for key, value in rows.items() if key.startswith(ORDER)}
    assert len(own) > 3
    assert read(stored(state), own) == orjson.loads(orjson.dumps(written))
    huge = event(99) | {"detail": {"by": "x" * (MAX_EVENT_BYTES + 1)}}
    state, moved = add_event(state, ORDER, huge)
    assert len(state.events) == 1, "it is alone"
    assert moved


def test_the_command_that_told_of_a_result_is_derived_from_it() -> None:
    detail = {"notificationId": ids.notification_id("e", "SMS"), "tries": 2}
    cause = ids.command_id("notified", detail["notificationId"], 2, "SENT")
    told = event(0) | {
        "eventType": "NOTIFICATION_SENT", "detail": detail, "causationId": cause,
        "eventId": ids.event_id(cause, "orders", 1),
    }  # fmt: skip
    state, _ = add_event(Timeline(), ORDER, told)
    assert cause.encode() not in encode(state)
    assert read(stored(state), {}) == [told]
    assert set(entries_of(stored(state))) == set(entries_of(state))


@given(st.lists(ROWS, min_size=1, max_size=8), st.lists(ROWS, max_size=4))
def test_events_that_came_after_it_was_swept_are_found_again(
    before: list[Any], after: list[Any]
) -> None:
    state = Timeline()
    for row in before:
        state, _ = add_event(state, ORDER, row)
    swept = retained_timeline(state, 10**15, Retention()).state
    assert read(stored(swept), {}) == read(stored(state), {}), "its history is what it was"
    assert not entries_of(swept)
    for row in after:
        swept, _ = add_event(stored(swept), ORDER, row)
    fresh = Timeline()
    for row in after:
        fresh, _ = add_event(fresh, ORDER, row)
    assert set(entries_of(swept)) == set(entries_of(fresh))
