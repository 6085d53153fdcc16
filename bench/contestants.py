"""Who does the engine part's work, and how each is started."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import kafka_streams, latency, payments_load, workload
from sandbox.processes import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parent.parent


def _python(*argv: str) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, *argv]


def _worker(module: str) -> Callable[[Path], list[str]]:
    return _python("-m", "faust", "-A", module, "worker", "-l", "error")


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is measured.

    name: of the tables. command: of the process, given a folder for what must be made first. share: of
    the records, for those that would take minutes for all. mode, commit_s: what the program makes of
    BENCH_MODE and BENCH_COMMIT_S. is_paced: whether its latency is measured too. is_killed: whether it is
    among those of `bench crashes`.
    """

    name: str
    command: Callable[[Path], list[str]]
    share: float = 1.0
    mode: str = ""
    commit_s: float = 1.0
    is_paced: bool = True
    is_killed: bool = True
    prepare: Callable[[str, str, int], workload.Load] = workload.prepare
    check: Callable[[str, str, int], None] = workload.check
    further_sinks: tuple[str, ...] = field(default=())


ENGINE: Final = Contestant("Tiffin's engine", _worker("bench.engine_app"))
STREAMS: Final = Contestant(
    "Kafka Streams, exactly_once_v2, 100 ms", kafka_streams.command, mode="uncached", commit_s=0.1
)
CACHED_STREAMS: Final = Contestant(
    "the same with caching", kafka_streams.command, mode="cached", commit_s=0.1, is_killed=False
)
_QUIX: Final = _python("-m", "bench.quix_app")
PAYMENTS: Final = Contestant(
    "the engine with the real payments",
    _worker("bench.payments_app"),
    share=0.15,
    is_paced=False,
    is_killed=False,
    prepare=payments_load.prepare,
    check=payments_load.check,
    further_sinks=payments_load.OTHERS,
)
CONTESTANTS: Final = (
    ENGINE,
    STREAMS,
    CACHED_STREAMS,
    Contestant(
        "Quix Streams, exactly-once, every 20 ms",
        _QUIX,
        0.15,
        "exactly-once",
        0.02,
        is_killed=False,
    ),
    Contestant("Quix Streams, exactly-once, every second", _QUIX, 0.15, "exactly-once"),
    Contestant("Quix Streams, at-least-once", _QUIX, 0.15, "at-least-once"),
    Contestant("Faust by its book, at-least-once", _worker("bench.faust_app"), 0.05),
    Contestant("a plain loop, no guarantee", _python("-m", "bench.plain_app")),
    PAYMENTS,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contestant, with its own sink topics, consumer group and folder."""

    name: str
    contestant: Contestant
    bootstrap: str
    folder: Path

    def rate(self, load: workload.Load) -> workload.Rate:
        """Input records a second, checked. Raises TimeoutError, NotEnoughRecordsError, WrongOutputError."""
        with self.running(load.topic) as process:
            found = workload.rate(self.bootstrap, self.name, load.outputs, process.pid or 0)
        self.contestant.check(self.bootstrap, self.name, load.outputs)
        return workload.Rate(found.per_s * load.records / load.outputs, found.cores)

    def latency(self) -> latency.Latency:
        """Latency at a low rate. Raises TimeoutError."""
        source = f"{self.name}-input"
        workload.make_topic(self.bootstrap, source)
        with self.running(source):
            return latency.measure(self.bootstrap, source, self.name)

    @contextmanager
    def running(self, source: str, *, restart: bool = False) -> Iterator[Supervised]:
        """The contestant's process, reading `source`. A TimeoutError inside shows what it logged."""
        workload.make_topic(self.bootstrap, self.name)
        for topic in self.contestant.further_sinks:
            workload.make_topic(self.bootstrap, payments_load.sink_of(self.name, topic))
        env = {
            **os.environ,
            **kafka_streams.environment(),
            "BENCH_BOOTSTRAP": self.bootstrap,
            "BENCH_INPUT": source,
            "BENCH_SINK": self.name,
            "BENCH_GROUP": f"group-{self.name}",
            "BENCH_DIR": str(self.folder / self.name),
            "BENCH_MODE": self.contestant.mode,
            "BENCH_COMMIT_S": str(self.contestant.commit_s),
        }
        argv = self.contestant.command(self.folder)
        log = self.folder / f"{self.name}.log"
        process = Supervised(self.name, argv, env=env, log_path=log, restart=restart, cwd=ROOT)
        with process:
            try:
                yield process
            except TimeoutError:
                print(process.log_tail())
                raise
