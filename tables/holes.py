"""Holes: offsets that are due and do not come, because Faust stepped over them around a rebalance."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import KafkaError
from faust.types import TP

from tables.origin import log_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tables.coordinator import Engine
    from tables.lane import Lane
    from tables.limits import Limits
    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")


class HoleError(Exception):
    """An input that was due never came to a lane, although it was asked for again and again."""

    def __init__(self, lane: Lane, tp: TP, offset: int) -> None:
        super().__init__(f"offset {offset} of {tp} never came to {lane.table.name}")


class Hole(NamedTuple):
    """An offset that Faust stepped over: which one, and since when that is known (monotonic).

    is_seen: a later record was delivered. Else it is only known that the broker has records. asked:
    how often it was asked for again.
    """

    due: int
    since_s: float
    is_seen: bool = True
    asked: int = 0

    def is_due(self, age_s: float, first_s: float) -> bool:
        """Whether to ask for it, first after `first_s`, then each time after twice as long.

        Asking throws away what is being fetched: a busy worker must have the time to get it.
        """
        return age_s >= first_s * (1 << self.asked)


class Repairer:
    """Finds the holes of a worker's lanes and asks for them again.

    first_due: where each input partition is to be read from, for all of its readers.
    """

    def __init__(
        self,
        consumer: Callable[[], FetchConsumer],
        first_due: Callable[[], Mapping[TP, int]],
        limits: Limits,
    ) -> None:
        self._consumer = consumer
        self._first_due = first_due
        self._limits = limits

    async def repair(
        self, lanes: Iterable[tuple[Engine, Lane]], ends: Mapping[tuple[str, int], int]
    ) -> None:
        """Look at all lanes; `ends`: ends of input partitions as last known. Raises HoleError."""
        now = time.monotonic()
        for engine, lane in lanes:
            self._expect(lane, ends)
            for topic, hole in list(lane.holes.items()):
                tp = TP(topic, lane.partition)
                if lane.is_open and tp not in self._consumer().stopped:
                    ask = self._ask_for_one if hole.is_seen else self._ask_for_the_last
                    await ask(engine, lane, tp, hole, now - hole.since_s)

    def _expect(self, lane: Lane, ends: Mapping[tuple[str, int], int]) -> None:
        """Have a lane notice that records which are there do not come."""
        consumer = self._consumer()
        assigned = consumer.assignment()
        for topic in lane.due:
            tp = TP(topic, lane.partition)
            if tp in assigned and tp not in consumer.stopped:
                lane.expect(topic, max(ends.get(tp, 0), consumer.highwater(tp) or 0))

    async def _ask_for_one(
        self, engine: Engine, lane: Lane, tp: TP, hole: Hole, age_s: float
    ) -> None:
        """Seek to an offset that others came after."""
        if age_s > self._limits.hole_exit_s:
            raise HoleError(lane, tp, hole.due)
        if not hole.is_due(age_s, self._limits.hole_repair_s):
            return
        self._asked(engine, lane, tp.topic, hole)
        await self._leave_expired(engine, lane, tp, hole)
        await self._consumer().seek_to({tp: self._first_due().get(tp, hole.due)})

    async def _ask_for_the_last(
        self, engine: Engine, lane: Lane, tp: TP, hole: Hole, age_s: float
    ) -> None:
        """Seek to records that are due and do not come. Kafka may just be slow, or away."""
        if lane.due[tp.topic] != hole.due or tp in self._consumer().paused:
            lane.holes.pop(tp.topic, None)
        elif age_s > self._limits.tail_exit_s:
            raise HoleError(lane, tp, hole.due)
        elif hole.is_due(age_s, self._limits.tail_repair_s):
            self._asked(engine, lane, tp.topic, hole)
            try:
                await self._leave_expired(engine, lane, tp, hole)
            except KafkaError as exc:
                LOG.warning("no answer on the first offset", extra={"error": type(exc).__name__})
                return
            await self._consumer().seek_to({tp: self._first_due().get(tp, hole.due)})

    async def _leave_expired(self, engine: Engine, lane: Lane, tp: TP, hole: Hole) -> None:
        """Have the lane go on behind what Kafka has deleted. Raises KafkaError."""
        earliest = (await self._consumer().earliest_offsets(tp))[tp]
        if earliest > hole.due and lane.due[tp.topic] == hole.due:
            log_expired(engine.service.name, tp, hole.due, earliest)
            lane.due[tp.topic] = earliest

    def _asked(self, engine: Engine, lane: Lane, topic: str, hole: Hole) -> None:
        LOG.warning("hole", extra={"topic": topic, "partition": lane.partition, **hole._asdict()})
        engine.counters.holes += 1
        lane.holes[topic] = hole._replace(asked=hole.asked + 1)
