"""Holes: offsets that are next_offset and do not come, because Faust stepped over them around a rebalance."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import KafkaError
from faust.types import TP

from tables.identity import log_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tables.limits import Limits
    from tables.partition_task import PartitionTask
    from tables.task_manager import HostedService
    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")


class DeliveryGapError(Exception):
    """An input that was next_offset never came to a task, although it was requests for again and again."""

    def __init__(self, task: PartitionTask, tp: TP, offset: int) -> None:
        super().__init__(f"offset {offset} of {tp} never came to {task.table.name}")


class DeliveryGap(NamedTuple):
    """An offset that Faust stepped over: which one, and since when that is known (monotonic).

    is_confirmed: a later record was delivered. Else it is only known that the broker has records. requests:
    how often it was requests for again.
    """

    next_offset: int
    since_s: float
    is_confirmed: bool = True
    requests: int = 0

    def is_retry_due(self, age_s: float, first_s: float) -> bool:
        """Whether to ask for it, first after `first_s`, then each time after twice as long.

        Asking throws away what is being fetched: a busy worker must have the time to get it.
        """
        return age_s >= first_s * (1 << self.requests)


class GapRepair:
    """Finds the holes of a worker's tasks and asks for them again.

    first_due: where each input partition is to be read from, for all of its readers.
    """

    def __init__(
        self,
        consumer: Callable[[], FetchConsumer],
        first_due: Callable[[], Mapping[TP, int]],
        limits: Limits,
    ) -> None:
        self._consumer = consumer
        self._next_offsets = first_due
        self._limits = limits

    async def repair(
        self,
        tasks: Iterable[tuple[HostedService, PartitionTask]],
        ends: Mapping[tuple[str, int], int],
    ) -> None:
        """Look at all tasks; `ends`: ends of input partitions as last known. Raises DeliveryGapError."""
        now = time.monotonic()
        for engine, task in tasks:
            self._expect(task, ends)
            for topic, gap in list(task.delivery_gaps.items()):
                tp = TP(topic, task.partition)
                if task.is_open and tp not in self._consumer().stopped:
                    ask = self._repair_confirmed if gap.is_confirmed else self._repair_tail
                    await ask(engine, task, tp, gap, now - gap.since_s)

    def _expect(self, task: PartitionTask, ends: Mapping[tuple[str, int], int]) -> None:
        """Have a task notice that records which are there do not come."""
        consumer = self._consumer()
        assigned = consumer.assignment()
        for topic in task.next_offsets:
            tp = TP(topic, task.partition)
            if tp in assigned and tp not in consumer.stopped:
                task.expect(topic, max(ends.get(tp, 0), consumer.highwater(tp) or 0))

    async def _repair_confirmed(
        self, engine: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap, age_s: float
    ) -> None:
        """Seek to an offset that others came after."""
        if age_s > self._limits.gap_exit_s:
            raise DeliveryGapError(task, tp, gap.next_offset)
        if not gap.is_retry_due(age_s, self._limits.gap_repair_s):
            return
        self._note_request(engine, task, tp.topic, gap)
        await self._skip_expired(engine, task, tp, gap)
        await self._consumer().seek_to({tp: self._next_offsets().get(tp, gap.next_offset)})

    async def _repair_tail(
        self, engine: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap, age_s: float
    ) -> None:
        """Seek to records that are next_offset and do not come. Kafka may just be slow, or away."""
        if task.next_offsets[tp.topic] != gap.next_offset or tp in self._consumer().paused:
            task.delivery_gaps.pop(tp.topic, None)
        elif age_s > self._limits.tail_exit_s:
            raise DeliveryGapError(task, tp, gap.next_offset)
        elif gap.is_retry_due(age_s, self._limits.tail_repair_s):
            self._note_request(engine, task, tp.topic, gap)
            try:
                await self._skip_expired(engine, task, tp, gap)
            except KafkaError as exc:
                LOG.warning("no answer on the first offset", extra={"error": type(exc).__name__})
                return
            await self._consumer().seek_to({tp: self._next_offsets().get(tp, gap.next_offset)})

    async def _skip_expired(
        self, engine: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap
    ) -> None:
        """Have the task go on behind what Kafka has deleted. Raises KafkaError."""
        earliest = (await self._consumer().earliest_offsets(tp))[tp]
        if earliest > gap.next_offset and task.next_offsets[tp.topic] == gap.next_offset:
            log_expired(engine.service.name, tp, gap.next_offset, earliest)
            task.next_offsets[tp.topic] = earliest

    def _note_request(
        self, engine: HostedService, task: PartitionTask, topic: str, gap: DeliveryGap
    ) -> None:
        LOG.warning("gap", extra={"topic": topic, "partition": task.partition, **gap._asdict()})
        engine.counters.holes += 1
        task.delivery_gaps[topic] = gap._replace(requests=gap.requests + 1)
