"""The sweep of ended records, over a real RocksDB: what is due goes once, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from rocksdict import Options, Rdict

from tables.changelog import RETAINED_KEY, write_rows
from tables.limits import Counters, Limits
from tables.processor import Processor
from tables.record import DUE, Record
from tables.retention import RetentionSweep
from tables.table_index import TableIndex, index_keys
from tests.support.engine_services import PLAIN, Plain

OFFSET = b"__faust\0offset"
INDEX = TableIndex(PLAIN)
LIMITS = Limits(retained_records=3)
NOW = 1_000


class World:
    """One partition's RocksDB and what writes to it; written: keys of each commit batch."""

    def __init__(self, database: Rdict, service: Any = PLAIN) -> None:
        self.database, self.service = database, service
        self.offset = 0
        self.written: list[list[str]] = []
        self.open()

    def open(self) -> None:
        """A task begins."""
        self.processor: Processor[list[Any]] = Processor(
            self.service, self.database.get, list, epoch=1, limits=LIMITS, counters=Counters(),
            dead_letter_topic="dlq",
        )  # fmt: skip
        self.sweep = RetentionSweep(self.service, LIMITS)

    def write(self, *rows: tuple[bytes, bytes]) -> None:
        write_rows(self.database, rows, OFFSET, self.offset, INDEX)
        self.offset += 1

    def put(self, key: str, **state: Any) -> None:
        """A record, written by this build."""
        record = Record(key, None, PLAIN)
        record.state = state
        self.write((key.encode(), record.dump(PLAIN)))

    def put_as_before(self, key: str, **state: Any) -> None:
        """One that was written by a build that knew of nothing due."""
        record = Record(key, None, WITHOUT_RETENTION)
        record.state = state
        self.write((key.encode(), record.dump(WITHOUT_RETENTION)))

    def step(self, now_ms: int = NOW) -> list[str]:
        """Sweep once, as a task does; gives the keys of records that were written."""
        if not self.sweep.is_wanted(self.database, now_ms):
            return []
        rows = self.sweep.step(self.processor, self.database, now_ms)
        _, records = self.processor.close_commit_batch()
        self.write(*records, *rows)
        self.processor.advance()
        return [key.decode() for key, _ in records]

    def until_done(self, now_ms: int = NOW) -> list[str]:
        found: list[str] = []
        for _ in range(20):
            if not self.sweep.is_wanted(self.database, now_ms):
                return found
            found += self.step(now_ms)
        raise AssertionError("it goes on for ever")

    def state(self, key: str) -> Any:
        return Record(key, self.database.get(key.encode()), PLAIN).state

    def due(self) -> list[str]:
        return list(index_keys(self.database, DUE))


class _WithoutRetention(Plain):
    def retain(self, state: Any, at_ms: int) -> Any:
        return super().retain(None, at_ms)._replace(state=state)


WITHOUT_RETENTION: Any = _WithoutRetention()


@pytest.fixture
def world(tmp_path: Any) -> Iterator[World]:
    database = Rdict(str(tmp_path / "db"), Options(raw_mode=True))
    yield World(database)
    database.close()


def test_what_is_due_goes_the_longest_first_and_a_few_at_a_time(world: World) -> None:
    assert world.until_done() == []  # an empty table is walked through
    for number in (5, 2, 4, 1, 3):
        world.put(f"order-{number}", done=True, secret="s", until=number)
    world.put("order-6", done=True, secret="s", until=NOW + 1)
    world.put("order-7", secret="s", until=1)  # is open
    assert world.step() == ["order-1", "order-2", "order-3"]
    assert world.step() == ["order-4", "order-5"]
    assert world.step() == []
    assert world.state("order-1") == {"done": True, "until": 1}
    assert world.state("order-6")["secret"] == world.state("order-7")["secret"] == "s"
    assert world.due() == [f"{NOW + 1:011x}/order-6"], "what was swept is not looked at again"
    assert world.step(NOW + 1) == ["order-6"]
    assert world.due() == []


def test_records_of_before_are_walked_through_once(world: World) -> None:
    for number in range(8):
        world.put_as_before(
            f"order-{number}", done=True, secret="s", until=1 if number % 2 else NOW + 5
        )
    world.write((b"order-3/000001", b"a row"))
    world.put_as_before("order-8", secret="s", until=1)
    assert world.due() == []
    written = world.step()
    assert written == ["order-0", "order-1", "order-2"]
    world.open()  # another worker goes on where this one was
    assert world.until_done() == [f"order-{number}" for number in range(3, 8)]
    assert [entry.partition("/")[2] for entry in world.due()] == [
        f"order-{n}" for n in (0, 2, 4, 6)
    ]
    assert not [n for n in (1, 3, 5, 7) if "secret" in world.state(f"order-{n}")]
    row = orjson.loads(world.database.get(RETAINED_KEY) or b"")
    assert row["after"] is None
    world.open()
    before = world.offset
    assert world.step() == []
    assert world.step() == []
    assert world.offset <= before + 1, "nothing more is written"


def test_all_are_walked_through_again_once_a_setting_has_changed(world: World) -> None:
    for number in range(4):
        world.put(f"order-{number}", done=True, secret="s", until=NOW + 100)
    assert world.until_done() == []

    class Sooner(Plain):
        retention = "sooner"

        def retain(self, state: Any, at_ms: int) -> Any:
            return super().retain(state and state | {"until": 1}, at_ms)

    world.service = Sooner()
    world.open()
    assert world.until_done() == [f"order-{number}" for number in range(4)]
    assert world.due() == []
    assert "secret" not in world.state("order-0")


def test_what_cant_be_swept_is_tried_once_and_holds_nothing_up(world: World) -> None:
    world.until_done()
    for number in range(4):
        world.put(f"order-{number}", done=True, secret="s", until=number + 1)
    for key in (b"order-0", b"order-1", b"order-2"):
        raw = world.database.get(key) or b""
        world.database[key] = raw[: raw.index(b"\n") + 1] + b"\xff"  # all but its entry is damaged
    assert world.step() == []
    assert world.step() == ["order-3"]
    assert not world.sweep.is_wanted(world.database, NOW)
    assert len(world.due()) == 3


def test_a_service_that_raises_stops_nothing(world: World) -> None:
    world.put("order-1", done=True, secret="s", until=1)

    class Broken(Plain):
        def retain(self, state: Any, at_ms: int) -> Any:
            raise ZeroDivisionError

    world.service = Broken()
    world.open()
    assert world.until_done() == []


def test_an_order_that_inputs_have_come_for_waits(world: World) -> None:
    world.until_done()
    world.put("order-1", done=True, secret="s", until=1)
    record = world.processor.record_of(b"order-1")
    world.processor.commit_batch.records[b"order-1"] = record
    record.state = record.state | {"news": 1}
    world.step()
    assert world.state("order-1") == {"done": True, "secret": "s", "until": 1, "news": 1}
    assert world.step() == ["order-1"], "with the next commit batch"
    assert world.state("order-1") == {"done": True, "until": 1, "news": 1}
