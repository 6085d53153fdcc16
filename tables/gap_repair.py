"""Finds inputs that Kafka has and Faust did not deliver, around a rebalance, and has them read again.

A later record shows such a gap (confirms it); at the end of a partition only the broker's end offset does.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from faust.types import TP

from tables.identity import log_expired
from tables.worker_exit import DeliveryGapError

if TYPE_CHECKING:
    from tables.cluster import Bounds
    from tables.hosted_service import HostedService, HostedServices
    from tables.inbox import DeliveryGap
    from tables.limits import Limits
    from tables.partition_task import PartitionTask

LOG = logging.getLogger("tiffin.engine")


class GapRepair:
    """Repairs the delivery gaps of a worker's tasks."""

    def __init__(self, services: HostedServices, limits: Limits) -> None:
        self._services = services
        self._limits = limits

    async def repair(self, bounds: Bounds) -> None:
        """Look at all tasks; `bounds`: of input partitions as last known. Raises DeliveryGapError."""
        now = time.monotonic()
        for hosted, task in self._services.tasks():
            self._find_missing_tails(task, bounds)
            for topic, gap in list(task.inbox.delivery_gaps.items()):
                tp = TP(topic, task.partition)
                if task.is_open and tp not in self._services.consumer.stopped:
                    await self._repair(hosted, task, tp, gap, now - gap.since_s)

    def _find_missing_tails(self, task: PartitionTask, bounds: Bounds) -> None:
        """Have a task note the last records of a partition that exist and do not come."""
        consumer = self._services.consumer
        assigned = consumer.assignment()
        for topic in task.inbox.next_offsets:
            tp = TP(topic, task.partition)
            if task.is_open and tp in assigned and tp not in consumer.stopped:
                _, end = bounds.get(tp, (0, 0))
                task.inbox.expect(topic, max(end, consumer.highwater(tp) or 0))

    async def _repair(
        self, hosted: HostedService, task: PartitionTask, tp: TP, gap: DeliveryGap, age_s: float
    ) -> None:
        """Seek to what did not come. Where nothing later was delivered, Kafka may just be slow, or away."""
        limits, inbox = self._limits, task.inbox
        retry_s, exit_s = limits.gap_repair_s, limits.gap_exit_s
        if not gap.is_confirmed:
            if (
                inbox.next_offsets[tp.topic] != gap.next_offset
                or tp in self._services.consumer.paused
            ):
                inbox.delivery_gaps.pop(tp.topic, None)
                return
            retry_s, exit_s = limits.tail_repair_s, limits.tail_exit_s
        if age_s > exit_s:
            raise DeliveryGapError(hosted.name, tp, gap.next_offset)
        if not gap.is_retry_due(age_s, retry_s):
            return
        LOG.warning(
            "a delivery gap: asking for the input again",
            extra={"topic": tp.topic, "partition": tp.partition, **gap._asdict()},
        )
        hosted.counters.holes += 1
        inbox.delivery_gaps[tp.topic] = gap._replace(requests=gap.requests + 1)
        try:
            earliest = (await self._services.consumer.earliest_offsets(tp))[tp]
        except KafkaError as exc:
            if gap.is_confirmed:
                raise
            LOG.warning("no answer on the first offset", extra={"error": type(exc).__name__})
            return
        if earliest > gap.next_offset and inbox.next_offsets[tp.topic] == gap.next_offset:
            log_expired(
                hosted.name, tp, gap.next_offset, earliest
            )  # Kafka has deleted what is before
            inbox.next_offsets[tp.topic] = earliest
        next_offset = self._services.next_offsets().get(tp, gap.next_offset)
        await self._services.consumer.seek_to({tp: next_offset})
