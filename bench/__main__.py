"""`make bench`: the engine beside Quix Streams on the same work, in turns; what a payment costs."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from bench import latency, overload, payments, platform, reads, recovery, start, workload
from sandbox.kafka import KafkaBroker
from sandbox.processes import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

console = Console(highlight=False, width=110)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is measured: its name, how it is started, and how it treats duplicates.

    mode: "once" ignores the sender's duplicates; "all" counts them, which is less work.
    commit_s: how often Quix commits, and with transactions shows its events; the engine shows each
        event as soon as it may.
    """

    name: str
    argv: tuple[str, ...]
    guarantee: str = ""
    commit_s: float = 1.0
    mode: str = "once"


ENGINE = Contestant(
    "Tiffin's engine", ("-m", "faust", "-A", "bench.engine_app", "worker", "-l", "error")
)
QUIX = ("-m", "bench.quix_app")
CONTESTANTS = (
    ENGINE,
    Contestant("Quix Streams, exactly-once, every 20 ms", QUIX, "exactly-once", 0.02),
    Contestant("Quix Streams, exactly-once, every second", QUIX, "exactly-once"),
    Contestant("Quix Streams, at-least-once", QUIX, "at-least-once"),
    Contestant("  less work: senders' duplicates count", QUIX, "at-least-once", mode="all"),
)


@dataclass(slots=True)
class Result:
    """The measurements of one contestant. rates: records a second, of each turn."""

    rates: list[float] = field(default_factory=list)
    latency: latency.Latency | None = None


@click.group(help=__doc__, invoke_without_command=True)
@click.option("--records", default=400_000, show_default=True, help="Records of a run.")
@click.option("--turns", default=3, show_default=True, help="Runs of each, in turns.")
@click.pass_context
def main(context: click.Context, records: int, turns: int) -> None:
    """Measure and print."""
    if context.invoked_subcommand:
        return
    results = {contestant: Result() for contestant in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka", is_measured=True) as broker:
            console.print(f"… Writing {records:,} records")
            load = workload.prepare(broker.bootstrap, records)
            for turn in range(turns):
                for number, (contestant, result) in enumerate(results.items()):
                    run = Run(f"run-{turn}-{number}", contestant, broker.bootstrap, Path(folder))
                    result.rates.append(run.rate(load))
                    _tell(f"turn {turn + 1}", contestant, f"{result.rates[-1]:,.0f} records/s")
            for number, (contestant, result) in enumerate(results.items()):
                run = Run(f"pace-{number}", contestant, broker.bootstrap, Path(folder))
                result.latency = run.latency()
                _tell("at an easy pace", contestant, f"{result.latency.p50:,.1f} ms")
    _show(results, load)
    microseconds, inputs, outputs = payments.cost()
    console.print(
        f"\nThe real payments decide, bytes to bytes: {microseconds:.0f} µs an input "
        f"({1e6 / microseconds:,.0f} inputs/s on one core; "
        f"one payment is {inputs} inputs, {outputs} records out)."
    )


def _tell(when: str, contestant: Contestant, what: str) -> None:
    console.print(f"… {when}: {contestant.name.strip()}: {what}")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contestant, with its own sink topic, consumer group and folder."""

    name: str
    contestant: Contestant
    bootstrap: str
    folder: Path

    def rate(self, load: workload.Load) -> float:
        """Input records a second. Raises TimeoutError, NotEnoughRecordsError, WrongOutputError."""
        is_whole = self.contestant.mode == "once"
        outputs = load.distinct if is_whole else load.records
        with self._running(workload.INPUT):
            rate = workload.rate(self.bootstrap, self.name, outputs)
        workload.check(self.bootstrap, self.name, outputs)
        return rate * load.records / outputs

    def latency(self) -> latency.Latency:
        """Latency at a low rate. Raises TimeoutError."""
        source = f"{self.name}-input"
        workload.make_topic(self.bootstrap, source)
        with self._running(source):
            return latency.measure(self.bootstrap, source, self.name)

    @contextmanager
    def _running(self, source: str) -> Iterator[None]:
        workload.make_topic(self.bootstrap, self.name)
        env = {
            **os.environ,
            "BENCH_BOOTSTRAP": self.bootstrap,
            "BENCH_INPUT": source,
            "BENCH_SINK": self.name,
            "BENCH_GROUP": f"group-{self.name}",
            "BENCH_DIR": str(self.folder / self.name),
            "BENCH_GUARANTEE": self.contestant.guarantee,
            "BENCH_COMMIT_S": str(self.contestant.commit_s),
            "BENCH_MODE": self.contestant.mode,
        }
        argv = [sys.executable, *self.contestant.argv]
        log = self.folder / f"{self.name}.log"
        with Supervised(self.name, argv, env=env, log_path=log, restart=False, cwd=ROOT) as process:
            try:
                yield
            except TimeoutError:
                console.print(process.log_tail())
                raise


def _show(results: Mapping[Contestant, Result], load: workload.Load) -> None:
    console.print(
        f"\n{load.records:,} records of {load.size} bytes, {load.records - load.distinct:,} sent twice; "
        f"{workload.OPEN_ORDERS:,} orders under way at once, {workload.RECORDS_PER_ORDER} records each;\n"
        f"{workload.PARTITIONS} partitions; one process. Each order's records are numbered once, "
        "state in RocksDB with a changelog,\none event each; all events checked. "
        f"p50, p99: milliseconds until an event can be read, at {latency.PER_SECOND} records/s."
    )
    table = Table(box=None, pad_edge=False)
    for column in ("", "records/s", "of each run", "engine is", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    ours = median(results[ENGINE].rates)
    for contestant, result in results.items():
        mine, easy = median(result.rates), result.latency
        shown = " ".join(f"{rate:,.0f}" for rate in result.rates)
        times = [f"{easy.p50:,.1f}", f"{easy.p99:,.1f}"] if easy else []
        table.add_row(contestant.name, f"{mine:,.0f}", shown, f"{ours / mine:.2f} x", *times)
    console.print(table)


main.add_command(start.main)
main.add_command(recovery.main)
main.add_command(overload.main)
main.add_command(reads.main)
main.add_command(platform.main)

if __name__ == "__main__":
    main()
