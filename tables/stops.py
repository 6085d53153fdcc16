"""Partitions that are read no further on this worker, and how an operator lets them go on.

An input's partition stops at a batch that can't be read, for all its readers. One service's partition
stops at the third failure at one input, or when its table lacks a batch of its changelog. Everything
else goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faust.types import TP

from tables.changelog import UnreadBatch, accept_loss, first_unread, note_unread, reread_from
from tables.consumed_record import MAX_ERROR_CHARS, empty_offsets
from tables.worker_exit import MAX_FAILURES_AT_ONE_OFFSET, RecoveryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import rocksdict

    from tables.consumed_record import UnreadableBatch
    from tables.hosted_service import Feeder, HostedService, HostedServices
    from tables.partition_task import PartitionTask
    from tables.worker_exit import WorkerExit

LOG = logging.getLogger("tiffin.engine")

RETRY_AFTER_S = 1.0
"""Until this process ends to read a changelog again: time to answer the operator's request."""


@dataclass(frozen=True, slots=True)
class PartitionStop:
    """A partition that is read no further, for one service or, where that is "", for all its readers.

    offset: of the record or batch that can't be read or processed; next_offset: where reading would
    go on without it; error: what it does, without values; since_ms: when this worker stopped there.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int
    service: str
    error: str
    since_ms: int


class NotStoppedError(Exception):
    """Nothing is stopped there (any more), on this worker."""


class PartitionStops:
    """The stops of this worker since its last assignment.

    open_task: opens a task at these offsets (topic -> first to take) unless it must stay stopped.
    """

    def __init__(
        self,
        services: HostedServices,
        *,
        worker_exit: WorkerExit,
        open_task: Callable[[HostedService, PartitionTask, Mapping[str, int]], Awaitable[None]],
        feeder: Feeder,
    ) -> None:
        self._services = services
        self._exit = worker_exit
        self._open_task = open_task
        self._feeder = feeder
        self._stops: list[PartitionStop] = []
        self._skipped: dict[TP, tuple[int, int]] = {}

    def all(self) -> list[PartitionStop]:
        """Partitions that are read no further until an operator skips a record."""
        return list(self._stops)

    def clear(self) -> None:
        """Forget all: the partitions are assigned anew."""
        self._stops.clear()
        self._skipped.clear()
        self._services.consumer.stopped = frozenset()

    def find(
        self, topic: str, partition: int, offset: int, service: str | None = None
    ) -> PartitionStop:
        """The stop at this place; service: whose, where there are several. Raises NotStoppedError."""
        found = [
            stop
            for stop in self._stops
            if (stop.topic, stop.partition, stop.offset) == (topic, partition, offset)
            and service in {None, stop.service}
        ]
        if len(found) > 1:
            names = " and ".join(stop.service or "all services" for stop in found)
            raise NotStoppedError(f"{topic}/{partition} is stopped for {names}: say for which")
        if not found:
            raise NotStoppedError(f"{topic}/{partition} is not stopped at offset {offset}")
        return found[0]

    def on_unreadable(self, batch: UnreadableBatch) -> bool:
        """Note a batch that can't be read. True: the consumer goes on behind it.

        An input's partition stops there. A changelog is read to its end, for Faust waits for all of
        them; but a table that lacks a batch stays closed until an operator skips that batch.
        """
        owner = self._services.of_changelog(batch.topic)
        if owner is not None:
            lacking = UnreadBatch(batch.offset, batch.next_offset, batch.error)
            note_unread(owner.table.database(batch.partition), lacking)
            return True
        self._add("", batch.topic, batch.partition, batch)
        return False

    def must_stay_closed(
        self,
        hosted: HostedService,
        task: PartitionTask,
        database: rocksdict.Rdict,
        durable_offsets: Mapping[str, int],
    ) -> bool:
        """Whether a task's table lacks a batch, or the task failed too often at one input: it is stopped.

        durable_offsets: the table's. A task that failed less often makes each input durable alone, so
        that the next failure is known by its offset.
        """
        name, partition = hosted.name, task.partition
        lacking = first_unread(database)
        if lacking is not None:
            self._add(name, hosted.changelog, partition, lacking)
            return True
        failure = self._exit.failures.of(name, partition)
        if failure is not None and failure.is_behind(durable_offsets):
            self._exit.failures.clear(name, partition)  # another worker got beyond that place
            failure = None
        task.isolates_inputs = failure is not None
        if failure is None or failure.count < MAX_FAILURES_AT_ONE_OFFSET:
            return False
        error = f"failed {failure.count} times here with {failure.error}"
        place = UnreadBatch(failure.offset, failure.offset + 1, error)
        self._add(name, failure.topic, partition, place)
        return True

    def forget_failure(self, task: PartitionTask) -> None:
        """Once a task got beyond the place where it failed, take its inputs in groups again."""
        if not (task.is_open and task.isolates_inputs):
            return
        failure = self._exit.failures.of(task.table.name, task.partition)
        if failure is None or failure.is_behind(task.durable_offsets):
            self._exit.failures.clear(task.table.name, task.partition)
            task.isolates_inputs = False

    def behind_skipped(self, tp: TP, offset: int) -> int:
        """Where to begin instead of `offset`, if that is a batch skipped since the last assignment."""
        skipped, next_offset = self._skipped.get(tp, (-1, -1))
        return next_offset if offset == skipped else offset

    def stopped_tasks(self) -> set[tuple[str, int]]:
        """Service and partition of each stop."""
        return {(stop.service, stop.partition) for stop in self._stops}

    async def skip(self, stop: PartitionStop, *, is_retry: bool = False) -> None:
        """Go on behind a stop, as if what is there had never been sent.

        is_retry: go on at it instead, as after its cause was mended; what still can't be read stops
        there again. A changelog is read again by the next process: this one ends. Raises
        NotStoppedError, KafkaError, TimeoutError.
        """
        if stop not in self._stops:
            raise NotStoppedError(f"{stop.topic}/{stop.partition} goes on already")
        self._stops.remove(stop)
        try:
            if stop.service:
                await self._resume_service(stop, is_retry=is_retry)
            else:
                await self._resume_input(stop, stop.offset if is_retry else stop.next_offset)
        except BaseException:
            if stop not in self._stops:
                self._stops.append(stop)
            raise

    async def _resume_service(self, stop: PartitionStop, *, is_retry: bool) -> None:
        """Let one service's partition go on."""
        hosted = self._services.named(stop.service)
        task = hosted.tasks[stop.partition]  # `clear` removes a stop together with its task
        if stop.topic == hosted.changelog and task.database is not None:
            key, index = hosted.table.offset_key, hosted.table.index
            if is_retry:
                reread_from(task.database, key, stop.offset, index)
                again = RecoveryError(f"{stop.topic}/{stop.partition} is to be read again")
                loop = asyncio.get_running_loop()
                loop.call_later(RETRY_AFTER_S, self._exit.fail, "retry", again)
                return
            tp = TP(stop.topic, stop.partition)
            await accept_loss(task.fence.producer, task.database, key, tp, stop.offset, index)
        self._exit.failures.clear(stop.service, stop.partition)
        await self._open_task(hosted, task, {} if is_retry else {stop.topic: stop.next_offset})
        # What this service still needs may lie before a batch at which the others have stopped.
        mine = {TP(topic, stop.partition) for topic in task.inbox.next_offsets}
        self._stops = [s for s in self._stops if s.service or TP(s.topic, s.partition) not in mine]
        self._services.consumer.stopped = self._services.consumer.stopped.difference(mine)
        next_offsets = self._services.next_offsets()
        await self._services.consumer.seek_to({tp: next_offsets[tp] for tp in mine})

    async def _resume_input(self, stop: PartitionStop, next_offset: int) -> None:
        """Let an input's partition be read on from an offset, for all its readers."""
        tp = TP(stop.topic, stop.partition)
        for hosted in self._services.readers_by_topic[stop.topic]:
            task = hosted.tasks.get(stop.partition)
            if task is not None:
                task.inbox.delivery_gaps.pop(stop.topic, None)
                if next_offset > stop.offset:
                    skipped = empty_offsets(*tp, stop.offset, next_offset - 1)
                    self._feeder.feed(hosted, *tp, [skipped])
        self._skipped[tp] = (stop.offset, next_offset)
        self._services.consumer.stopped = self._services.consumer.stopped.difference([tp])
        await self._services.consumer.seek_to({tp: next_offset})

    def _add(
        self, service: str, topic: str, partition: int, place: UnreadBatch | UnreadableBatch
    ) -> None:
        extra = {"topic": topic, "partition": partition, "offset": place.offset, "service": service}
        extra["error"] = place.error
        LOG.error("a partition is stopped; see `faust -A app skip --help`", extra=extra)
        now_ms, error = int(time.time() * 1000), place.error[:MAX_ERROR_CHARS]
        self._stops.append(
            PartitionStop(topic, partition, place.offset, place.next_offset, service, error, now_ms)
        )
