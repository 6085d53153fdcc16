"""What an earlier build stored and sent, against today's code: read and written again, the same bytes.

The recordings are of real runs (tests/compatibility). Whoever changes on purpose what is stored or sent makes a
new recording beside the old ones, and names here what of the old ones is read but not written any more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.compatibility import adapter, stored
from tests.compatibility.adapter import READERS, SERVICES
from tests.compatibility.replay import check_sent, replay
from tests.compatibility.stored import (
    CHANGELOG,
    DEAD_LETTERS,
    FAUST,
    PROGRESS,
    RESERVED,
    Recording,
    Sent,
    Stored,
)

PUT_BY_HAND = "put-by-hand"
REDRIVE = "tiffin-redrive"


@pytest.fixture(scope="module", params=stored.names())
def recording(request: pytest.FixtureRequest) -> Recording:
    return stored.load(request.param)


def changelog(recording: Recording, service: str) -> list[Stored]:
    return recording.topics[recording.changelog(service)]


def where(record: Stored) -> str:
    return f"{record.topic}/{record.partition} at offset {record.offset}"


# -- stored values


@pytest.mark.parametrize("service", SERVICES)
def test_every_stored_value_is_read_and_written_again_byte_for_byte(
    recording: Recording, service: str
) -> None:
    run = recording.runs[-1]
    records = changelog(recording, service)
    assert len(records) > 50
    for record in records:
        key, value = record.key or b"", record.value or b""
        again = adapter.as_recorded(service, adapter.read_stored(service, key, value, run))
        assert again == value, where(record)


@pytest.mark.parametrize("service", SERVICES)
def test_rocksdb_holds_what_the_changelog_said_last(recording: Recording, service: str) -> None:
    """So what holds of the changelog's values holds of RocksDB's; beside them Faust keeps an offset."""
    last: dict[int, dict[bytes, bytes]] = {}
    ends: Counter[int] = Counter()
    for record in changelog(recording, service):
        last.setdefault(record.partition, {})[record.key or b""] = record.value or b""
        ends[record.partition] = record.offset
    found = recording.tables[service]
    ours = {
        partition: {key: value for key, value in held.items() if not key.startswith(FAUST)}
        for partition, held in found.items()
    }
    assert ours == last
    offsets = {
        partition: [int(value) for key, value in held.items() if key.startswith(FAUST)]
        for partition, held in found.items()
    }
    assert offsets == {partition: [end] for partition, end in ends.items()}


# -- decisions


def as_recorded(service: str, rows: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Rows as they were written then, without what has been added since the recording."""
    return [(key, adapter.as_recorded(service, value)) for key, value in rows]


def sent_as_recorded(sent: Iterable[Sent]) -> list[Sent]:
    """Records without the headers and the fields that have been added since the recording."""
    return [
        each._replace(
            value=each.value and adapter.ADDED_SINCE.sub(b"", each.value),
            headers=tuple(h for h in each.headers if h[0] not in adapter.HEADERS_ADDED_SINCE),
        )
        for each in sent
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_inputs_lead_to_the_same_bytes(recording: Recording, service: str) -> None:
    """What is written to the changelog group by group, what RocksDB then holds, and what is sent."""
    records = changelog(recording, service)
    partitions = 0
    for partition, replayed in replay(recording, service):
        written = [r for r in records if r.partition == partition]
        for group, writes in zip(replayed.groups, replayed.writes, strict=True):
            first, last = group.writes
            wanted = [(r.key, r.value) for r in written[first:last]]
            written_now = as_recorded(service, writes)
            wanted = [(k, v) for k, v in wanted if adapter.is_written_still(service, k)]
            if service == "timeline":  # an event is in its order's record now, and was a row
                wanted = [(k, b"") for k, _ in wanted]
                written_now = [(k, b"") for k, _ in writes]
            at = f"{where(written[first])}, of {group.inputs}"
            assert written_now == wanted, at
        held = recording.tables[service][partition].items()
        was = {k: v for k, v in held if not k.startswith((RESERVED, FAUST))}
        if service == "timeline":
            assert adapter.without_timeline(replayed.stored) == adapter.without_timeline(was)
        else:
            now = dict(as_recorded(service, replayed.stored.items()))
            assert now == {k: v for k, v in was.items() if adapter.is_written_still(service, k)}
        for row in was:
            if order_id := adapter.order_of_row(row):
                stored_now = replayed.stored[order_id.encode()]
                assert adapter.is_found_still(row, stored_now), row
        as_sent = replace(replayed, sent=sent_as_recorded(replayed.sent))
        check_sent(recording, service, partition, as_sent)
        partitions += 1
    assert partitions == len(recording.tables[service])


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_that_was_recorded_is_left_out_of_the_replay(
    recording: Recording, service: str
) -> None:
    """Each write of the changelog and each input is in a group, so the test above sees it."""
    groups = [group for group in recording.groups if group.service == service]
    for partition in recording.tables[service]:
        mine = [group for group in groups if group.partition == partition]
        seen = [offset for group in mine for offset in range(*group.writes)]
        wanted = [
            record.offset
            for record in changelog(recording, service)
            if record.partition == partition and not (record.key or b"").startswith(RESERVED)
        ]
        assert seen == wanted
        taken = {place for group in mine for place in group.inputs}
        assert taken == {
            (record.topic, record.offset)
            for topic, readers in READERS.items()
            if service in readers
            for record in recording.at(topic, partition)
        }


# -- messages


def of_ours(recording: Recording, topic: str) -> list[Stored]:
    """A topic's records that parts of the platform sent, releases of quarantined orders left out."""
    return [
        record
        for record in recording.topics[topic]
        if PUT_BY_HAND not in dict(record.headers) and record.value is not None
    ]


@pytest.mark.parametrize("topic", [topic for topic, readers in READERS.items() if readers])
def test_every_message_is_read_and_written_again_byte_for_byte(
    recording: Recording, topic: str
) -> None:
    """By each service that reads it: commands, events, Stripe's facts."""
    records = of_ours(recording, topic)
    assert records
    for record in records:
        for service in READERS[topic]:
            again = adapter.read_by(service, record, recording.runs[-1])
            assert again == record.value, where(record)


@pytest.mark.parametrize("topic", adapter.READ_OUTSIDE)
def test_what_no_service_reads_is_read_and_written_again(recording: Recording, topic: str) -> None:
    if topic in adapter.TOPICS_SINCE.get(recording.name, ()):
        assert topic not in recording.topics
        return
    records = of_ours(recording, topic)
    assert records
    for record in records:
        assert adapter.read_outside(record) == record.value, where(record)


def test_every_dead_letter_is_told_as_it_was(recording: Recording) -> None:
    records = recording.topics[DEAD_LETTERS]
    letters, markers = adapter.read_dead_letters(records)
    told = [
        letter
        for path, answer in recording.answers.items()
        if path.startswith("/api/ops/dead-letters")
        for letter in answer["deadLetters"]
    ]
    was = {letter["deadLetterId"]: letter for letter in told}
    now = {letter["deadLetterId"]: letter for letter in letters}
    assert len(was) > 20
    assert {letter["state"] for letter in told} == {"OPEN", "REDRIVEN", "DISCARDED"}
    for name, letter in was.items():
        assert now[name] == {field: letter.get(field, "") for field in now[name]}
    assert markers
    for record in records:
        if record.offset in markers:
            assert markers[record.offset] == record.value, where(record)


def test_every_row_of_a_timeline_is_the_event_that_was_sent(recording: Recording) -> None:
    sent = {
        json.loads(record.value or b"")["eventId"]: record.value
        for topic in recording.inputs
        if "timeline" in READERS.get(topic, ())
        for record in of_ours(recording, topic)
    }
    checked = 0
    for record in changelog(recording, "timeline"):
        key, value = record.key or b"", record.value or b""
        if b"/" in key and adapter.order_of_row(key) is None:
            order_id = key.decode().partition("/")[0]
            again = adapter.read_event_again(order_id, value)
            assert again == sent[json.loads(again)["eventId"]], where(record)
            checked += 1
    assert checked > 500


def test_orders_are_found_by_the_rows_that_were_stored(recording: Recording) -> None:
    orders = set(recording.orders.values())
    for service in ("orders", "payments", "timeline"):
        found = {adapter.order_of_row(r.key or b"") for r in changelog(recording, service)}
        assert orders <= found, service


# -- the recording itself


def test_a_recording_is_of_everything_that_a_platform_does(recording: Recording) -> None:
    """Else a change of what was not recorded would go unseen."""
    types = Counter(
        value.decode()
        for topic in recording.inputs
        for record in recording.topics[topic]
        for name, value in record.headers
        if name == "ce_type"
    )
    assert set(adapter.MESSAGE_TYPES) - types.keys() <= adapter.NEVER_RECORDED
    since = adapter.TOPICS_SINCE.get(recording.name, set())
    assert all(recording.topics[topic] for topic in READERS.keys() - since)
    for topic, records in recording.topics.items():
        for partition in {record.partition for record in records}:
            offsets = [record.offset for record in recording.at(topic, partition)]
            assert offsets == list(range(len(offsets))), f"{topic}/{partition} is whole"
    quarantined = [
        r for r in changelog(recording, "orders") if b'"quarantine":' in (r.value or b"")
    ]
    assert any(not r.value.startswith(b'{"terminal":true') for r in quarantined)
    assert any(b'"status":"CANCELLED"' in (r.value or b"") for r in quarantined)
    assert len({group.epoch for group in recording.groups if group.service == "orders"}) > 3
    assert recording.failing
    assert any(REDRIVE in dict(r.headers) for r in recording.topics["order-commands"])
    assert all(not topic.endswith(CHANGELOG) for topic in recording.inputs)
    assert any(r.key == PROGRESS for r in changelog(recording, "orders"))
