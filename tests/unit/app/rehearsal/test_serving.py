"""What a rehearsal reads once the number of partitions was raised."""

from __future__ import annotations

import orjson

from app.kafka.records import FetchedRecord
from app.rehearsal.serving import ORIGIN, ServingTopics
from app.settings import Settings
from models.generations import PartitionsState, RaiseState
from models.times import from_rfc3339
from tables.packing import pack

AT = "2026-11-23T10:00:00Z"
SERVING = PartitionsState(state=RaiseState.SERVING, generation=2, partitions=12, at=AT)
SETTINGS = Settings(sandbox=True)
NOW, FIRST = ServingTopics([SERVING], SETTINGS), ServingTopics([], SETTINGS)
STORED = {
    "version": 7,
    "state": {},
    "offsets": {"order-commands": 900, "order-commands.g2": 4, "order-events.g2": 2},
}


def record(topic: str, value: bytes, **headers: bytes) -> FetchedRecord:
    names = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return FetchedRecord(topic, 0, 1, 0, b"order_1", value, names)


def test_topics_have_the_names_of_the_generation_that_serves() -> None:
    assert (NOW.name("order-events"), NOW.name("payment-events-dlq")) == (
        "order-events.g2",
        "payment-events-dlq",
    )
    assert (NOW.group, NOW.changelog("orders")) == ("tiffin.g2", "tiffin.g2-orders-changelog")
    assert (FIRST.name("order-events"), FIRST.group) == ("order-events", "tiffin")
    assert (NOW.since_ms, FIRST.since_ms) == (from_rfc3339(AT), 0)


def test_records_and_the_origins_of_dead_letters_are_told_by_topics_own_names() -> None:
    assert NOW.renamed(record("order-events.g2", b"{}")).topic == "order-events"
    letter = record("payment-events-dlq", b"x")._replace(headers=((ORIGIN, b"order-commands.g2"),))
    assert NOW.renamed(letter).headers == ((ORIGIN, b"order-commands"),)


def test_of_a_table_only_offsets_of_this_generation_count() -> None:
    raw = orjson.dumps(STORED)
    for value in (raw, pack(raw, ())):
        told = NOW.table_record(record("x", value), ())
        assert orjson.loads(told.value or b"")["offsets"] == {
            "order-commands": 4,
            "order-events": 2,
        }
        assert FIRST.table_record(record("x", value), ()).value == value


def test_what_is_no_record_stays_as_it_is() -> None:
    for key, value in ((b"order_1/0001", b"{}"), (b"\0progress", b"{}"), (b"order_1", b"none")):
        given = record("x", value)._replace(key=key)
        assert NOW.table_record(given, ()) == given
