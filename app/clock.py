"""The clock that all workers share: the broker's, as this worker reads it, and how far its own is off.

Kafka stamps all records itself (`LogAppendTime`, app/kafka/topics.py), so decide goes by the broker's time
whoever produced a record. What fires by itself (deadlines, time-outs of effects, messages that are too old)
must go by the same clock. It is read from the answer to a record that each worker puts into `worker-clocks`
now and then: Kafka appended it between asking and being answered. Between two readings the monotonic clock
runs on, so that setting this machine's clock changes nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.kafka.headers import record_headers
from app.metrics.families import single
from app.task_runner import Background
from models import ids
from models.errors import KafkaUnavailableError
from models.messages import encode
from models.operations import WorkerClock
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import WORKER_CLOCKS

log = structlog.stdlib.get_logger(__name__)

MAX_CLOCK_DRIFT: Final = 1e-3
"""How much faster or slower than ours the broker's clock may run, in seconds a second: NTP slews by half
of it at most."""
TIMESTAMP_RESOLUTION_S: Final = 0.001
"""Kafka's times are whole milliseconds, cut off."""
MAX_WAIT_FOR_BROKER_S: Final = 1.0
UNSYNCED_INTERVAL_S: Final = 2.0
"""Between two rounds while the clock is not known."""
EVENT_TYPE: Final = "WORKER_CLOCK"
SOURCE: Final = "/tiffin/clock"
CLOCK_NOT_SYNCED: Final = "this worker's clock has not been compared with Kafka's yet"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Broker's time less the monotonic clock's, in seconds: between low and high, as of at_s."""

    low: float
    high: float
    at_s: float

    @property
    def middle(self) -> float:
        """The best guess."""
        return (self.low + self.high) / 2

    @property
    def error_s(self) -> float:
        """How wrong it may be."""
        return (self.high - self.low) / 2

    def intersection(self, newer: "ClockReading") -> "ClockReading":
        """What both say; the newer one alone where they contradict each other: the clock was set."""
        drift = MAX_CLOCK_DRIFT * (newer.at_s - self.at_s)
        low, high = max(self.low - drift, newer.low), min(self.high + drift, newer.high)
        return ClockReading(low, high, newer.at_s) if low <= high else newer


class BrokerClock(Background, Collector):
    """One a worker: reads, tells the shared time, and says when the worker's own clock is off.

    Partitions of `worker-clocks` are led by different brokers: the middle one's time is taken, and it is
    told when they differ. A collector of metrics too.
    """

    def __init__(
        self,
        sender: CommandSender,
        *,
        worker: str,
        partitions: int = 1,
        max_offset_s: float = 30.0,
        every_s: float = 30.0,
        wall_clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """worker: its address, for whoever reads the topic. max_offset_s: more makes it not ready."""
        super().__init__()
        self._sender, self._worker = sender, worker
        self._partitions, self._max_offset_s, self._every_s = partitions, max_offset_s, every_s
        self._wall_clock_s, self._monotonic_s = wall_clock_s, monotonic_s
        self._readings: dict[int, ClockReading] = {}
        self._unread = ""
        self._was_told = ""
        self._first_round = asyncio.Event()

    def now_s(self) -> float:
        """The broker's time, seconds since the epoch; this machine's while that is not known."""
        reading = self._reading
        return self._wall_clock_s() if reading is None else self._monotonic_s() + reading.middle

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return round(self.now_s() * 1000)

    def earliest_now_s(self) -> float:
        """A time that has passed at every broker for sure: what is due by it, Kafka stamps as due.

        A broker that is far behind the middle one is not waited for.
        """
        reading = self._reading
        if reading is None:
            return self._wall_clock_s()
        lowest = min(each.low for each in self._readings.values())
        return self._monotonic_s() + max(lowest, reading.low - MAX_WAIT_FOR_BROKER_S)

    @property
    def offset_s(self) -> float | None:
        """How far this machine's clock is ahead of the broker's; None while that is not known."""
        reading = self._reading
        if reading is None:
            return None
        return self._wall_clock_s() - self._monotonic_s() - reading.middle

    def reasons(self) -> tuple[str, ...]:
        """Why this worker is not ready, as far as its clock goes."""
        if not self._first_round.is_set():
            return (CLOCK_NOT_SYNCED,)
        reading, offset_s = self._reading, self.offset_s
        if reading is None or offset_s is None:
            return ()
        if abs(offset_s) - reading.error_s <= self._max_offset_s:
            return ()
        way = "ahead of" if offset_s > 0 else "behind"
        return (f"this worker's clock is {abs(offset_s):.0f} s {way} Kafka's: set it (NTP)",)

    def problem(self) -> str:
        """What operators should know of the clocks; "" when all is well."""
        reasons = self.reasons()
        if reasons:
            return reasons[0]
        if self._reading is None or self._unread:
            return self._unread
        if self._spread_s > self._max_offset_s:
            return f"the brokers' clocks differ by {self._spread_s:.0f} s: set them (NTP)"
        return ""

    async def synced(self) -> None:
        """Return once the clock has been read, or could not be in the first round."""
        await self._first_round.wait()

    async def read(self) -> None:
        """One round: ask for the time in every partition of the topic."""
        try:
            await asyncio.gather(*map(self._read, range(self._partitions)))
        finally:
            self._first_round.set()
        self._log_problem()

    def collect(self) -> Iterator[Metric]:
        """Offset, error and the brokers' difference, in seconds; none of it while it is not known."""
        reading, offset_s = self._reading, self.offset_s
        if reading is None or offset_s is None:
            return
        yield single("tiffin_clock_offset_seconds", offset_s)
        yield single("tiffin_clock_error_seconds", reading.error_s)
        yield single("tiffin_clock_brokers_differ_seconds", self._spread_s)

    async def _run(self) -> None:
        while True:
            try:
                await self.read()
            except Exception:
                log.exception("unexpected error in reading Kafka's clock")
            is_known = self._reading is not None
            await asyncio.sleep(self._every_s if is_known else UNSYNCED_INTERVAL_S)

    async def _read(self, partition: int) -> None:
        at = to_rfc3339(round(self._wall_clock_s() * 1000))
        value = encode(WorkerClock(worker=self._worker, clock=at))
        name = ids.derive_id("clock", self._worker, partition, at)
        asked_s = self._monotonic_s()
        try:
            headers = record_headers(name, EVENT_TYPE, SOURCE, at)
            put = await self._sender.put(WORKER_CLOCKS, None, value, headers, partition)
        except KafkaUnavailableError:
            self._unread = f"Kafka's clock can't be read: {WORKER_CLOCKS} took no record"
            return
        answered_s = self._monotonic_s()
        if put.timestamp_ms is None:
            self._readings.pop(partition, None)
            self._unread = f"Kafka does not stamp {WORKER_CLOCKS}: run `faust -A app topics`"
            return
        self._unread = ""
        stamp_s = put.timestamp_ms / 1000
        high = stamp_s + TIMESTAMP_RESOLUTION_S - asked_s
        new = ClockReading(stamp_s - answered_s, high, answered_s)
        known = self._readings.get(partition)
        self._readings[partition] = known.intersection(new) if known else new

    @property
    def _reading(self) -> ClockReading | None:
        """The middle one of all partitions'."""
        ordered = sorted(self._readings.values(), key=lambda reading: reading.middle)
        return ordered[(len(ordered) - 1) // 2] if ordered else None

    @property
    def _spread_s(self) -> float:
        """How far partitions' times are apart for sure."""
        readings = self._readings.values()
        return max(0.0, max(r.low for r in readings) - min(r.high for r in readings))

    def _log_problem(self) -> None:
        """Log a problem when it begins, when it is another one, and when it is over."""
        problem = self.problem()
        kind = problem.split(" ", 4)[:4]
        if problem and kind != self._was_told.split(" ", 4)[:4]:
            log.error("clocks", trouble=problem, offsetS=self.offset_s)
        elif self._was_told and not problem:
            log.info("clocks agree again", offsetS=self.offset_s)
        self._was_told = problem
