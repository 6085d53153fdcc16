"""Runs durable tasks: what rows of a table ask for is done, again until it is done, and reported to Kafka.

A row is the work list: what is pending in it was stored before it is begun, and stays until the report of
it, a command, has been decided. So a crash at any point leaves work that the next owner finds again.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import structlog

from models.commands import Command
from models.errors import KafkaUnavailableError
from models.sender import CommandSender
from tables import StoredRecord

log = structlog.stdlib.get_logger(__name__)


class Work(Protocol):
    """What a task does."""

    @property
    def order_id(self) -> str:
        """Whose it is, for the log."""


ItemT = TypeVar("ItemT")
WorkT = TypeVar("WorkT", bound=Work)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double with each failure. jitter: bounds of the factor that each pause is multiplied by."""

    first_s: float
    longest_s: float
    jitter: tuple[float, float] = (0.5, 1.0)

    def delay_s(self, failures: int) -> float:
        """The pause after so many failures in a row; nothing after none."""
        if not failures:
            return 0.0
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 16))
        return pause_s * random.uniform(*self.jitter)  # noqa: S311

    async def pause(self, failures: int) -> None:
        """Wait that long."""
        if failures:
            await asyncio.sleep(self.delay_s(failures))


def bind_order(order_id: str, **more: Any) -> None:
    """Begin the log context of a task anew: it has that of whoever happened to store the record."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(orderId=order_id, **more)


class Background:
    """A part of the worker with tasks of its own. Its methods are called on the event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin `_run` in a task of its own."""
        self._spawn(self._run(), type(self).__name__)

    async def stop(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        """What goes on until the worker stops."""

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(slots=True)
class TaskCounters:
    """Counts since the start; in_flight is the number of calls to the outside under way now.

    results: (kind of work, how it ended) -> reports. errors: class -> what had to be tried again.
    """

    in_flight: int = 0
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class RowTask(Generic[WorkT]):
    """A piece of work and the task that does it. is_held: it only waits until it may begin, so it may end."""

    work: WorkT
    is_wanted: bool = True
    is_held: bool = False
    task: asyncio.Task[None] | None = None

    def drop(self) -> None:
        """It is not wanted any more; a call that is under way is not broken off."""
        self.is_wanted = False
        if self.is_held and self.task:
            self.task.cancel()


class RowTasks(Background, ABC, Generic[ItemT, WorkT]):
    """A listener of a table: one task for each item that the records of owned partitions want done.

    A task runs from the moment its item is stored until Kafka has its report; a partition that closes
    ends its tasks, and its next owner begins them anew.
    """

    def __init__(
        self,
        sender: CommandSender,
        backoff: Backoff,
        now_s: Callable[[], float],
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """backoff: between two tries of a task. ready: waited for before a task begins."""
        super().__init__()
        self.counters = TaskCounters()
        self._sender, self._backoff, self._now_s, self._ready = sender, backoff, now_s, ready
        self._opened_ms: dict[int, float] = {}
        self._partitions: dict[int, dict[str, dict[str, RowTask[WorkT]]]] = {}

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Begin what is new in the record, drop what is gone from it."""
        opened_ms = self._opened_ms.setdefault(partition, self._now_s() * 1000)
        wanted = self._wanted(record.state)
        rows = self._partitions.setdefault(partition, {})
        tasks = rows.get(key, {})
        for name, each in list(tasks.items()):
            if name not in wanted or not self._keep(each, wanted[name], record.state):
                tasks.pop(name).drop()
        for name, item in wanted.items():
            if name not in tasks:
                each = tasks[name] = RowTask(self._begin(key, item, record.state, opened_ms))
                each.task = self._spawn(self._do(each), f"{type(self).__name__} {name}")
        if tasks:
            rows[key] = tasks
        else:
            rows.pop(key, None)

    def closed(self, partition: int) -> None:
        """Stop all work of a partition that is not this worker's any more."""
        self._opened_ms.pop(partition, None)
        for row in self._partitions.pop(partition, {}).values():
            for each in row.values():
                if each.task:
                    each.task.cancel()

    def _all(self) -> list[RowTask[WorkT]]:
        rows = (row for rows in self._partitions.values() for row in rows.values())
        return [each for row in rows for each in row.values()]

    async def _do(self, each: RowTask[WorkT]) -> None:
        bind_order(each.work.order_id, **self._log_context(each.work))
        if self._ready is not None:
            await self._ready()
        failures = self._failures_before(each.work)
        while each.is_wanted:
            await self._backoff.pause(failures)
            failures += 1
            if await self._attempt(each):
                return

    async def _report(self, command: Command) -> None:
        """Send a result until Kafka has it; its id makes a second one harmless."""
        failures = 0
        while True:
            try:
                return await self._sender.send(command)
            except KafkaUnavailableError as error:
                name = type(error).__name__
            except Exception as error:  # noqa: BLE001 -- else the work would be neither done nor reported
                name = type(error).__name__
                log.error("a result can't be reported", command=command.command_id, error=name)  # noqa: TRY400
            self.counters.errors[name] += 1
            failures += 1
            await self._backoff.pause(failures)

    def _log_context(self, _work: WorkT) -> Mapping[str, str]:
        """What more the log tells of a task."""
        return {}

    @abstractmethod
    def _wanted(self, state: Any) -> Mapping[str, ItemT]:
        """What a record wants done, by the name of the task that does it."""

    @abstractmethod
    def _begin(self, key: str, item: ItemT, state: Any, opened_ms: float) -> WorkT:
        """The work of a new task. opened_ms: when this worker got the partition, by the broker's clock.

        What was requested before then may have been done already, by another worker.
        """

    @abstractmethod
    def _keep(self, each: RowTask[WorkT], item: ItemT, state: Any) -> bool:
        """Tell a task what has changed; False: it is to be dropped, and another one begun."""

    @abstractmethod
    def _failures_before(self, work: WorkT) -> int:
        """How many tries have failed before this task."""

    @abstractmethod
    async def _attempt(self, each: RowTask[WorkT]) -> bool:
        """Try once; False: try again after a pause."""
