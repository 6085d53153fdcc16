"""A recorded day as today's build would have left it in Kafka: the histories of its orders, for rehearsals."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from app.rehearsal.history import OrderHistory, history_record
from tables import ConsumedRecord
from tests.compatibility.adapter import SERVICES
from tests.compatibility.replay import replay
from tests.compatibility.stored import DEAD_LETTERS, Recording, Sent, Stored

MOST_ROUNDS = 5


class OrderOfDay(NamedTuple):
    """An order. run: number of the settings of the worker that decided it; None: of several."""

    history: OrderHistory
    run: int | None
    was_broken: bool


def as_of_today(recording: Recording) -> Recording:
    """What services sent, as they would send it today; what follows from that, too."""
    for _ in range(MOST_ROUNDS):
        sent = {
            (service, partition, _identity(each)): each
            for service in SERVICES
            for partition, replayed in replay(recording, service)
            for each in replayed.sent
        }
        changed = 0
        for topic in recording.inputs:
            records = recording.topics[topic]
            for at, record in enumerate(records):
                today = sent.get((*record.by, _identity(record.sent))) if record.by else None
                if today is not None and today != record.sent:
                    records[at] = record._replace(value=today.value, headers=today.headers)
                    changed += 1
        if not changed:
            return recording
    raise AssertionError("what follows from today's outputs does not settle")


def orders_of(recording: Recording) -> Iterator[OrderOfDay]:
    """Its orders, each with all of its records."""
    keyed: defaultdict[tuple[int, bytes | None], list[Stored]] = defaultdict(list)
    keys: dict[tuple[str, int, int], bytes | None] = {}
    for topic in recording.inputs:
        for record in recording.topics[topic]:
            keys[topic, record.partition, record.offset] = record.key
            partition = record.partition
            if topic == DEAD_LETTERS:
                headers = dict(record.headers)
                partition = int(headers.get("kafka_dlt-original-partition") or b"0")
            keyed[partition, record.key].append(record)
    runs: defaultdict[tuple[int, bytes | None], set[int]] = defaultdict(set)
    for group in recording.groups:
        for topic, offset in group.inputs:
            runs[group.partition, keys[topic, group.partition, offset]].add(group.run)
    broken = {
        (partition, keys[topic, partition, offset])
        for _, topic, partition, offset in recording.failing
    }
    for at, records in keyed.items():
        read = [history_record(_consumed(record)) for record in records]
        of_order = runs[at]
        run = next(iter(of_order)) if len(of_order) == 1 else None
        yield OrderOfDay(OrderHistory(at[1], read), run, at in broken)


def changelogs_of(recording: Recording) -> Mapping[tuple[str, bytes], list[bytes]]:
    """Service and key -> what today's build writes under it, in order."""
    written: defaultdict[tuple[str, bytes], list[bytes]] = defaultdict(list)
    for service in SERVICES:
        for _, replayed in replay(recording, service):
            for key, value in itertools.chain(*replayed.writes):
                written[service, key].append(value)
    return written


def _identity(sent: Sent) -> tuple[str, str]:
    if sent.topic == DEAD_LETTERS:
        headers = dict(sent.headers)
        origin = [headers.get(f"kafka_dlt-original-{part}") or b"" for part in ("topic", "offset")]
        return sent.topic, b"/".join(origin).decode()
    body = orjson.loads(sent.value or b"")
    return sent.topic, str(body.get("eventId") or body.get("commandId"))


def _consumed(record: Stored) -> ConsumedRecord:
    sizes = (len(record.key or b""), len(record.value or b""))
    place = (record.topic, record.partition, record.offset, record.timestamp_ms, 1)
    return ConsumedRecord(*place, record.key, record.value, None, *sizes, record.headers)
