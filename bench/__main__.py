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
    """What is measured: its name and how it is started."""

    name: str
    argv: tuple[str, ...]
    guarantee: str = ""


ENGINE = Contestant(
    "Tiffin's engine", ("-m", "faust", "-A", "bench.engine_app", "worker", "-l", "error")
)
QUIX = Contestant("Quix Streams, at-least-once", ("-m", "bench.quix_app"), "at-least-once")
QUIX_ONCE = Contestant("Quix Streams, exactly-once", ("-m", "bench.quix_app"), "exactly-once")


@click.command(help=__doc__)
@click.option("--records", default=150_000, show_default=True, help="Records of a run.")
@click.option("--turns", default=2, show_default=True, help="Runs of each, in turns.")
def main(records: int, turns: int) -> None:
    """Measure and print."""
    rates: dict[Contestant, list[float]] = {ENGINE: [], QUIX: [], QUIX_ONCE: []}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka") as broker:
            console.print(f"… Writing {records:,} records")
            sample = work.prepare(broker.bootstrap, records)
            for turn in range(turns):
                for contestant, runs in rates.items():
                    rate = _run(contestant, broker.bootstrap, records, turn, Path(folder))
                    runs.append(rate)
                    console.print(f"… turn {turn + 1}: {contestant.name}: {rate:,.0f} records/s")
    _show(rates, records, len(sample))
    microseconds, inputs, outputs = payments.cost()
    console.print(
        f"\nThe real payments decide, bytes to bytes: {microseconds:.0f} µs an input "
        f"({1e6 / microseconds:,.0f} inputs/s on one core; "
        f"one payment is {inputs} inputs, {outputs} records out)."
    )


def _run(contestant: Contestant, bootstrap: str, records: int, turn: int, folder: Path) -> float:
    name = f"{contestant.name}-{turn}".lower().replace("'", "").replace(",", "").replace(" ", "-")
    work.make_sink(bootstrap, name)
    env = {
        **os.environ,
        "BENCH_BOOTSTRAP": bootstrap,
        "BENCH_SINK": name,
        "BENCH_GROUP": f"group-{name}",
        "BENCH_DIR": str(folder / name),
        "BENCH_GUARANTEE": contestant.guarantee,
    }
    argv = [sys.executable, *contestant.argv]
    log = folder / f"{name}.log"
    with Supervised(name, argv, env=env, log_path=log, restart=False, cwd=ROOT) as process:
        try:
            return work.rate(bootstrap, name, records)
        except TimeoutError:
            console.print(process.log_tail())
            raise


def _show(rates: dict[Contestant, list[float]], records: int, size: int) -> None:
    table = Table(
        title=f"Read-modify-write with changelog, one output each: {records:,} records of {size} bytes, "
        f"{work.PARTITIONS} partitions, one process",
        title_justify="left", box=None, pad_edge=False,
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
