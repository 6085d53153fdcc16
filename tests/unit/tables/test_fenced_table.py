"""A table has no holes, whatever Faust loses, mixes up and repeats between the consumer and the table.

The changelog, its reader and Faust's notes are played here; the table and its RocksDB are real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.payments import payments_service
from tables import ServiceRuntime, fenced_table, make_app
from tables.changelog import UnreadBatch, note_unread, write_rows
from tables.fenced_table import FencedTable
from tables.transport import GapMessage

KEYS = 5


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
        self.errors: list[BaseException] = []
        self.recovery: Any = table.recovery
        hooks: Any = SimpleNamespace(
            on_foreign_records=lambda *_: None,
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
        self.recovery._add(self.table, self.tp, self.recovery.active_offsets)
        note = self.recovery.active_offsets[self.tp]
        self.position_ = max(-1 if note is None else note, self.deleted, 0)

    async def rebalance(self) -> None:
        """What was read and not flushed is forgotten, and read again."""
        opened: Any = self.table.data
        opened.on_rebalance = self._nothing
        await self.table.on_rebalance(set(), set(), set(), 1)
        self.assign()

    async def _nothing(self, *_: object) -> None:
        pass

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

    async def deliver(self, count: int) -> None:
        """Read so many items on, and give them to the table as Faust does."""
        for _ in range(count):
            due = next((item for item in self.items if item[1] >= self.position_), None)
            if due is None:
                return
            start, self.position_ = self.position_, due[1] + 1
            await self.give(due, start)

    async def give(self, item: tuple[int, int], start: int) -> None:
        """Give an item of a fetch that begins at `start`."""
        notes = self.recovery.active_offsets
        if notes.get(self.tp) is None or item[1] > notes[self.tp]:
            notes[self.tp] = item[1]
            event: Any = SimpleNamespace(message=self.message(item, start))
            await self.table.on_changelog_event(event)

    def message(self, item: tuple[int, int], start: int) -> ConsumerMessage:
        first, last = item
        place = (*self.tp, last, 0.0, 1, None)
        if first < last:
            gap = GapMessage(*place, None, None, None, 0, 0, self.tp, generation_id=1)
            gap.first = max(first, start)
            return gap
        key, value = b"row/%d" % (last % KEYS), b"%d" % last
        return ConsumerMessage(*place, key, value, None, 0, 0, self.tp, generation_id=1)

    def lose(self, count: int) -> None:
        """Read so many items on without the table's seeing them, as when Faust clears its queue."""
        left = [last for _, last in self.items if last >= self.position_]
        if left:
            self.position_ = left[min(count, len(left)) - 1] + 1

    def check(self) -> None:
        """RocksDB has the fold of the changelog up to the offset that it says it has, and no more."""
        assert not self.errors
        stored = dict(self.table.database(0).items())
        has = int(stored.pop(self.table.offset_key, b"-1"))
        records = [last for first, last in self.items if self.deleted <= first == last <= has]
        assert stored == {b"row/%d" % (at % KEYS): b"%d" % at for at in records}

    def is_whole(self) -> bool:
        return self.table.data.persisted_offset(self.tp) == self.items[-1][1]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced_table, "REREAD_INTERVAL_S", 0.0)
    monkeypatch.setattr(fenced_table, "LOST_END_S", 0.0)


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
    st.tuples(st.just("lose"), st.integers(1, 6)),
    st.tuples(st.just("stray"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["flush", "rebalance"]), st.just(0)),
)


@settings(deadline=None, max_examples=60)
@given(items=changelogs(), steps=st.lists(STEPS, max_size=25), deleted=st.integers(0, 3))
def test_no_hole_is_ever_stored(
    items: list[tuple[int, int]], steps: list[tuple[str, int]], deleted: int
) -> None:
    async def play(folder: Path) -> None:
        log = Changelog(folder, items, min(deleted, items[-1][1]))
        for what, count in steps:
            match what:
                case "deliver":
                    await log.deliver(count)
                case "lose":
                    log.lose(count)
                case "stray":  # of a fetch before a seek
                    item = items[count % len(items)]
                    if item[1] >= log.deleted:
                        await log.give(item, log.deleted)
                case "rebalance":
                    await log.rebalance()
                case _:
                    log.table.apply_changelog_batch([])
            log.check()
        for _ in range(3 * len(items)):  # each time at least one item comes
            await log.deliver(len(items))
            await log.table.reread_lost_ends()
            log.table.apply_changelog_batch([])
            log.check()
        assert log.is_whole()

    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_a_lost_record_is_read_again(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(20)])
    await log.deliver(5)
    log.lose(3)
    await log.deliver(1)
    assert log.sought == [5]
    assert log.recovery.active_offsets[log.tp] == 4  # else the recovery would end without them
    await log.deliver(20)
    log.table.apply_changelog_batch([])
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
        await log.give((at, at), 65)
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
    log.table.apply_changelog_batch([])
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
    await log.deliver(12)
    database, key = log.table.database(0), b"row/%d" % (11 % KEYS)
    written = [(b"row/%d" % (at % KEYS), b"%d" % at) for at in range(17)]
    write_rows(database, written, log.table.offset_key, 16)
    log.table.apply_changelog_batch([])
    assert log.table.data.persisted_offset(log.tp) == 16
    assert database[key] == b"16"
    log.recovery.active_offsets[log.tp] = 3
    await log.give((4, 4), 4)  # a record from before
    log.table.apply_changelog_batch([])
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
    log.table.apply_changelog_batch([])
    assert log.table.data.persisted_offset(log.tp) is None
    assert log.tp not in log.recovery.active_offsets


async def test_a_batch_that_cannot_be_read_is_no_hole(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(at, at) for at in range(9)])
    await log.deliver(3)
    note_unread(log.table.database(0), UnreadBatch(3, 6, "broken"))
    await log.seek_to({log.tp: 6})
    await log.deliver(3)
    log.table.apply_changelog_batch([])
    assert log.is_whole()
    assert log.sought == [6]


async def test_what_compaction_removed_is_no_hole(tmp_path: Path) -> None:
    log = Changelog(tmp_path, [(0, 0), (1, 4), (5, 5)])
    await log.deliver(2)
    log.table.apply_changelog_batch([])
    await log.deliver(1)
    log.table.apply_changelog_batch([])
    assert log.is_whole()
    assert not log.sought
