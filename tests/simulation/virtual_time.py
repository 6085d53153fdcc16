"""An event loop on which time is virtual, and all that happens follows from one seed.

Importing this module puts clocks and random sources in the place of Python's; they are Python's own again while
no simulation runs. So it is imported before anything of the product is.

A simulated process is a name for the handles that its code schedules, told by a context variable. Within a
process they run in their order, as in any event loop; which process runs next is drawn. A process can be
killed between any two handles: none of its code runs afterwards, `finally` included. It can be stopped for a
while, as by SIGSTOP: what comes meanwhile waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

EPOCH_S = 1_790_000_000.0
"""When each simulation begins, in seconds since 1970."""
MONOTONIC_S = 1000.0
STEP_S = 5e-6
"""What each handle takes: a loop that yields without end gets older, too."""
MAX_STEPS = 6_000_000
MAX_THREAD_S = 0.002
"""How long what runs in a thread takes, at most."""

REAL = {name: getattr(time, name) for name in ("time", "monotonic", "time_ns", "perf_counter")}
REAL_URANDOM = os.urandom


class StuckError(Exception):
    """The simulation does not come to an end."""


class Process:
    """A simulated process. skew_s: how far its wall clock is ahead."""

    def __init__(self, name: str, skew_s: float = 0.0) -> None:
        self.name, self.skew_s = name, skew_s
        self.is_alive = True
        self.stopped_until_s = 0.0
        self.steps_left: int | None = None
        self.at_last_step: Callable[[], None] = self.kill
        self.on_death: Callable[[], None] = lambda: None
        self.queue: deque[asyncio.Handle] = deque()
        self.is_listed = False
        self.context = contextvars.Context()
        self.context.run(CURRENT.set, self)

    def kill(self) -> None:
        """None of its code runs any more."""
        if self.is_alive:
            self.is_alive = False
            self.queue.clear()
            self.on_death()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a task of this process."""
        return self.spawn_in(asyncio.get_running_loop(), work)

    def spawn_in(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]
    ) -> asyncio.Task[Any]:
        """The same before the loop runs."""
        return loop.create_task(work, context=self.context.copy())


CURRENT: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class _Numbered:
    """Sets of these are gone through in the same order in every run."""

    _numbers = itertools.count()

    def __hash__(self) -> int:
        return self.number

    number = 0


class SimulatedTask(_Numbered, asyncio.Task):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(self._numbers)
        super().__init__(*args, **kwargs)
        self._log_destroy_pending = False


class SimulatedFuture(_Numbered, asyncio.Future):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(self._numbers)
        super().__init__(*args, **kwargs)


class SimulatedLoop(asyncio.BaseEventLoop):
    """One simulation's event loop. order: draws which process runs next. world: what is in no process."""

    def __init__(self, order: random.Random) -> None:
        super().__init__()
        self.world = Process("world")
        self.steps = 0
        self.now_s = 0.0
        self._order = order
        self._runnable: list[Process] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()
        self.set_task_factory(lambda loop, work, **more: SimulatedTask(work, loop=loop, **more))

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self.now_s

    def create_future(self) -> SimulatedFuture:
        return SimulatedFuture(loop=self)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """There are no threads: it is a step of its own, a moment later."""
        done = self.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                result = func(*args)
            except Exception as exc:  # noqa: BLE001 -- it is the caller's
                done.set_exception(exc)
            else:
                done.set_result(result)

        self.call_later(self._order.uniform(0, MAX_THREAD_S), run)
        return done

    def call_exception_handler(self, context: Any) -> None:
        """Nobody asked for the result; who should have will notice."""

    # -- running

    def in_world(self, callback: Callable[..., None], *args: Any, after_s: float = 0.0) -> None:
        """Call it later, whatever becomes of the process that asks for it."""
        self.call_at(self.now_s + after_s, callback, *args, context=self.world.context)

    def stop_process(self, process: Process, for_s: float) -> None:
        """As by SIGSTOP, and SIGCONT after so many seconds."""
        process.stopped_until_s = self.now_s + for_s
        self.in_world(self._list, process, after_s=for_s)

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process: Process = handle._context.get(CURRENT) or self.world  # type: ignore[attr-defined]
        if process.is_alive:
            process.queue.append(handle)
            self._list(process)

    def _list(self, process: Process) -> None:
        is_ready = process.queue and process.stopped_until_s <= self.now_s
        if is_ready and not process.is_listed:
            process.is_listed = True
            self._runnable.append(process)

    def _run_once(self) -> None:
        self._fire_timers()
        runnable = self._runnable
        at = int(self._order.random() * len(runnable)) if len(runnable) > 1 else 0
        process = runnable[at]
        if not process.queue or process.stopped_until_s > self.now_s:
            process.is_listed = False
            runnable[at] = runnable[-1]
            runnable.pop()
            return
        handle = process.queue.popleft()
        self.steps += 1
        self.now_s += STEP_S
        if self.steps > MAX_STEPS:
            raise StuckError(f"{MAX_STEPS} steps, and no end")
        if not handle._cancelled:
            handle._run()
        if process.steps_left is not None:
            process.steps_left -= 1
            if process.steps_left <= 0:
                process.steps_left = None
                process.at_last_step()

    def _fire_timers(self) -> None:
        timers = self._timers
        if not self._runnable:
            while timers and (timers[0][2]._cancelled or self._is_of_dead(timers[0][2])):
                heapq.heappop(timers)
            if not timers:
                raise StuckError("everybody waits, and nothing will ever come")
            self.now_s = max(self.now_s, timers[0][0])
        while timers and timers[0][0] <= self.now_s:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                self._enqueue(timer)
        if not self._runnable:
            self._runnable.append(self.world)
            self.world.is_listed = True

    @staticmethod
    def _is_of_dead(timer: asyncio.TimerHandle) -> bool:
        process = timer._context.get(CURRENT)  # type: ignore[attr-defined]
        return process is not None and not process.is_alive

    def _process_events(self, event_list: Any) -> None:
        """There is no I/O."""

    def _write_to_self(self) -> None:
        """There is nobody to be woken."""


class Clocks:
    """What `time`, `os.urandom` and `random` give while a simulation runs."""

    def __init__(self) -> None:
        self.loop: SimulatedLoop | None = None
        self.random = random.Random(0)

    def begin(self, loop: SimulatedLoop, seed: int) -> None:
        """Go by this simulation."""
        self.loop = loop
        self.random = random.Random(f"bytes {seed}")
        random.seed(f"product {seed}")
        _Numbered._numbers = itertools.count()

    def end(self) -> None:
        """Go by Python's own again."""
        self.loop = None

    def wall_s(self) -> float:
        if self.loop is None:
            return float(REAL["time"]())
        process = CURRENT.get(None)
        return EPOCH_S + self.loop.now_s + (process.skew_s if process else 0.0)

    def wall_ns(self) -> int:
        return int(REAL["time_ns"]()) if self.loop is None else int(self.wall_s() * 1e9)

    def steady_s(self) -> float:
        return float(REAL["monotonic"]()) if self.loop is None else MONOTONIC_S + self.loop.now_s

    def counter_s(self) -> float:
        return float(REAL["perf_counter"]()) if self.loop is None else self.loop.now_s

    def bytes(self, count: int) -> bytes:
        return REAL_URANDOM(count) if self.loop is None else self.random.randbytes(count)


CLOCKS = Clocks()


def put_in_place(of: Any, **values: Any) -> None:
    """Replace names of a module or class for good: this process does nothing but simulate."""
    for name, value in values.items():
        setattr(of, name, value)


put_in_place(
    time, time=CLOCKS.wall_s, time_ns=CLOCKS.wall_ns, monotonic=CLOCKS.steady_s,
    perf_counter=CLOCKS.counter_s,
)  # fmt: skip
put_in_place(os, urandom=CLOCKS.bytes)
put_in_place(random, _urandom=CLOCKS.bytes)
