"""Timers: ask orders to check a deadline once its time has come, for every deadline of owned partitions.

The orders table is the list of deadlines, so one that passed while nobody ran is found at the next
start. What is sent is only a question: decide holds it against the record and the time of the command.
"""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram, values
from app.task_runner import Background, Backoff, bind_order
from models import ids
from models.commands import CheckDeadline, Command, CommandType
from models.errors import KafkaUnavailableError
from models.order import OrderRecord
from models.sender import CommandSender
from models.times import to_rfc3339
from tables import StoredRecord

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:timers"
GATING_SERVICES: Final = ("payments", "orders")
"""Services whose inputs may hold what makes a deadline void: a payment, the kitchen's answer."""
Kind = Literal["PAYMENT", "KITCHEN"]
KINDS: Final[tuple[Kind, ...]] = ("PAYMENT", "KITCHEN")
"""Upper bounds of the histogram's buckets; the last ones are of deadlines that passed while nobody ran."""
MAX_SLEEP_S: Final = 1.0
"""The clock may be read anew meanwhile."""
MAX_CONCURRENT_SENDS: Final = 16
MAX_REPEAT_FACTOR: Final = 32
CATCH_UP_BACKOFF: Final = Backoff(0.1, 5.0, jitter=(1, 1))


@dataclass(slots=True)
class _Deadline:
    """One deadline that a stored record holds. asked: how often it has been put to orders."""

    partition: int
    order_id: str
    kind: Kind
    due_ms: int
    correlation_id: str
    asked: int = 0


@dataclass(slots=True)
class _Partition:
    """gate: is done when the partition has read what lay in its inputs when it came to us."""

    gate: asyncio.Task[None]
    deadlines: dict[tuple[str, str], _Deadline] = field(default_factory=dict)


class Timers(Background, Collector):
    """A listener of orders' table, and a task that sends CHECK_DEADLINE when one is due.

    A collector of metrics too, by kind of deadline. The command's id is made of the order, the deadline and
    its time: two workers that both believe they own the partition, and one that starts anew, send the same
    command, which counts once. One that had no effect (the broker that stamped it is behind the clock that
    we go by) is asked for again after a pause, under the next id.
    """

    def __init__(
        self,
        sender: CommandSender,
        caught_up: Callable[[tuple[str, ...], int], Awaitable[None]],
        *,
        clock_known: Callable[[], Awaitable[None]] | None = None,
        repeat_after_s: float = 10.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """caught_up: `tables.caught_up`; clock_known: is waited for first.

        repeat_after_s: doubled each time, up to a bound.
        now_s: a time that has passed by the clock that stamps records (app/clock.py: `earliest_now_s`).
        """
        super().__init__()
        self._fired, self._repeated = Counter[str](), Counter[str]()
        self._lateness_s = Histogram("tiffin_timers_lateness_seconds", *KINDS)
        self._sender, self._caught_up, self._clock_known = sender, caught_up, clock_known
        self._repeat = Backoff(repeat_after_s, repeat_after_s * MAX_REPEAT_FACTOR, jitter=(1, 1))
        self._now_s = now_s
        self._partitions: dict[int, _Partition] = {}
        self._queue: list[tuple[float, int, _Deadline]] = []
        self._count = itertools.count()
        self._new_earliest = asyncio.Event()
        self._sends = asyncio.Semaphore(MAX_CONCURRENT_SENDS)

    @property
    def pending(self) -> int:
        """Deadlines that owned records hold."""
        return sum(len(owned.deadlines) for owned in self._partitions.values())

    def collect(self) -> Iterator[Metric]:
        """Read everything now; deadlines are those of this worker's partitions."""
        now_ms = self._now_s() * 1000
        pending, due = Counter[str](), Counter[str]()
        for owned in self._partitions.values():
            for deadline in owned.deadlines.values():
                pending[deadline.kind] += 1
                due[deadline.kind] += deadline.due_ms <= now_ms
        for name, counts in (
            ("pending", pending), ("due", due),
            ("fired_total", self._fired), ("repeated_total", self._repeated),
        ):  # fmt: skip
            yield values(f"tiffin_timers_{name}", {kind: counts[kind] for kind in KINDS})
        yield from self._lateness_s.collect()

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Learn of a record's deadlines, forget those that it has no more."""
        state: OrderRecord = record.state
        owned = self._partitions.get(partition)
        if owned is None:
            gate = self._spawn(self._open(partition), f"timers of partition {partition}")
            owned = self._partitions[partition] = _Partition(gate)
        wanted = state.work.deadlines
        for kind in KINDS:
            known, due_ms = owned.deadlines.get((key, kind)), wanted.get(kind)
            if due_ms is None:
                owned.deadlines.pop((key, kind), None)
            elif known is None or known.due_ms != due_ms:
                deadline = _Deadline(partition, key, kind, due_ms, state.work.correlation_id)
                owned.deadlines[key, kind] = deadline
                if owned.gate.done():
                    self._put(deadline, due_ms / 1000)

    def closed(self, partition: int) -> None:
        """Leave a partition to its next owner."""
        owned = self._partitions.pop(partition, None)
        if owned is not None:
            owned.gate.cancel()

    async def _open(self, partition: int) -> None:
        if self._clock_known is not None:
            await self._clock_known()
        failures = 0
        while True:
            try:
                await self._caught_up(GATING_SERVICES, partition)
                break
            except Exception as error:  # noqa: BLE001 - Kafka's client raises many; all mean "not now"
                log.info("how far to read is not known", partition=partition, error=repr(error))
                failures += 1
                await CATCH_UP_BACKOFF.pause(failures)
        for deadline in self._partitions[partition].deadlines.values():
            self._put(deadline, deadline.due_ms / 1000)

    async def _run(self) -> None:
        while True:
            self._new_earliest.clear()
            now_s = self._now_s()
            while self._queue and self._queue[0][0] <= now_s:
                deadline = heapq.heappop(self._queue)[2]
                if self._is_current(deadline):
                    self._spawn(self._ask(deadline), f"deadline of {deadline.order_id}")
            sleep_s = MAX_SLEEP_S
            if self._queue:
                sleep_s = min(sleep_s, max(0.0, self._queue[0][0] - self._now_s()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sleep_s):
                    await self._new_earliest.wait()

    def _is_current(self, deadline: _Deadline) -> bool:
        """Whether the record still holds it, and we the record."""
        owned, key = self._partitions.get(deadline.partition), (deadline.order_id, deadline.kind)
        return owned is not None and owned.deadlines.get(key) is deadline

    def _put(self, deadline: _Deadline, at_s: float) -> None:
        heapq.heappush(self._queue, (at_s, next(self._count), deadline))
        if self._queue[0][2] is deadline:
            self._new_earliest.set()

    async def _ask(self, deadline: _Deadline) -> None:
        bind_order(deadline.order_id)
        name = (deadline.order_id, "deadline", deadline.kind, deadline.due_ms, deadline.asked)
        command = Command(
            order_id=deadline.order_id, command_id=ids.command_id(*name),
            command_type=CommandType.CHECK_DEADLINE,
            issued_at=to_rfc3339(round(self._now_s() * 1000)), issued_by=ISSUER,
            correlation_id=deadline.correlation_id,
            data=CheckDeadline(deadline=deadline.kind, due_at=deadline.due_ms),
        )  # fmt: skip
        try:
            async with self._sends:
                if not self._is_current(deadline):
                    return
                await self._sender.send(command)
        except KafkaUnavailableError:
            self._put(deadline, self._now_s() + self._repeat.first_s / 10)
            return
        if deadline.asked:
            self._repeated[deadline.kind] += 1
        else:
            self._fired[deadline.kind] += 1
            self._lateness_s.observe(self._now_s() - deadline.due_ms / 1000, deadline.kind)
        log.info("a deadline has passed", deadline=deadline.kind, asked=deadline.asked)
        deadline.asked += 1
        self._put(deadline, self._now_s() + self._repeat.delay_s(deadline.asked))
