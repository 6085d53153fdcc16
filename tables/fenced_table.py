"""A table that only partition tasks write, and that is recovered from its changelog without holes.

The consumer gives it whole fetches, past Faust, and each becomes some write batches. Around rebalances
fetches get lost and come late: Faust seeks to where its notes say, and goes on with what was fetched
before. A RocksDB that lacks a record looks whole, and what is decided upon it overwrites what it lacks. So
a record is written only if it is the next one that this RocksDB is due, and what is missing is read again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka.errors import KafkaError

from tables.app import STORE_OPTIONS
from tables.changelog import behind_unread, is_engine_record, write_rows
from tables.faust_internals import TableInternals

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from faust.types import TP

    from tables.consumed_record import RecordRun
    from tables.table_index import TableIndex
    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")

REREAD_INTERVAL_S = 1.0
"""Until what is still missing is asked for again: what is in Faust's queue comes first."""
WRITE_RECORDS = 1000
"""Of one write batch, about: some milliseconds, in which nothing else of the worker runs."""
FAR_BEHIND_ROWS = 20_000
BULK_BUFFER_BYTES = 16 * 1024 * 1024
"""Write buffer of a RocksDB that is that far behind. What is in such buffers when the process is killed is
read from RocksDB's log at the next start, in which nothing else runs."""
MAX_UNFLUSHED_BUFFERS = 2
"""Full buffers, not yet on the disk, at which a table is given no more; at three RocksDB holds a write back."""
FLUSH_LOOK_S = 0.01
LOST_END_S = 3.0
"""Without a record, although the consumer has passed some, until those are taken as lost."""


class TableHooks(Protocol):
    """What is called of a table's life; all give the table's name."""

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """Its databases are open, nothing is recovered yet."""

    def on_foreign_records(self, name: str, count: int) -> None:
        """So many records of the changelog were left out: no engine wrote them."""

    def on_recovery_failed(self, name: str, exc: BaseException) -> None:
        """What was recovered could not be written."""

    async def on_table_recovered(self, name: str) -> None:
        """It is at its changelog's end."""

    async def stop(self) -> None:
        """The worker ends."""


class FencedTable(TableInternals):
    """A table that only partition tasks write: it recovers nothing else from the changelog."""

    hooks: TableHooks
    index: TableIndex | None = None
    """Of the records that it holds, if it keeps one."""

    rows_taken = 0
    """Offsets of changelogs that were read into RocksDB since the worker started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bulk_loaded: set[TP] = set()
        self._reread_at_s: dict[TP, float] = {}
        self._quiet: dict[TP, tuple[int, float]] = {}

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After Faust has opened the databases."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        self.expect_no_events()
        for tp in self._bulk_loaded & assigned:
            self._set_write_buffer(tp, STORE_OPTIONS["write_buffer_size"])
        self._bulk_loaded.clear()
        self._reread_at_s.clear()
        await self.hooks.on_table_assigned(self.name, generation_id)

    async def take(self, tp: TP, runs: Sequence[RecordRun], is_current: Callable[[], bool]) -> None:
        """Write what is due of a changelog's fetch, as long as `is_current`; others run in between.

        Every write has the offset that it reaches, so that it may be cut off anywhere. Whatever fails
        ends the process: the table would not be whole.
        """
        try:
            await self._take(tp, runs, is_current)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the table would not be whole
            self.hooks.on_recovery_failed(self.name, exc)
        self.end_recovery()

    async def _take(
        self, tp: TP, runs: Sequence[RecordRun], is_current: Callable[[], bool]
    ) -> None:
        at = 0
        while at < len(runs) and is_current() and self._is_assigned(tp):
            due = self._due(tp)
            if runs[at].next_offset <= due:
                self._notes(tp)[tp] = due - 1
                at += 1
                continue
            if runs[at].first > due and not await self._may_skip(tp, due, runs[at].first):
                return  # what follows has the same hole before it
            await self._flushed(tp, is_current)
            if not is_current() or not self._is_due(tp, due):
                continue  # a seek or a rebalance came meanwhile, or a task wrote
            self._prepare(tp)
            begin = due = max(due, runs[at].first)
            records: list[Any] = []
            while at < len(runs) and len(records) < WRITE_RECORDS and runs[at].first <= due:
                run = runs[at]
                records += run.records if run.first == due else _from(run.records, due)
                due, at = max(due, run.next_offset), at + 1
            self._write(tp, begin, records, due)
            await asyncio.sleep(0)

    async def _flushed(self, tp: TP, is_current: Callable[[], bool]) -> None:
        """Wait for a slow disk: a write that RocksDB holds back stops the whole process, heartbeats with it."""
        while is_current() and self._is_assigned(tp):
            database = cast("Any", self.database(tp.partition))
            unflushed = database.property_int_value("rocksdb.num-immutable-mem-table") or 0
            if unflushed < MAX_UNFLUSHED_BUFFERS:
                return
            await asyncio.sleep(FLUSH_LOOK_S)

    def _write(self, tp: TP, due: int, records: Sequence[Any], next_offset: int) -> None:
        """Write records, except those that the engine did not write, and note them as recovered."""
        rows = [
            (record.key, record.value)
            for record in records
            if is_engine_record(record.key, record.value)
        ]
        write_rows(self.database(tp.partition), rows, self.offset_key, next_offset - 1, self.index)
        self._notes(tp)[tp] = next_offset - 1
        self.rows_taken += next_offset - due
        if len(rows) < len(records):
            self.hooks.on_foreign_records(self.name, len(records) - len(rows))

    def _prepare(self, tp: TP) -> None:
        """Give the RocksDB of a partition that is far behind more memory, and take it back at the end.

        Each time that its write buffer is full it is merged with what is on the disk, which costs more
        than all else.
        """
        is_bulk = self.is_far_behind(tp)
        if is_bulk == (tp in self._bulk_loaded):
            return
        size = BULK_BUFFER_BYTES if is_bulk else STORE_OPTIONS["write_buffer_size"]
        self._set_write_buffer(tp, size)
        (self._bulk_loaded.add if is_bulk else self._bulk_loaded.discard)(tp)

    def _set_write_buffer(self, tp: TP, size_bytes: int) -> None:
        self.database(tp.partition).set_options({"write_buffer_size": str(size_bytes)})

    def rows_left(self) -> dict[TP, int] | None:
        """How many offsets are left to read of each changelog that is being read; None in a rebalance.

        Of standby replicas only those that are far behind: the others follow their owners.
        """
        if not self._consumer.flow_active or self.app.rebalancing:
            return None
        left = {tp: self._left(tp) for tp in self._read()}
        standbys = self.recovery.standby_tps
        return {tp: n for tp, n in left.items() if n > (FAR_BEHIND_ROWS if tp in standbys else 0)}

    def is_far_behind(self, tp: TP) -> bool:
        """Whether it will take a while until the table is at this changelog's end."""
        return self._is_assigned(tp) and self._left(tp) > FAR_BEHIND_ROWS

    def _left(self, tp: TP) -> int:
        recovery = self.recovery
        is_active = tp in recovery.active_tps
        ends = recovery.active_highwaters if is_active else recovery.standby_highwaters
        noted = self._notes(tp).get(tp)  # None, or no key, for none
        return ends.get(tp, -1) - (-1 if noted is None else noted)

    def _read(self) -> set[TP]:
        """The partitions of this table's changelog that are being read."""
        recovery = self.recovery
        reading = {*recovery.standby_tps, *(recovery.active_tps if recovery.in_recovery else ())}
        topic = self.changelog_topic.get_topic_name()
        return {tp for tp in reading & self._consumer.assignment() if tp.topic == topic}

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Before Faust seeks to where reading begins."""
        for tp in active_tps:
            self._prepare(tp)
        await super().on_recovery_completed(active_tps, standby_tps)
        await self.hooks.on_table_recovered(self.name)

    async def stop(self) -> None:
        """On shutdown partitions are not revoked first."""
        await self.hooks.stop()
        await super().stop()

    async def reread_lost_ends(self) -> None:
        """Read last records again that did not come; call it each second or so.

        Only a record behind them would show that they were lost, and Faust waits for them without end.
        Here the consumer's position does. While Faust's flow is off, its assignment may be an earlier one,
        and a RocksDB closed.
        """
        before, self._quiet = self._quiet, {}
        if not self._consumer.flow_active:
            return
        now_s = time.monotonic()
        for tp in self._read():
            due = self._due(tp)
            known, since_s = before.get(tp, (due, now_s))
            self._quiet[tp] = (due, since_s if known == due else now_s)
        for tp, (due, since_s) in list(self._quiet.items()):
            if now_s - since_s >= LOST_END_S and (self._consumer.highwater(tp) or 0) > due:
                await self._reread_passed(tp, due)

    async def _reread_passed(self, tp: TP, due: int) -> None:
        """Read on at `due` if the consumer has passed it, and what it brought does not only wait here."""
        if time.monotonic() - self._reread_at_s.get(tp, -math.inf) < LOST_END_S:
            return
        try:
            position = await self._consumer.position(tp) or 0
        except KafkaError:
            return  # a rebalance has begun
        if position > due and self._consumer.flow_active and self._is_due(tp, due):
            await self._reread(tp, due)

    def _is_assigned(self, tp: TP) -> bool:
        return tp in self.recovery.active_tps or tp in self.recovery.standby_tps

    def _due(self, tp: TP) -> int:
        """The next offset to take."""
        have = self.data.persisted_offset(tp)
        return 0 if have is None else have + 1

    def _is_due(self, tp: TP, offset: int) -> bool:
        """Whether this is still the next offset to take, after something was waited for."""
        return self._is_assigned(tp) and self._due(tp) == offset

    def _notes(self, tp: TP) -> Counter[TP]:
        """How far Faust has noted changelogs as recovered; it ends a recovery by that."""
        is_active = tp in self.recovery.active_tps
        return self.recovery.active_offsets if is_active else self.recovery.standby_offsets

    async def _may_skip(self, tp: TP, due: int, first: int) -> bool:
        """Whether Kafka has nothing that can be read from `due` to before `first`; else that is read again."""
        if behind_unread(self.database(tp.partition), due) >= first:
            return True
        if time.monotonic() - self._reread_at_s.get(tp, -math.inf) < REREAD_INTERVAL_S:
            return False  # on its way
        try:
            earliest = (await self._consumer.earliest_offsets(tp))[tp]
        except (KafkaError, TimeoutError):
            return False
        if not self._is_due(tp, due):
            return False
        if earliest < first:
            await self._reread(tp, due)
            return False
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due, "next_offset": first}
        LOG.error("records were deleted from a changelog; the table lacks them", extra=extra)
        return True

    async def _reread(self, tp: TP, due: int) -> None:
        """Read on at `due`: Faust lost records between the consumer and here."""
        self._notes(tp)[tp] = due - 1
        self._reread_at_s[tp] = time.monotonic()
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due}
        LOG.warning("records of a changelog were left out; reading them again", extra=extra)
        try:
            await self._consumer.seek_to({tp: due})
        except (KafkaError, TimeoutError) as exc:  # a rebalance, or Kafka away: tried again
            LOG.warning("seek in a changelog failed", extra={"error": type(exc).__name__})

    @property
    def _consumer(self) -> FetchConsumer:
        return cast("FetchConsumer", self.app.consumer)


def _from(records: Sequence[Any], offset: int) -> list[Any]:
    """The records from an offset on."""
    return [record for record in records if record.offset >= offset]
