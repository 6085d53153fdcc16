"""One owned partition of one service's table: the pipeline that makes a group of inputs durable.

    apply in memory -> changelog durable -> one RocksDB write batch -> outputs durable -> done

RocksDB is never ahead of the changelog and outputs are never ahead of the state. The steps are
tasks that hand groups on through bounded queues, so the order holds and several groups are under
way at once. Nothing lingers: at low load a group is one input.

A lane writes with its claim's producer, which Kafka refuses as soon as another worker has claimed
the partition. Whatever goes wrong in a step ends the process (`fail`): the next one starts from
what is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import rocksdict

from models.transition import Output
from tables.apply import Applier, Group
from tables.holes import Hole
from tables.letters import DeadLetter
from tables.origin import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tables.fence import Claim
    from tables.limits import Counters, Limits
    from tables.origin import Origin
    from tables.record import StoredRecord
    from tables.views import StateTable

    Pending = list[tuple[asyncio.Future[Any], int]]


NO_HEADERS: list[tuple[str, bytes]] = []


class Written(NamedTuple):
    """A group whose changelog records are under way, with what goes to RocksDB after them."""

    group: Group
    rows: Sequence[tuple[bytes, bytes]]
    changed: Sequence[StoredRecord]
    pending: Pending


class LaneClosedError(Exception):
    """The partition was taken away while a step was at work."""


class Lane:
    """The only writer of one changelog partition, from its claim to the next rebalance.

    done: topic -> last offset whose state and outputs are durable; recorded: as of it the table
    itself says; only what is recorded may be committed.
    """

    def __init__(  # noqa: PLR0913 -- what the coordinator lends it, each given by name
        self,
        table: StateTable,
        partition: int,
        claim: Claim,
        database: rocksdict.Rdict,
        *,
        changelog: str,
        offset_key: bytes,
        origin: Origin,
        dead_letter_topic: str,
        limits: Limits,
        counters: Counters,
        fail: Callable[[str, BaseException], None],
        relieved: Callable[[Lane], None],
    ) -> None:
        self.table = table
        self.partition = partition
        self.claim = claim
        self.database: rocksdict.Rdict | None = database
        self.due: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.recorded: dict[str, int] | None = None
        self.holes: dict[str, Hole] = {}
        self.waiting = 0
        self.is_open = False
        self._changelog = changelog
        self._offset_key = offset_key
        self._origin = origin
        self._dead_letter_topic = dead_letter_topic
        self._limits = limits
        self._counters = counters
        self._fail = fail
        self._relieved = relieved
        self._applier = Applier(
            table.service,
            self._read_stored,
            epoch=claim.epoch,
            done=self.done,
            limits=limits,
            counters=counters,
            dead_letter_topic=dead_letter_topic,
        )
        self._inbox: deque[Sequence[Any]] = deque()
        self._mark = False
        self._arrived, self._wake, self._room, self._progress = (asyncio.Event() for _ in range(4))
        self._written: asyncio.Queue[Written] = asyncio.Queue(limits.groups_in_flight)
        self._stored: asyncio.Queue[tuple[Group, Pending]] = asyncio.Queue(limits.groups_in_flight)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def in_flight(self) -> int:
        """Inputs applied whose outputs are not known durable."""
        return self._applier.in_flight

    def open(self, due: Mapping[str, int], recorded: Mapping[str, int] | None) -> None:
        """Begin at these offsets: topic -> first input to take."""
        self.due.update(due)
        self.done.update({topic: offset - 1 for topic, offset in due.items()})
        self.recorded = None if recorded is None else dict(recorded)
        self.is_open = True
        steps = (self._apply, self._flush, self._store, self._settle)
        self._tasks = [asyncio.create_task(self._guard(step)) for step in steps]

    def feed(self, topic: str, inputs: Sequence[Any]) -> bool:
        """Take a fetch's records, in offset order and without gaps; never waits.

        Only the offset that is due is accepted: around rebalances Faust may deliver too early or
        step over records. Gives False when the inbox is full: the caller pauses the partition.
        """
        if not self.is_open:
            return True
        due = self.due[topic]
        if inputs[-1].offset < due:
            return True
        if inputs[0].offset > due:
            if topic not in self.holes or not self.holes[topic].is_seen:
                self.holes[topic] = Hole(due, time.monotonic())
            return True
        if inputs[0].offset < due:
            inputs = [consumed for consumed in inputs if consumed.offset >= due]
        self.holes.pop(topic, None)
        self.due[topic] = inputs[-1].offset + 1
        self.waiting += len(inputs)
        self._inbox.append(inputs)
        self._arrived.set()
        return self.waiting < self._limits.inbox_inputs

    def expect(self, topic: str, end: int) -> None:
        """Note a hole when the topic has records up to `end` that are due and none of them comes.

        Around a rebalance Faust may also step over the last records of a partition; nothing that is
        delivered later would tell.
        """
        due = self.due[topic]
        if self.is_open and due < end and not self.waiting and topic not in self.holes:
            self.holes[topic] = Hole(due, time.monotonic(), is_seen=False)

    def mark(self) -> None:
        """Have the table record what is done, if that has changed."""
        if self.is_open and self.done != self.recorded:
            self._mark = True
            self._wake.set()

    async def drain(self) -> None:
        """Take no more, wait until all that is under way is done and recorded; may wait for ever."""
        self._inbox.clear()
        self._tasks[0].cancel()
        while self.is_open and (self.in_flight or self.done != self.recorded):
            self._progress.clear()
            if not self.in_flight:
                self.mark()
            await self._progress.wait()

    def close(self) -> None:
        """End at once; what is cut off is delivered again to the partition's next lane."""
        self.is_open = False
        self.database = None
        for task in self._tasks:
            task.cancel()
        self._inbox.clear()

    def _read_stored(self, key: bytes) -> bytes | None:
        if self.database is None:
            raise LaneClosedError
        return self.database.get(key)

    async def _guard(self, step: Callable[[], Any]) -> None:
        try:
            await step()
        except Exception as exc:  # noqa: BLE001 -- fenced, Kafka away, a bug: the process ends
            if self.is_open:
                self._fail(f"{step.__name__.strip('_')} {self.table.name}/{self.partition}", exc)

    async def _apply(self) -> None:
        """Apply what has come, in turns with the worker's other tasks."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox:
                inputs = self._inbox.popleft()
                await self._apply_fetch(inputs)
                self.waiting -= len(inputs)
                if self.waiting <= self._limits.inbox_inputs // 2:
                    self._relieved(self)

    async def _apply_fetch(self, inputs: Sequence[Any]) -> None:
        applier = self._applier
        apply = applier.apply
        slice_ = self._limits.slice_inputs
        for count, consumed in enumerate(inputs, 1):
            while not apply(consumed):
                self._wake.set()
                self._progress.clear()
                await self._progress.wait()
            if not count % slice_:
                self._wake.set()
                await asyncio.sleep(0)
                while len(applier.group.inputs) >= self._limits.group_inputs:
                    self._room.clear()
                    await self._room.wait()
        self._wake.set()

    async def _flush(self) -> None:
        """Close the group that has gathered and send its records to the changelog."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._applier.group.inputs and not self._mark:
                continue
            group, records = self._applier.close_group()
            self._room.set()
            if self._mark:
                self._mark = False
                group.progress = dict(self.done)
                records.append((PROGRESS, self._origin.dump(group.progress)))
            # Rows first: a crash can cut a group between two batches of the changelog, and a record
            # without its rows would drop the very input that should write them.
            rows = list(group.rows.items()) + records if group.rows else records
            changed = (
                [record.seen() for record in group.records.values()] if self.table.listeners else ()
            )
            items = ((key, value, NO_HEADERS) for key, value in rows)
            pending = await self._send(self._changelog, self.partition, items)
            await self._written.put(Written(group, rows, changed, pending))

    async def _store(self) -> None:
        """Write to RocksDB what the changelog has, tell the readers, and send the outputs."""
        while True:
            group, rows, changed, pending = await self._written.get()
            last = -1
            for future, count in pending:
                metadata = await future
                last = metadata.offset + count - 1 if metadata.offset >= 0 else -1
            if self.database is None:
                return
            if rows:
                batch = rocksdict.WriteBatch(raw_mode=True)
                for key, value in rows:
                    batch.put(key, value)
                if last >= 0:
                    batch.put(self._offset_key, str(last).encode())
                self.database.write(batch)
            self._applier.stored(group)
            if group.progress is not None:
                self.recorded = group.progress
            self.table.stored(self.partition, group.records, changed)
            await self._stored.put((group, await self._emit(group.outputs)))

    async def _settle(self) -> None:
        """Count a group's inputs as done once its outputs are durable."""
        while True:
            group, pending = await self._stored.get()
            for future, _ in pending:
                await future
            self.done.update(group.offsets)
            self._applier.settled(group)
            self._counters.inputs += len(group.inputs)
            self._counters.outputs += len(group.outputs)
            self._counters.groups += 1
            self._progress.set()

    async def _emit(self, outputs: Iterable[Output | DeadLetter]) -> Pending:
        """Send outputs, each to its input's partition number; dead letters to partition 0."""
        by_topic: dict[str, list[tuple[bytes | None, bytes | None, Any]]] = {}
        for output in outputs:
            key = output.key.encode() if isinstance(output.key, str) else output.key
            by_topic.setdefault(output.topic, []).append((key, output.value, list(output.headers)))
        pending: Pending = []
        for topic, items in by_topic.items():
            partition = 0 if topic == self._dead_letter_topic else self.partition
            pending += await self._send(topic, partition, items)
        return pending

    async def _send(
        self,
        topic: str,
        partition: int,
        items: Iterable[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]],
    ) -> Pending:
        """Send records in order, in as few batches as they need; gives (future, count) of each."""
        producer = self.claim.producer
        pending: Pending = []
        batch = None
        for key, value, headers in items:
            if batch is not None:
                if batch.append(timestamp=None, key=key, value=value, headers=headers) is not None:
                    continue
                future = await producer.send_batch(batch, topic, partition=partition)
                pending.append((future, batch.record_count()))
            batch = producer.create_batch()
            # A builder always takes its first record, however large.
            batch.append(timestamp=None, key=key, value=value, headers=headers)
        if batch is not None:
            batch.close()
            future = await producer.send_batch(batch, topic, partition=partition)
            pending.append((future, batch.record_count()))
        return pending
