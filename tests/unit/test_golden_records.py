"""What every release wrote is read by today's readers, and written again as it was."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest

from agents import services
from models.commands import CommandType
from models.events import EVENTS, EventType
from models.levels import OLDEST
from tests.compatibility import adapter
from tests.compatibility.golden import FOLDER, GoldenRecord, load
from tests.compatibility.record import RUNS
from tests.compatibility.stored import CHANGELOG, Stored

VERSIONS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
NOT_OURS = {"payment-events-dlq"}
"""Topics whose records are others'."""


@pytest.fixture(scope="module", params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> list[GoldenRecord]:
    return load(request.param)


def as_stored(record: GoldenRecord) -> Stored:
    headers = tuple((name, value.encode()) for name, value in record.headers.items())
    return Stored(record.topic, 0, 0, 0, record.key, record.value, headers, ())


def test_there_is_a_release() -> None:
    assert "0.1.0" in VERSIONS


def test_every_message_is_read_by_every_service_that_reads_its_topic(
    golden: list[GoldenRecord],
) -> None:
    read = 0
    for record in golden:
        for service in services():
            if record.topic in service.inputs:
                again = adapter.read_by(service.name, as_stored(record), RUNS[-1])
                assert again == record.value, record
                read += 1
    assert read > 100


def test_what_no_service_reads_is_read(golden: list[GoldenRecord]) -> None:
    topics = set()
    for record in golden:
        if record.topic in adapter.READ_OUTSIDE:
            assert adapter.read_outside(as_stored(record)) == record.value
            topics.add(record.topic)
    assert topics == set(adapter.READ_OUTSIDE)


def test_every_stored_value_is_read_and_written_again(golden: list[GoldenRecord]) -> None:
    """Records, packed ones too, rows and the engine's own: each table has several."""
    seen: defaultdict[str, int] = defaultdict(int)
    for record in golden:
        if not record.topic.endswith(CHANGELOG):
            continue
        table = record.topic.removesuffix(CHANGELOG).rpartition("-")[2]
        again = adapter.read_stored(table, record.key, record.value, RUNS[-1])
        assert again == adapter.as_recorded(table, record.value), (table, record.key)
        seen[table] += 1
    assert set(seen) == set(adapter.SERVICES)
    assert min(seen.values()) >= 3


def test_they_hold_most_types(golden: list[GoldenRecord]) -> None:
    """All that a day of the platform writes; the rest is held by its schema alone."""
    kinds = {record.headers.get("ce_type") for record in golden}
    known = {kind for kind in EventType if EVENTS[kind].since is OLDEST} | set(CommandType)
    assert len(known - kinds) <= len(adapter.NEVER_RECORDED)


def test_what_a_newer_build_adds_changes_nothing(golden: list[GoldenRecord]) -> None:
    """One more field in what was written: the services read what they read before."""
    read = 0
    for record in golden:
        for service in services():
            if record.topic in service.inputs:
                value = orjson.loads(record.value) | {"later": {"a": [1]}}
                if isinstance(value.get("data"), dict):
                    value["data"]["later"] = 1
                newer = as_stored(record)._replace(value=orjson.dumps(value))
                again = adapter.read_by(service.name, newer, RUNS[-1])
                assert orjson.loads(again) == orjson.loads(record.value)
                read += 1
    assert read > 100
