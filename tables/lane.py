"""One owned partition of one service's table: the pipeline that makes a group of inputs durable.

    apply in memory -> changelog durable -> one RocksDB write batch -> outputs durable -> done

RocksDB is never ahead of the changelog and outputs are never ahead of the state. One group is under
way at a time, and what comes meanwhile gathers in the next: so a record never holds outputs of more
than one group, and the more there is to do, the larger and cheaper the groups. Nothing lingers: at
low load a group is one input.

A lane writes with its claim's producer, which Kafka refuses as soon as another worker has claimed
the partition. Whatever goes wrong in a step ends the process (`fail`): the next one starts from
what is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import rocksdict

from tables.apply import Applier
from tables.batches import Batches
from tables.holes import Hole
from tables.origin import PROGRESS
from tables.record_batches import OffsetGap

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tables.apply import Group
    from tables.fence import Claim
    from tables.limits import Counters, Limits
    from tables.origin import Origin
    from tables.views import StateTable


STEP_INPUTS = 20
"""Inputs applied before the clock is looked at."""


LEAST_FETCH_BYTES = 256 * 1024
"""What a fetch in the inbox counts for at least: keys and headers can weigh more than values."""


class LaneClosedError(Exception):
    """The partition was taken away while a step was at work."""


class Lane:
    """The only writer of one changelog partition, from its claim to the next rebalance.

    done: topic -> last offset whose state and outputs are durable; recorded: as of it the table
    itself says; only what is recorded may be committed. is_careful: the lane failed a short while
    ago, so each input is made durable alone, and what fails is known by its offset.
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
        readers: Mapping[str, Collection[str]],
        fail: Callable[[Lane, str, BaseException], None],
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
        self.waiting_bytes = 0
        self.is_open = False
        self.is_careful = False
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
            self._new_batches,
            epoch=claim.epoch,
            done=self.done,
            limits=limits,
            counters=counters,
            dead_letter_topic=dead_letter_topic,
            readers=readers,
        )
        self._inbox: deque[tuple[str, Sequence[Any], int]] = deque()
        self._applying: tuple[str, int] | None = None
        self._mark = False
        self._spent_s = 0.0
        self._arrived, self._wake, self._closed, self._progress = (
            asyncio.Event() for _ in range(4)
        )
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
        steps = (self._apply, self._commit)
        self._tasks = [asyncio.create_task(self._guard(step)) for step in steps]

    def feed(self, topic: str, inputs: Sequence[Any]) -> bool:
        """Take a fetch's records, in offset order and without gaps; never waits.

        Only the offset that is due is accepted: around rebalances Faust may deliver too early or
        step over records. Gives False when the inbox is full: the caller pauses the partition.
        """
        if not self.is_open:
            return True
        due, first = self.due[topic], inputs[0]
        if inputs[-1].offset < due:
            return True
        begins = first.first if type(first) is OffsetGap else first.offset
        if begins > due:
            if topic not in self.holes or not self.holes[topic].is_seen:
                self.holes[topic] = Hole(due, time.monotonic())
            return True
        if begins < due:
            inputs = [consumed for consumed in inputs if consumed.offset >= due]
        self.holes.pop(topic, None)
        self.due[topic] = inputs[-1].offset + 1
        size = LEAST_FETCH_BYTES + sum(len(item.value) for item in inputs if item.value)
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

    def inputs_in_flight(self) -> tuple[tuple[str, int], dict[str, int]] | None:
        """Topic and offset of the first input in flight, and topic -> offset of the last; None: none is."""
        first = self._applier.first_in_flight() or self._applying
        if first is None:
            return None
        last = self._applier.last_in_flight()
        if self._applying is not None:
            topic, offset = self._applying
            last[topic] = max(offset, last.get(topic, -1))
        return first, last

    def _read_stored(self, key: bytes) -> bytes | None:
        if self.database is None:
            raise LaneClosedError
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
                await self._apply_fetch(topic, inputs)
                self.waiting -= len(inputs)
                self.waiting_bytes -= size
                limits = self._limits
                if (
                    self.waiting <= limits.inbox_inputs // 2
                    and self.waiting_bytes <= limits.inbox_bytes // 2
                ):
                    self._relieved(self)

    async def _apply_fetch(self, topic: str, inputs: Sequence[Any]) -> None:
        applier, limits = self._applier, self._limits
        at = 0
        while at < len(inputs):
            if self.is_careful:
                at += await self._apply_alone(topic, inputs[at])
                continue
            began = time.monotonic()
            has_room = True
            while has_room and at < len(inputs) and time.monotonic() - began < limits.slice_s:
                step = inputs[at : at + STEP_INPUTS]
                self._applying = (topic, step[0].offset)
                taken = applier.apply(topic, step)
                at += taken
                has_room = taken == len(step) and applier.group.count < limits.group_inputs
            self._spent_s += time.monotonic() - began
            self._wake.set()
            if has_room and self._spent_s < limits.group_s:
                await asyncio.sleep(0)
            else:
                self._closed.clear()
                await self._closed.wait()

    async def _apply_alone(self, topic: str, consumed: Any) -> int:
        """Apply an input and wait until it is durable; gives how many were taken: 0 when it must wait."""
        self._applying = (topic, consumed.offset)
        taken = self._applier.apply(topic, (consumed,))
        await self._settle()
        return taken

    async def _settle(self) -> None:
        """Wait until all that was applied is durable."""
        self._wake.set()
        while not self._applier.is_settled:
            self._progress.clear()
            await self._progress.wait()

    async def _commit(self) -> None:
        """Make one group after the other durable, whatever has gathered."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._applier.group.is_empty and not self._mark:
                continue
            group, records = self._applier.close_group()
            self._spent_s = 0.0
            self._closed.set()
            if self._mark:
                self._mark = False
                group.progress = dict(self.done)
                records.append((PROGRESS, self._origin.dump(group.progress)))
            # Rows first: a crash can cut a group between two batches of the changelog, and a record
            # without its rows would drop the very input that should write them.
            await self._store(group, list(group.rows.items()) + records if group.rows else records)
            await group.outputs.send(self._partition_of)
            self.done.update(group.offsets)
            self._applier.settled()
            self._counters.inputs += group.count
            self._counters.outputs += group.outputs.count
            self._counters.groups += 1
            self._progress.set()

    async def _store(self, group: Group[Batches], rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Send rows to the changelog; once it has them write RocksDB and tell the readers."""
        # As the group left them: the next one may be changing them before these are durable.
        records = group.records.values()
        changed = [record.seen() for record in records] if self.table.listeners else ()
        batches = self._new_batches()
        for key, value in rows:
            batches.append((self._changelog, key, value, ()))
        last = await batches.send(self._partition_of)
        if self.database is None:
            raise LaneClosedError
        if rows:
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in rows:
                batch.put(key, value)
            if last >= 0:
                batch.put(self._offset_key, str(last).encode())
            self.database.write(batch)
        self._applier.stored()
        if group.progress is not None:
            self.recorded = group.progress
        self.table.stored(self.partition, group.records, changed)

    def _new_batches(self) -> Batches:
        return Batches(self.claim.producer)

    def _partition_of(self, topic: str) -> int:
        """What an input leads to goes to the input's partition number, dead letters to 0."""
        return 0 if topic == self._dead_letter_topic else self.partition
