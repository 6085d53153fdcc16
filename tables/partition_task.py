"""One owned partition of one service's table: the pipeline that makes a commit_batch of inputs durable.

    apply in memory -> changelog durable -> one RocksDB write batch -> outputs durable -> done

RocksDB is never ahead of the changelog and outputs are never ahead of the state. One commit_batch is under
way at a time, and what comes meanwhile gathers in the next: so a record never holds outputs of more
than one commit_batch, and the more there is to do, the larger and cheaper the groups. Nothing lingers: at
low load a commit_batch is one input.

A task writes with its fence's producer, which Kafka refuses as soon as another worker has claimed
the partition. Whatever goes wrong in a step ends the process (`fail`): the next one starts from
what is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import rocksdict

from tables.batches import Batches
from tables.errors import TaskClosedError
from tables.processor import Processor
from tables.progress import PROGRESS_KEY, TableProgress
from tables.record_batches import EmptyOffsets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tables.cluster import ClusterIds
    from tables.fence import ProducerFence
    from tables.limits import Counters, Limits
    from tables.processor import CommitBatch
    from tables.views import StateTable


class DeliveryGap(NamedTuple):
    """An input that Faust stepped over: its offset, and since when that is known (monotonic).

    is_confirmed: a later record was delivered; else only the broker's end offset shows the gap.
    requests: how often the input was asked for again.
    """

    next_offset: int
    since_s: float
    is_confirmed: bool = True
    requests: int = 0

    def is_retry_due(self, age_s: float, first_s: float) -> bool:
        """Whether to ask for it again: first after `first_s`, then each time after twice as long.

        Asking throws away what is being fetched: a busy worker must have the time to get it.
        """
        return age_s >= first_s * (1 << self.requests)


STEP_INPUTS = 20
"""Inputs applied before the clock is looked at."""


MIN_FETCH_BYTES = 256 * 1024
"""What a fetch in the inbox counts for at least: keys and headers can weigh more than values."""


class PartitionTask:
    """The only writer of one changelog partition, from its fence to the next rebalance.

    done: topic -> last offset whose state and outputs are durable; recorded: as of it the table
    itself says; only what is recorded may be committed. is_isolating_failure: the task failed a short while
    ago, so each input is made durable alone, and what fails is known by its offset.
    """

    def __init__(  # noqa: PLR0913 -- what the coordinator lends it, each given by name
        self,
        table: StateTable,
        partition: int,
        fence: ProducerFence,
        database: rocksdict.Rdict,
        *,
        changelog: str,
        offset_key: bytes,
        cluster_ids: ClusterIds,
        dead_letter_topic: str,
        limits: Limits,
        counters: Counters,
        readers: Mapping[str, Collection[str]],
        fail: Callable[[PartitionTask, str, BaseException], None],
        on_backlog_drained: Callable[[PartitionTask], None],
    ) -> None:
        self.table = table
        self.partition = partition
        self.fence = fence
        self.database: rocksdict.Rdict | None = database
        self.next_offsets: dict[str, int] = {}
        self.durable_offsets: dict[str, int] = {}
        self.checkpointed_offsets: dict[str, int] | None = None
        self.delivery_gaps: dict[str, DeliveryGap] = {}
        self.waiting = 0
        self.waiting_bytes = 0
        self.is_open = False
        self.is_isolating_failure = False
        self._changelog = changelog
        self._offset_key = offset_key
        self._cluster_ids = cluster_ids
        self._dead_letter_topic = dead_letter_topic
        self._limits = limits
        self._counters = counters
        self._fail = fail
        self._on_backlog_drained = on_backlog_drained
        self._processor = Processor(
            table.service,
            self._read_stored,
            self._new_batches,
            epoch=fence.epoch,
            done=self.durable_offsets,
            limits=limits,
            counters=counters,
            dead_letter_topic=dead_letter_topic,
            readers=readers,
        )
        self._inbox: deque[tuple[str, Sequence[Any], int]] = deque()
        self._processing: tuple[str, int] | None = None
        self._is_checkpoint_requested = False
        self._spent_s = 0.0
        self._arrived, self._wake, self._closed, self._progress = (
            asyncio.Event() for _ in range(4)
        )
        self._loops: list[asyncio.Task[None]] = []

    @property
    def in_flight(self) -> int:
        """Inputs applied whose outputs are not known durable."""
        return self._processor.in_flight

    def open(self, due: Mapping[str, int], recorded: Mapping[str, int] | None) -> None:
        """Begin at these offsets: topic -> first input to take."""
        self.next_offsets.update(due)
        self.durable_offsets.update({topic: offset - 1 for topic, offset in due.items()})
        self.checkpointed_offsets = None if recorded is None else dict(recorded)
        self.is_open = True
        steps = (self._apply, self._commit)
        self._loops = [asyncio.create_task(self._guard(step)) for step in steps]

    def feed(self, topic: str, inputs: Sequence[Any]) -> bool:
        """Take a fetch's records, in offset order and without gaps; never waits.

        Only the offset that is due is accepted: around rebalances Faust may deliver too early or
        step over records. Gives False when the inbox is full: the caller pauses the partition.
        """
        if not self.is_open:
            return True
        due, first = self.next_offsets[topic], inputs[0]
        if inputs[-1].offset < due:
            return True
        begins = first.first if type(first) is EmptyOffsets else first.offset
        if begins > due:
            if topic not in self.delivery_gaps or not self.delivery_gaps[topic].is_confirmed:
                self.delivery_gaps[topic] = DeliveryGap(due, time.monotonic())
            return True
        if begins < due:
            inputs = [consumed for consumed in inputs if consumed.offset >= due]
        self.delivery_gaps.pop(topic, None)
        self.next_offsets[topic] = inputs[-1].offset + 1
        size = MIN_FETCH_BYTES + sum(len(item.value) for item in inputs if item.value)
        self.waiting += len(inputs)
        self.waiting_bytes += size
        self._inbox.append((topic, inputs, size))
        self._arrived.set()
        limits = self._limits
        return self.waiting < limits.inbox_inputs and self.waiting_bytes < limits.inbox_bytes

    def expect(self, topic: str, end: int) -> None:
        """Note a hole when the topic has records up to `end` that are due and none of them comes.

        Around a rebalance Faust may also step over the last records of a partition; nothing that is
        delivered later would tell.
        """
        due = self.next_offsets[topic]
        if self.is_open and due < end and not self.waiting and topic not in self.delivery_gaps:
            self.delivery_gaps[topic] = DeliveryGap(due, time.monotonic(), is_confirmed=False)

    def mark(self) -> None:
        """Have the table record what is done, if that has changed."""
        if self.is_open and self.durable_offsets != self.checkpointed_offsets:
            self._is_checkpoint_requested = True
            self._wake.set()

    async def drain(self) -> None:
        """Take no more, wait until all that is under way is done and recorded; may wait for ever."""
        self._inbox.clear()
        self._loops[0].cancel()
        while self.is_open and (
            self.in_flight or self.durable_offsets != self.checkpointed_offsets
        ):
            self._progress.clear()
            if not self.in_flight:
                self.mark()
            await self._progress.wait()

    def close(self) -> None:
        """End at once; what is cut off is delivered again to the partition's next task."""
        self.is_open = False
        self.database = None
        for task in self._loops:
            task.cancel()
        self._inbox.clear()

    def inputs_in_flight(self) -> tuple[tuple[str, int], dict[str, int]] | None:
        """Topic and offset of the first input in flight, and topic -> offset of the last; None: none is."""
        first = self._processor.first_in_flight() or self._processing
        if first is None:
            return None
        last = self._processor.last_in_flight()
        if self._processing is not None:
            topic, offset = self._processing
            last[topic] = max(offset, last.get(topic, -1))
        return first, last

    def _read_stored(self, key: bytes) -> bytes | None:
        if self.database is None:
            raise TaskClosedError
        return self.database.get(key)

    async def _guard(self, step: Callable[[], Any]) -> None:
        try:
            await step()
        except Exception as exc:  # noqa: BLE001 -- fenced, Kafka away, a bug: the process ends
            if self.is_open:
                self._fail(
                    self, f"{step.__name__.strip('_')} {self.table.name}/{self.partition}", exc
                )

    async def _apply(self) -> None:
        """Apply what has come, in turns with the worker's other tasks."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox:
                topic, inputs, size = self._inbox.popleft()
                await self._process_fetch(topic, inputs)
                self.waiting -= len(inputs)
                self.waiting_bytes -= size
                limits = self._limits
                if (
                    self.waiting <= limits.inbox_inputs // 2
                    and self.waiting_bytes <= limits.inbox_bytes // 2
                ):
                    self._on_backlog_drained(self)

    async def _process_fetch(self, topic: str, inputs: Sequence[Any]) -> None:
        processor, limits = self._processor, self._limits
        at = 0
        while at < len(inputs):
            if self.is_isolating_failure:
                at += await self._process_alone(topic, inputs[at])
                continue
            began = time.monotonic()
            has_room = True
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
                await self._closed.wait()

    async def _process_alone(self, topic: str, consumed: Any) -> int:
        """Apply an input and wait until it is durable; gives how many were taken: 0 when it must wait."""
        self._processing = (topic, consumed.offset)
        taken = self._processor.process(topic, (consumed,))
        await self._settle()
        return taken

    async def _settle(self) -> None:
        """Wait until all that was applied is durable."""
        self._wake.set()
        while not self._processor.is_settled:
            self._progress.clear()
            await self._progress.wait()

    async def _commit(self) -> None:
        """Make one commit_batch after the other durable, whatever has gathered."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._processor.commit_batch.is_empty and not self._is_checkpoint_requested:
                continue
            commit_batch, records = self._processor.close_commit_batch()
            self._spent_s = 0.0
            self._closed.set()
            if self._is_checkpoint_requested:
                self._is_checkpoint_requested = False
                commit_batch.progress = dict(self.durable_offsets)
                ids = self._cluster_ids
                records.append(
                    (
                        PROGRESS_KEY,
                        TableProgress(ids.cluster, ids.topics, commit_batch.progress).dump(),
                    )
                )
            # Rows first: a crash can cut a commit_batch between two batches of the changelog, and a record
            # without its rows would drop the very input that should write them.
            await self._store(
                commit_batch,
                list(commit_batch.rows.items()) + records if commit_batch.rows else records,
            )
            await commit_batch.outputs.send(self._partition_of)
            self.durable_offsets.update(commit_batch.offsets)
            self._processor.settled()
            self._counters.inputs += commit_batch.count
            self._counters.outputs += commit_batch.outputs.count
            self._counters.groups += 1
            self._progress.set()

    async def _store(
        self, commit_batch: CommitBatch[Batches], rows: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Send rows to the changelog; once it has them write RocksDB and tell the readers."""
        # As the commit_batch left them: the next one may be changing them before these are durable.
        records = commit_batch.records.values()
        changed = [record.seen() for record in records] if self.table.listeners else ()
        batches = self._new_batches()
        for key, value in rows:
            batches.append((self._changelog, key, value, ()))
        last = await batches.send(self._partition_of)
        if self.database is None:
            raise TaskClosedError
        if rows:
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in rows:
                batch.put(key, value)
            if last >= 0:
                batch.put(self._offset_key, str(last).encode())
            self.database.write(batch)
        self._processor.stored()
        if commit_batch.progress is not None:
            self.checkpointed_offsets = commit_batch.progress
        self.table.stored(self.partition, commit_batch.records, changed)

    def _new_batches(self) -> Batches:
        return Batches(self.fence.producer)

    def _partition_of(self, topic: str) -> int:
        """What an input leads to goes to the input's partition number, dead letters to 0."""
        return 0 if topic == self._dead_letter_topic else self.partition
