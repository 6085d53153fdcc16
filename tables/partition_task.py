"""One owned partition of one service's table: the only writer of that changelog partition.

A task decides inputs in memory while the commit batch before them becomes durable, step by step:

    append to the changelog -> write RocksDB -> send outputs -> advance the durable offsets

docs/engine.md says why in this order. Nothing lingers, but where `Limits.gather_s` says so: at low load a
commit batch is one input; the more there is to do, the larger and cheaper they are. Whatever goes wrong in a
step ends the process; the next one starts from what is durable.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.levels import OLDEST, LevelHistory
from tables.changelog import PROGRESS_KEY, TableProgress, write_rows
from tables.commit_batch import Batches, CommitReport
from tables.inbox import Inbox
from tables.processor import Processor
from tables.retention import RetentionSweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import rocksdict

    from tables.cluster import ClusterIds
    from tables.commit_batch import CommitBatch
    from tables.fence import ProducerFence
    from tables.limits import Counters, Limits
    from tables.table_index import TableIndex
    from tables.views import StateTable
    from tables.worker_exit import InFlight, WorkerExit

STEP_INPUTS = 20
"""Inputs decided before the clock is looked at."""


class TaskClosedError(Exception):
    """The partition was taken away while a step was at work."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What all tasks of one service on this worker share.

    offset_key: under which RocksDB holds the changelog offset it is at; index: of the table, if it keeps
    one; readers: topic -> services that read it; cluster_ids: of this service's topics; topic_name: of an
    output's topic in Kafka; on_commit_batch: is told of each that is durable.
    """

    table: StateTable
    changelog: str
    offset_key: bytes
    index: TableIndex | None
    dead_letter_topic: str
    limits: Limits
    counters: Counters
    readers: Mapping[str, Collection[str]]
    cluster_ids: ClusterIds
    worker_exit: WorkerExit
    on_backlog_drained: Callable[[PartitionTask], None]
    topic_name: Callable[[str], str] = str
    on_commit_batch: Callable[[CommitReport], None] | None = None
    levels: Callable[[], LevelHistory] = LevelHistory


class PartitionTask:
    """The work on one partition, from its fencing to the next rebalance.

    durable_offsets: topic -> last offset whose state and outputs are durable; checkpointed_offsets: those
    that the table's own progress row has: only they may be committed to the consumer group.
    isolates_inputs: each input is made durable alone, so that one that fails is known by its offset.
    """

    def __init__(
        self, context: TaskContext, partition: int, fence: ProducerFence, database: rocksdict.Rdict
    ) -> None:
        self.table = context.table
        self.partition = partition
        self.fence = fence
        self.database: rocksdict.Rdict | None = database
        self.inbox = Inbox(context.limits)
        self.checkpointed_offsets: Mapping[str, int] = {}
        self.is_open = False
        self.isolates_inputs = False
        self._context = context
        self._limits = context.limits
        self._processor = Processor(
            self.table.service,
            self._read_stored,
            self._new_batches,
            epoch=fence.epoch,
            limits=context.limits,
            counters=context.counters,
            dead_letter_topic=context.dead_letter_topic,
            partition=partition,
            readers=context.readers,
            levels=context.levels,
        )
        self.durable_offsets = self._processor.durable_offsets
        self._processing: tuple[str, int] | None = None
        self._is_checkpoint_requested = False
        self._marked_level: int = OLDEST
        has_index = context.index is not None
        self._sweep = RetentionSweep(self.table.service, context.limits) if has_index else None
        self._sweep_ms: int | None = None
        self._spent_s = 0.0
        self._wake, self._closed, self._progress = (asyncio.Event() for _ in range(3))
        self._gathered = asyncio.Event()  # there is no more to wait for
        self._loops: list[asyncio.Task[None]] = []

    @property
    def in_flight(self) -> int:
        """Inputs decided whose outputs are not known durable."""
        return self._processor.in_flight

    def open(
        self, next_offsets: Mapping[str, int], checkpointed_offsets: Mapping[str, int]
    ) -> None:
        """Begin at these offsets. checkpointed_offsets: of the table's progress row, if it has one."""
        self.inbox.next_offsets.update(next_offsets)
        self.durable_offsets.update({topic: next_ - 1 for topic, next_ in next_offsets.items()})
        self.checkpointed_offsets = checkpointed_offsets
        self.is_open = True
        loops = {"process": self._process_inbox, "commit": self._commit_batches}
        runs = (self._end_worker_on_error(name, loop) for name, loop in loops.items())
        self._loops = [asyncio.create_task(run) for run in runs]

    def feed(self, topic: str, inputs: Sequence[Any]) -> bool:
        """Take a fetch's records; never waits. False: the inbox is full, the caller pauses the partition."""
        return not self.is_open or self.inbox.put(topic, inputs)

    def request_checkpoint(self) -> None:
        """Have durable offsets and level written to the table's progress row, if they have changed."""
        has_moved = self.durable_offsets != self.checkpointed_offsets
        if self.is_open and (has_moved or self._context.levels().highest != self._marked_level):
            self._is_checkpoint_requested = True
            self._wake.set()

    def request_sweep(self, now_ms: int) -> None:
        """Have some ended records written without what is due of them, if nothing is to be decided now."""
        database, sweep = self.database, self._sweep
        if not self.is_open or database is None or sweep is None or self.inbox.waiting:
            return
        if sweep.is_wanted(database, now_ms):
            self._sweep_ms = now_ms
            self._wake.set()

    async def drain(self) -> None:
        """Take no more, wait until all in flight is durable and checkpointed; may wait for ever."""
        self.inbox.clear()
        self._loops[0].cancel()
        self._limits = replace(self._limits, gather_s=0.0)
        self._gathered.set()
        while self.is_open and (
            self.in_flight or self.durable_offsets != self.checkpointed_offsets
        ):
            self._progress.clear()
            if not self.in_flight:
                self.request_checkpoint()
            await self._progress.wait()

    def close(self) -> None:
        """End at once; what is cut off is delivered again to the partition's next task."""
        self.is_open = False
        self.database = None
        for task in self._loops:
            task.cancel()
        self.inbox.clear()

    def _inputs_in_flight(self) -> InFlight | None:
        first = self._processor.first_in_flight() or self._processing
        if first is None:
            return None
        last = self._processor.last_in_flight()
        if self._processing is not None:
            topic, offset = self._processing
            last[topic] = max(offset, last.get(topic, -1))
        return first, last

    async def _end_worker_on_error(self, name: str, loop: Callable[[], Any]) -> None:
        try:
            await loop()
        except Exception as exc:  # noqa: BLE001 -- fenced, Kafka away, a bug: the process ends
            if self.is_open:
                service, partition = self.table.name, self.partition
                where = f"{name} {service}/{partition}"
                self._context.worker_exit.fail_at(
                    service, partition, self._inputs_in_flight(), where, exc
                )

    # -- deciding inputs ----------------------------------------------------------------------

    async def _process_inbox(self) -> None:
        """Decide what has come, in turns with the worker's other tasks."""
        while True:
            topic, inputs, size = await self.inbox.next_fetch()
            await self._process_fetch(topic, inputs)
            if self.inbox.settle(len(inputs), size):
                self._context.on_backlog_drained(self)

    async def _process_fetch(self, topic: str, inputs: Sequence[Any]) -> None:
        processor, limits = self._processor, self._limits
        at = 0
        while at < len(inputs):
            if self.isolates_inputs:
                at += await self._process_alone(topic, inputs[at])
                continue
            began, has_room = time.monotonic(), True
            while has_room and at < len(inputs) and time.monotonic() - began < limits.slice_s:
                step = inputs[at : at + STEP_INPUTS]
                self._processing = (topic, step[0].offset)
                taken = processor.process(topic, step)
                at += taken
                has_room = (
                    taken == len(step) and processor.commit_batch.count < limits.commit_batch_inputs
                )
            self._spent_s += time.monotonic() - began
            self._wake.set()
            if has_room and self._spent_s < limits.commit_batch_s:
                await asyncio.sleep(0)
            else:
                self._closed.clear()
                self._gathered.set()
                await self._closed.wait()

    async def _process_alone(self, topic: str, consumed: Any) -> int:
        """Decide an input and wait until it is durable; gives how many were taken: 0 when it must wait."""
        self._processing = (topic, consumed.offset)
        taken = self._processor.process(topic, (consumed,))
        self._wake.set()
        while not self._processor.is_settled:
            self._progress.clear()
            await self._progress.wait()
        return taken

    def _read_stored(self, key: bytes) -> bytes | None:
        if self.database is None:
            raise TaskClosedError
        return self.database.get(key)

    # -- making a commit batch durable ----------------------------------------------------------

    async def _commit_batches(self) -> None:
        """Make one commit batch after the other durable, whatever has gathered."""
        counters = self._context.counters
        unsent = (
            self._processor.unsent_keyed_outputs()
        )  # before all else: their numbers must not fall
        counters.reemitted += await self._new_batches().send_all(unsent, self._partition_of)
        while True:
            await self._wake.wait()
            self._wake.clear()
            is_asked = self._is_checkpoint_requested or self._sweep_ms is not None
            if self._processor.commit_batch.is_empty and not is_asked:
                continue
            await self._gather()
            inputs = self._processor.commit_batch.inputs
            arrived_ms = inputs[0].timestamp if inputs else -1
            commit_batch, rows = self._close_commit_batch()
            # As the commit batch left them: the next may change them before these are durable.
            records = commit_batch.records.values() if self.table.listeners else ()
            snapshots = [record.snapshot() for record in records]
            began_s = time.monotonic()
            changelog_offset = await self._append_to_changelog(rows)
            appended_s = time.monotonic()
            self._write_rocksdb(rows, changelog_offset)
            written_s = time.monotonic()
            self._processor.trim_cache()
            if commit_batch.checkpoint is not None:
                self.checkpointed_offsets = commit_batch.checkpoint
            self.table.publish(self.partition, commit_batch.records, snapshots)
            await commit_batch.outputs.send(self._partition_of)
            self._processor.advance()
            counters.inputs += commit_batch.count
            counters.outputs += commit_batch.outputs.count
            counters.groups += 1
            self._progress.set()
            if commit_batch.count and self._context.on_commit_batch is not None:
                steps_s = (
                    appended_s - began_s,
                    written_s - appended_s,
                    time.monotonic() - written_s,
                )
                report = CommitReport(self.table.name, commit_batch.count, arrived_ms, *steps_s)
                self._context.on_commit_batch(report)

    async def _gather(self) -> None:
        """Let more inputs come, if they may."""
        gather_s = 0.0 if self.isolates_inputs else self._limits.gather_s
        if gather_s and not self._processor.commit_batch.is_empty:
            with suppress(TimeoutError):
                async with asyncio.timeout(gather_s):
                    await self._gathered.wait()
            self._gathered.clear()

    def _close_commit_batch(self) -> tuple[CommitBatch[Batches], Sequence[tuple[bytes, bytes]]]:
        """End the commit batch that was gathering; gives it with all it writes, by key."""
        if self._is_checkpoint_requested:
            self._processor.pack_ended()
        retained = self._sweep_ended()
        commit_batch, records = self._processor.close_commit_batch()
        records += retained
        self._spent_s = 0.0
        self._closed.set()
        if self._is_checkpoint_requested:
            self._is_checkpoint_requested = False
            commit_batch.checkpoint = dict(self.durable_offsets)
            ids = self._context.cluster_ids
            level = self._marked_level = self._context.levels().highest
            row = TableProgress(ids.cluster, ids.topics, commit_batch.checkpoint, level)
            records.append((PROGRESS_KEY, row.dump()))
        # Rows first: a crash can cut a commit batch between two batches of the changelog, and a record
        # without its rows would drop the very input that should write them.
        return commit_batch, [*commit_batch.rows.items(), *records]

    def _sweep_ended(self) -> Sequence[tuple[bytes, bytes]]:
        now_ms, self._sweep_ms = self._sweep_ms, None
        if now_ms is None or self._sweep is None or self.database is None:
            return ()
        return self._sweep.step(self._processor, self.database, now_ms)

    async def _append_to_changelog(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        """Send rows and wait until Kafka has them; gives the last one's offset, -1 if unknown."""
        batches = Batches(self.fence.producer, is_compressed=True)
        for key, value in rows:
            batches.append((self._context.changelog, key, value, ()))
        return await batches.send(self._partition_of)

    def _write_rocksdb(self, rows: Sequence[tuple[bytes, bytes]], changelog_offset: int) -> None:
        """Write rows and the changelog offset that they reach, in one write batch."""
        if self.database is None:
            raise TaskClosedError
        if rows:
            reached = changelog_offset if changelog_offset >= 0 else None
            write_rows(self.database, rows, self._context.offset_key, reached, self._context.index)

    def _new_batches(self) -> Batches:
        name = self._context.topic_name
        return Batches(self.fence.producer, self.table.partition_of, topic_name=name)

    def _partition_of(self, topic: str) -> int:
        """What has its input's key goes to the input's partition number, dead letters to 0."""
        return 0 if topic == self._context.dead_letter_topic else self.partition
