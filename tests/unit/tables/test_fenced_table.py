"""A table has no holes, whatever is lost, mixed up and repeated between Kafka and the table.

The changelog, its reader and Faust's notes are played here; the table and its RocksDB are real.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.payments import payments_service
from tables import ServiceRuntime, fenced_table, make_app
from tables.app import STORE_OPTIONS
from tables.changelog import UnreadBatch, note_unread, write_rows
from tables.consumed_record import RecordRun
from tables.fenced_table import FencedTable
from tables.table_index import INDEXED_KEY, mark

KEYS = 5


def always() -> bool:
    return True


class Changelog:
    """Partition 0 of the table's changelog, a reader of it, and what Faust does with what is read.

    items: (first, last) offsets of each; a record where they are the same, else offsets without any.
    deleted: offsets that Kafka has no more, from the start.
    """

    def __init__(self, folder: Path, items: list[tuple[int, int]], deleted: int = 0) -> None:
        app = make_app("a", broker="kafka://127.0.0.1:1", datadir=folder, partitions=1)
        ServiceRuntime(app, [payments_service()], dead_letter_topic="dlq", partitions=1)
        table: Any = app.tables["payments"]
        assert isinstance(table, FencedTable)
        self.table = table
        self.tp = TP(table.changelog_topic.get_topic_name(), 0)
        self.items = items
        self.deleted = deleted
        self.position_ = 0
        self.sought: list[int] = []
        self.asked = 0
        self.folder = folder
        self.ignored = 0
        self.errors: list[BaseException] = []
        self.recovery: Any = table.recovery
        hooks: Any = SimpleNamespace(
            on_foreign_records=self._ignore,
            on_recovery_failed=lambda _, exc: self.errors.append(exc),
            on_table_assigned=self._nothing,
        )
        table.hooks = hooks
        app.consumer = self  # type: ignore[assignment]
        self.assign()

    def assign(self) -> None:
        """As Faust's `Recovery` does in a rebalance, and at the start of reading."""
        self.recovery.active_tps.add(self.tp)
        self.recovery.in_recovery = True
        self.recovery.active_highwaters[self.tp] = self.items[-1][1]
        self.recovery._add(self.table, self.tp, self.recovery.active_offsets)
        note = self.recovery.active_offsets[self.tp]
        self.position_ = max(-1 if note is None else note, self.deleted, 0)

    async def rebalance(self) -> None:
        """Faust seeks to where RocksDB is."""
        opened: Any = self.table.data
        opened.on_rebalance = self._nothing
        await self.table.on_rebalance(set(), set(), set(), 1)
        self.assign()

    def killed(self, folder: Path) -> Changelog:
        """The worker that is started after this one was killed: it finds the files as they are now."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("LOCK"))
        return Changelog(folder, self.items, self.deleted)

    async def _nothing(self, *_: object) -> None:
        pass

    def _ignore(self, _: str, count: int) -> None:
        self.ignored += count

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """The consumer's."""
        self.position_ = max(positions[self.tp], self.deleted)  # as auto_offset_reset has it
        self.sought.append(self.position_)

    flow_active = True
    """The consumer's."""

    def assignment(self) -> set[TP]:
        """The consumer's."""
        return {self.tp}

    def highwater(self, _: TP) -> int:
        """The consumer's."""
        return self.items[-1][1] + 1

    async def position(self, _: TP) -> int:
        """The consumer's."""
        return self.position_

    async def earliest_offsets(self, tp: TP) -> dict[TP, int]:
        """The consumer's."""
        self.asked += 1
        return {tp: self.deleted}

    async def deliver(
        self, count: int, is_current: Callable[[], bool] = always, width: int = 1
    ) -> None:
        """Read so many items on with one fetch, and give them to the table."""
        items = [item for item in self.items if item[1] >= self.position_][:count]
        if items:
            start, self.position_ = self.position_, items[-1][1] + 1
            await self.give(items, start, is_current, width)

    async def give(
        self,
        items: Sequence[tuple[int, int]],
        start: int,
        is_current: Callable[[], bool] = always,
        width: int = 1,
    ) -> None:
        """Give a fetch that begins at `start`, as runs of so many items."""
        runs = []
        for at in range(0, len(items), width):
            part = items[at : at + width]
            runs.append(RecordRun(max(part[0][0], start), part[-1][1] + 1, records_of(part)))
        await self.table.take(self.tp, runs, is_current)

    def lose(self, count: int) -> None:
        """Read so many items on without the table's seeing them, as when Faust clears its queue."""
        left = [last for _, last in self.items if last >= self.position_]
        if left:
            self.position_ = left[min(count, len(left)) - 1] + 1

    def check(self) -> None:
        """RocksDB has the fold of the changelog up to the offset that it says it has, and no more."""
        assert not self.errors
        stored = dict(self.table.database(0).items())
        offset = stored.get(self.table.offset_key)
        assert stored.pop(INDEXED_KEY, None) == (None if offset is None else mark(offset))
        has = int(stored.pop(self.table.offset_key, b"-1"))
        records = [last for first, last in self.items if self.deleted <= first == last <= has]
        assert stored == {b"row/%d" % (at % KEYS): b"%d" % at for at in records}

    def is_whole(self) -> bool:
        return self.table.data.persisted_offset(self.tp) == self.items[-1][1]


def records_of(items: Sequence[tuple[int, int]]) -> list[Any]:
    """The records of these items."""
    return [
        SimpleNamespace(offset=last, key=key_of(last), value=b"%d" % last)
        for first, last in items
        if first == last
    ]


def key_of(offset: int) -> bytes:
    return b"row/%d" % (offset % KEYS)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced_table, "REREAD_INTERVAL_S", 0.0)
    monkeypatch.setattr(fenced_table, "LOST_END_S", 0.0)
    monkeypatch.setattr(fenced_table, "WRITE_RECORDS", 3)


@st.composite
def changelogs(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Records, and gaps as compaction leaves them; the last item is a record, as of every log."""
    items, at = [], 0
    for width in draw(st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=1, max_size=30)):
        items.append((at, at + width - 1))
        at += width
    return [*items, (at, at)]


STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(1, 12)),
    st.tuples(st.just("cut"), st.integers(0, 8)),
    st.tuples(st.just("lose"), st.integers(1, 6)),
    st.tuples(st.just("stray"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["kill", "rebalance"]), st.just(0)),
)


@settings(deadline=None, max_examples=60)
@given(
    items=changelogs(),
    steps=st.lists(STEPS, max_size=25),
    deleted=st.integers(0, 3),
    width=st.integers(1, 5),
)
def test_no_hole_is_ever_stored(
    items: list[tuple[int, int]], steps: list[tuple[str, int]], deleted: int, width: int
) -> None:
    async def play(folder: Path) -> None:
        log = Changelog(folder / "0", items, min(deleted, items[-1][1]))
        for number, (what, count) in enumerate(steps, 1):
            match what:
                case "deliver":
                    await log.deliver(count, width=width)
                case "cut":  # a rebalance, or a seek, amid a fetch
                    looks = iter([True] * count)
                    await log.deliver(12, lambda looks=looks: next(looks, False), width)
                case "lose":
                    log.lose(count)
                case "stray":  # of a fetch before a seek
                    at = count % len(items)
                    given = [item for item in items[at : at + 4] if item[1] >= log.deleted]
                    await log.give(given, log.deleted, width=width)
                case "kill":
                    log = log.killed(folder / f"{number}")
                case _:
                    await log.rebalance()
            log.check()
        for _ in range(3 * len(items)):  # each time at least one item comes
            await log.deliver(len(items), width=width)
            await log.table.reread_lost_ends()
            log.check()
        assert log.is_whole()
        assert not log.recovery.need_recovery()

    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


@settings(deadline=None, max_examples=15)
@given(items=changelogs(), width=st.integers(1, 5))
def test_a_recovery_that_is_killed_at_any_write_goes_on(
    items: list[tuple[int, int]], width: int
) -> None:
    async def play(folder: Path) -> None:
        log = Changelog(folder / "0", items)
        survivors: list[Changelog] = []

        def kill() -> bool:
            survivors.append(log.killed(folder / f"{len(survivors) + 1}"))
            return True

        await log.deliver(len(items), kill, width)
        for survivor in survivors:
            survivor.check()
            await survivor.deliver(len(items), width=width)
            survivor.check()
            assert survivor.is_whole()

    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_what_no_engine_wrote_is_left_out_and_not_due_again(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    await log.deliver(3)
    foreign = [
        (b"row/0", None),
        (None, b"1"),
        (b"__faust/0", b"1"),
        (b"\xff/1", b"1"),
        (b"k", b"1"),
    ]
    records = [
        SimpleNamespace(offset=at, key=key, value=value)
        for at, (key, value) in enumerate(foreign, 3)
    ]
    await log.table.take(log.tp, [RecordRun(3, 8, records)], always)
    assert log.ignored == len(foreign)
    assert log.table.data.persisted_offset(log.tp) == 7
    assert dict(log.table.database(0).items(from_key=b"r")) == {
        key_of(at): b"%d" % at for at in range(3)
    }


def options(folder: Path) -> set[str]:
    """With which the one RocksDB in a folder runs."""
    path = max(folder.rglob("OPTIONS-*"), key=lambda path: path.name)
    return {line.strip() for line in path.read_text().splitlines()}


async def test_a_table_that_is_far_behind_has_more_memory_until_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buffers() -> set[str]:
        return {line for line in options(tmp_path) if line.startswith("write_buffer_size=")}

    monkeypatch.setattr(fenced_table, "FAR_BEHIND_ROWS", 5)
    log = Changelog(tmp_path, [(at, at) for at in range(20)])
    await log.deliver(3)
    assert buffers() == {f"write_buffer_size={fenced_table.BULK_BUFFER_BYTES}"}
    assert log.table.rows_left() == {log.tp: 17}
    await log.rebalance()
    await log.deliver(16)
    assert buffers() == {f"write_buffer_size={STORE_OPTIONS['write_buffer_size']}"}
    await log.deliver(2)
    assert log.table.rows_left() == {}


async def test_a_tables_rocksdb_is_compressed_by_level(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(0, 0)])
    await log.deliver(1)
    lines = options(tmp_path)
    assert {
        "compression=kLZ4Compression",
        "bottommost_compression=kZSTD",
        "block_size=16384",
    } <= lines
    assert any("bottommost_compression_opts" in line and "enabled=true" in line for line in lines)


class SlowDisk:
    """The RocksDB, with full buffers that are not on the disk yet: so many at each look."""

    def __init__(self, database: Any, unflushed: list[int]) -> None:
        self._database, self.unflushed, self.written = database, unflushed, 0

    def property_int_value(self, name: str) -> int:
        assert name == "rocksdb.num-immutable-mem-table"
        return self.unflushed.pop(0) if self.unflushed else 0

    def write(self, batch: Any) -> None:
        assert not self.unflushed, "RocksDB would hold the write back, and the process with it"
        self.written += 1
        self._database.write(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


async def test_a_table_is_given_no_more_while_its_disk_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(3)])
    disk = SlowDisk(log.table.database(0), [3, 2, 2, 1])
    monkeypatch.setattr(log.table, "database", lambda _: disk)
    await log.deliver(3)
    assert (disk.written, log.table.data.persisted_offset(log.tp)) == (1, 2)


async def test_nothing_is_said_of_what_is_left_in_a_rebalance(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(3)])
    log.flow_active = False
    assert log.table.rows_left() is None


async def test_a_lost_record_is_read_again(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(20)])
    await log.deliver(5)
    log.lose(3)
    await log.deliver(1)
    assert log.sought == [5]
    assert log.recovery.active_offsets[log.tp] == 4  # else the recovery would end without them
    await log.deliver(20)
    log.check()
    assert log.is_whole()


async def test_what_was_fetched_behind_a_hole_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fenced_table, "REREAD_INTERVAL_S", 3600.0)
    log = Changelog(tmp_path, [(at, at) for at in range(500)])
    await log.deliver(5)
    log.lose(60)
    for at in range(65, 500):  # the rest of the poll
        await log.give([(at, at)], 65)
    assert log.sought == [5]
    assert log.asked == 1
    assert log.recovery.active_offsets[log.tp] == 4


async def test_the_last_records_are_read_again_when_they_never_come(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    await log.deliver(7)
    log.lose(2)
    log.flow_active = False  # a rebalance: partitions and databases are about to change
    await log.table.reread_lost_ends()
    assert not log.sought
    log.flow_active = True
    await log.table.reread_lost_ends()
    assert log.sought == [7]
    await log.deliver(2)
    await log.table.reread_lost_ends()
    assert log.is_whole()
    assert log.sought == [7]


async def test_the_last_records_may_be_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fenced_table, "LOST_END_S", 3600.0)
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    log.lose(9)
    await log.table.reread_lost_ends()
    await log.table.reread_lost_ends()
    assert not log.sought


async def test_what_a_task_has_written_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(20)])
    database, key = log.table.database(0), b"row/%d" % (11 % KEYS)
    written = [(b"row/%d" % (at % KEYS), b"%d" % at) for at in range(17)]

    def look() -> bool:
        if log.table.data.persisted_offset(log.tp) == 8:  # amid the fetch
            write_rows(database, written, log.table.offset_key, 16, log.table.index)
        return True

    await log.deliver(12, look)
    assert log.table.data.persisted_offset(log.tp) == 16
    assert database[key] == b"16"
    log.recovery.active_offsets[log.tp] = 3
    await log.give([(4, 4)], 4)  # a record from before
    log.check()


async def test_a_standby_is_read_on_where_it_has_a_hole(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    log.recovery.active_tps.clear()
    log.recovery.standby_tps.add(log.tp)
    await log.deliver(3)
    log.lose(2)
    await log.deliver(1)
    assert log.sought == [3]
    assert log.recovery.standby_offsets[log.tp] == 2


async def test_the_record_of_a_revoked_partition_is_not_stored(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    log.recovery.active_tps.clear()
    await log.deliver(9)
    assert log.table.data.persisted_offset(log.tp) is None
    assert log.recovery.active_offsets[log.tp] is None


async def test_a_batch_that_cannot_be_read_is_no_hole(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    await log.deliver(3)
    note_unread(log.table.database(0), UnreadBatch(3, 6, "broken"))
    await log.seek_to({log.tp: 6})
    await log.deliver(3)
    assert log.is_whole()
    assert log.sought == [6]


async def test_what_compaction_removed_is_no_hole(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(0, 0), (1, 4), (5, 5)])
    await log.deliver(2)
    await log.deliver(1)
    assert log.is_whole()
    assert not log.sought
