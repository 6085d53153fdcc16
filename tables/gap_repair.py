"""Finds inputs that Kafka has and Faust did not deliver, and has them read again.

Around a rebalance Faust may step over records. A later record shows it (a confirmed gap); at the end
of a partition only the broker's end offset does.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from faust.types import TP

from tables.errors import DeliveryGapError
from tables.identity import log_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tables.hosted_service import HostedService
    from tables.inbox import DeliveryGap
    from tables.limits import Limits
    from tables.partition_task import PartitionTask
    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")


class GapRepair:
    """Repairs the delivery gaps of a worker's tasks.

    next_offsets: where each input partition is to be read from, for all of its readers.
    """

    def __init__(
        self,
        consumer: Callable[[], FetchConsumer],
        next_offsets: Callable[[], Mapping[TP, int]],
        limits: Limits,
    ) -> None:
        self._consumer = consumer
        self._next_offsets = next_offsets
        self._limits = limits

    async def repair(
        self,
        tasks: Iterable[tuple[HostedService, PartitionTask]],
        ends: Mapping[tuple[str, int], int],
    ) -> None:
        """Look at all tasks; `ends`: ends of input partitions as last known. Raises DeliveryGapError."""
        now = time.monotonic()
        for hosted, task in tasks:
            self._find_missing_tails(task, ends)
            for topic, gap in list(task.inbox.delivery_gaps.items()):
                tp = TP(topic, task.partition)
                if task.is_open and tp not in self._consumer().stopped:
                    repair = self._repair_confirmed if gap.is_confirmed else self._repair_tail
                    await repair(hosted, task, tp, gap, now - gap.since_s)

    def _find_missing_tails(self, task: PartitionTask, ends: Mapping[tuple[str, int], int]) -> None:
        """Have a task note the last records of a partition that exist and do not come."""
        consumer = self._consumer()
        assigned = consumer.assignment()
        for topic in task.inbox.next_offsets:
            tp = TP(topic, task.partition)
            if task.is_open and tp in assigned and tp not in consumer.stopped:
                task.inbox.expect(topic, max(ends.get(tp, 0), consumer.highwater(tp) or 0))

    async def _repair_confirmed(
        self, hosted: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap, age_s: float
    ) -> None:
        """Seek to an offset after which others were delivered."""
        if age_s > self._limits.gap_exit_s:
            raise DeliveryGapError(task.table.name, tp, gap.next_offset)
        if not gap.is_retry_due(age_s, self._limits.gap_repair_s):
            return
        self._note_request(hosted, task, tp.topic, gap)
        await self._skip_expired(hosted, task, tp, gap)
        await self._consumer().seek_to({tp: self._next_offsets().get(tp, gap.next_offset)})

    async def _repair_tail(
        self, hosted: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap, age_s: float
    ) -> None:
        """Seek to last records that do not come. Kafka may just be slow, or away."""
        if task.inbox.next_offsets[tp.topic] != gap.next_offset or tp in self._consumer().paused:
            task.inbox.delivery_gaps.pop(tp.topic, None)
        elif age_s > self._limits.tail_exit_s:
            raise DeliveryGapError(task.table.name, tp, gap.next_offset)
        elif gap.is_retry_due(age_s, self._limits.tail_repair_s):
            self._note_request(hosted, task, tp.topic, gap)
            try:
                await self._skip_expired(hosted, task, tp, gap)
            except KafkaError as exc:
                LOG.warning("no answer on the first offset", extra={"error": type(exc).__name__})
                return
            await self._consumer().seek_to({tp: self._next_offsets().get(tp, gap.next_offset)})

    async def _skip_expired(
        self, hosted: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap
    ) -> None:
        """Have the task go on behind what Kafka has deleted. Raises KafkaError."""
        earliest = (await self._consumer().earliest_offsets(tp))[tp]
        if earliest > gap.next_offset and task.inbox.next_offsets[tp.topic] == gap.next_offset:
            log_expired(hosted.service.name, tp, gap.next_offset, earliest)
            task.inbox.next_offsets[tp.topic] = earliest

    def _note_request(
        self, hosted: HostedService, task: PartitionTask, topic: str, gap: DeliveryGap
    ) -> None:
        LOG.warning(
            "a delivery gap: asking for the input again",
            extra={"topic": topic, "partition": task.partition, **gap._asdict()},
        )
        hosted.counters.holes += 1
        task.inbox.delivery_gaps[topic] = gap._replace(requests=gap.requests + 1)
