"""`make bench`: the engine beside Quix Streams on the same work, in turns; what a payment costs."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from bench import payments, work
from sandbox.kafka import KafkaBroker
from sandbox.processes import Supervised

console = Console(highlight=False, width=110)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is measured: its name, how it is started, and whether it does all of the work.

    work: "trusting" leaves out what was sent twice by its sender: it is counted twice.
    """

    name: str
    argv: tuple[str, ...]
    guarantee: str = ""
    work: str = "counted"


ENGINE = Contestant(
    "Tiffin's engine", ("-m", "faust", "-A", "bench.engine_app", "worker", "-l", "error")
)
QUIX = ("-m", "bench.quix_app")
CONTESTANTS = (
    ENGINE,
    Contestant("Quix Streams, exactly-once", QUIX, "exactly-once"),
    Contestant("Quix Streams, at-least-once", QUIX, "at-least-once"),
    Contestant("  less work: senders' duplicates count", QUIX, "at-least-once", "trusting"),
)


@click.command(help=__doc__)
@click.option("--records", default=300_000, show_default=True, help="Records of a run.")
@click.option("--turns", default=3, show_default=True, help="Runs of each, in turns.")
def main(records: int, turns: int) -> None:
    """Measure and print."""
    rates: dict[Contestant, list[float]] = {contestant: [] for contestant in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka") as broker:
            console.print(f"… Writing {records:,} records")
            load = work.prepare(broker.bootstrap, records)
            for turn in range(turns):
                for number, (contestant, runs) in enumerate(rates.items()):
                    run = Run(f"run-{turn}-{number}", contestant, broker.bootstrap, Path(folder))
                    runs.append(run.measure(load))
                    console.print(
                        f"… turn {turn + 1}: {contestant.name.strip()}: {runs[-1]:,.0f} records/s"
                    )
    _show(rates, load)
    microseconds, inputs, outputs = payments.cost()
    console.print(
        f"\nThe real payments decide, bytes to bytes: {microseconds:.0f} µs an input "
        f"({1e6 / microseconds:,.0f} inputs/s on one core; "
        f"one payment is {inputs} inputs, {outputs} records out)."
    )


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant's one turn, with a sink, a consumer group and a folder of its own."""

    name: str
    contestant: Contestant
    bootstrap: str
    folder: Path

    def measure(self, load: work.Load) -> float:
        """Give input records a second. Raises TimeoutError, WrongWorkError."""
        is_whole = self.contestant.work == "counted"
        outputs = load.distinct if is_whole else load.records
        work.make_topic(self.bootstrap, self.name)
        env = {
            **os.environ,
            "BENCH_BOOTSTRAP": self.bootstrap,
            "BENCH_SINK": self.name,
            "BENCH_GROUP": f"group-{self.name}",
            "BENCH_DIR": str(self.folder / self.name),
            "BENCH_GUARANTEE": self.contestant.guarantee,
            "BENCH_WORK": self.contestant.work,
        }
        argv = [sys.executable, *self.contestant.argv]
        log = self.folder / f"{self.name}.log"
        with Supervised(self.name, argv, env=env, log_path=log, restart=False, cwd=ROOT) as process:
            try:
                rate = work.rate(self.bootstrap, self.name, outputs)
            except TimeoutError:
                console.print(process.log_tail())
                raise
        work.check(self.bootstrap, self.name, outputs)
        return rate * load.records / outputs


def _show(rates: dict[Contestant, list[float]], load: work.Load) -> None:
    table = Table(
        title=f"\n{load.records:,} records of {load.size} bytes, {load.records - load.distinct:,} sent twice; "
        f"{work.KEYS:,} keys; {work.PARTITIONS} partitions; one process.\n"
        "Each key's records are numbered once, state in RocksDB with a changelog, one event each; checked.",
        title_justify="left", title_style="", box=None, pad_edge=False,
    )  # fmt: skip
    for column in ("", "records/s", "of each run", "engine is"):
        table.add_column(column, justify="right" if column else "left")
    ours = median(rates[ENGINE])
    for contestant, runs in rates.items():
        mine = median(runs)
        shown = " ".join(f"{rate:,.0f}" for rate in runs)
        table.add_row(contestant.name, f"{mine:,.0f}", shown, f"{ours / mine:.2f} x")
    console.print(table)


if __name__ == "__main__":
    main()
