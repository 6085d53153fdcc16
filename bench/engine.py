"""`python -m bench engine`: the engine beside its peers on the same work, in turns; and the real payments.

Each order's records are numbered once although their sender sends some twice; state in RocksDB with a
changelog, one event each. Every run's events are read back and checked.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import click

from bench import chart, latency, payments, report, workload
from bench.contestants import CONTESTANTS, ENGINE, PAYMENTS, Contestant, Run
from bench.report import console
from sandbox.kafka import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTION: Final = "make bench: engine"
CHART: Final = report.DOCUMENT.with_name("performance-engine.svg")


@dataclass(slots=True)
class Result:
    """The measurements of one contestant, one of each turn."""

    rates: list[workload.Rate] = field(default_factory=list)
    latency: latency.Latency | None = None

    @property
    def per_s(self) -> float:
        """Records a second, the median of all turns."""
        return median(rate.per_s for rate in self.rates)


@click.command("engine", help=__doc__)
@click.option("--records", default=400_000, show_default=True, help="Records of a run.")
@click.option("--turns", default=3, show_default=True, help="Runs of each, in turns.")
@click.option("--write", is_flag=True, help="Write docs/performance.md and its chart.")
def main(records: int = 400_000, turns: int = 3, *, write: bool = False) -> None:
    """Measure and print."""
    results = {contestant: Result() for contestant in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka", is_measured=True) as broker:
            loads = _loads(broker.bootstrap, records)
            for turn in range(turns):
                for contestant in CONTESTANTS if turn % 2 == 0 else reversed(CONTESTANTS):
                    name = f"run-{turn}-{CONTESTANTS.index(contestant)}"
                    run = Run(name, contestant, broker.bootstrap, Path(folder))
                    rate = run.rate(loads[contestant.prepare, contestant.share])
                    results[contestant].rates.append(rate)
                    _tell(f"turn {turn + 1} of {turns}", contestant, f"{rate.per_s:,.0f} records/s")
            for number, contestant in enumerate(CONTESTANTS):
                if contestant.is_paced:
                    run = Run(f"pace-{number}", contestant, broker.bootstrap, Path(folder))
                    found = results[contestant].latency = run.latency()
                    _tell("at an easy pace", contestant, f"{found.p50:,.1f} ms")
    load = loads[ENGINE.prepare, ENGINE.share]
    about, table = _about(load, turns), _table(results)
    console.print(f"\n{about}\n")
    table.show()
    said = _payments(results)
    console.print(said)
    if write:
        chart.write(CHART, _bars(results))
        picture = f"![Records a second and latency of each]({CHART.name})\n"
        text = f"\n{about}\n\n{table.markdown()}\n{picture}\n{said}\n\n"
        report.write_section(report.DOCUMENT, SECTION, text)


def _loads(bootstrap: str, records: int) -> Mapping[tuple[object, float], workload.Load]:
    """The input topics: of each kind and size one."""
    loads: dict[tuple[object, float], workload.Load] = {}
    for each in CONTESTANTS:
        if (each.prepare, each.share) not in loads:
            count = int(records * each.share)
            console.print(f"… Writing {count:,} records")
            load = each.prepare(bootstrap, f"input-{len(loads)}", count)
            loads[each.prepare, each.share] = load
    return loads


def _tell(when: str, contestant: Contestant, what: str) -> None:
    console.print(f"… {when}: {contestant.name}: {what}")


def _about(load: workload.Load, turns: int) -> str:
    return (
        f"{report.machine()}; Kafka on it too. {load.records:,} records of {load.size} bytes (slower "
        f"contestants get fewer), {load.records - load.outputs:,} sent twice; {workload.OPEN_ORDERS:,} "
        f"orders under way at once, {workload.RECORDS_PER_ORDER} records each; {workload.PARTITIONS} "
        f"partitions, one process, one thread. Median of {turns} turns whose order changes; all events "
        f"checked. Ratios: the median of each turn's. CPU: the contestant's, without Kafka's. p50, p99: until "
        f"an event can be read, at {latency.PER_SECOND} records/s."
    )


def _table(results: Mapping[Contestant, Result]) -> report.Table:
    rows = []
    for contestant, result in results.items():
        rates, easy = [rate.per_s for rate in result.rates], result.latency
        cpu = median(1e6 * rate.cores / rate.per_s for rate in result.rates)
        cores = median(rate.cores for rate in result.rates)
        ratio = "" if contestant is PAYMENTS else f"{_ratio(results[ENGINE], result):.2f} x"
        times = [f"{easy.p50:,.1f}", f"{easy.p99:,.1f}"] if easy else ["", ""]
        figures = [
            f"{result.per_s:,.0f}",
            report.spread(rates),
            ratio,
            f"{cores:.1f}",
            f"{cpu:.0f}",
        ]
        rows.append([contestant.name, *figures, *times])
    columns = ["", "records/s", "least to most", "the engine is", "cores", "µs of CPU a record"]
    return report.Table([*columns, "p50 ms", "p99 ms"], rows)


def _ratio(ours: Result, theirs: Result) -> float:
    """How much faster ours is: the median of all turns, for what others do to the machine changes."""
    pairs = zip(ours.rates, theirs.rates, strict=True)
    return median(mine.per_s / other.per_s for mine, other in pairs)


def _bars(results: Mapping[Contestant, Result]) -> list[chart.Bar]:
    return [
        chart.Bar(
            contestant.name,
            result.per_s,
            min(rate.per_s for rate in result.rates),
            max(rate.per_s for rate in result.rates),
            (result.latency.p50, result.latency.p99) if result.latency else None,
        )
        for contestant, result in results.items()
    ]


def _payments(results: Mapping[Contestant, Result]) -> str:
    microseconds, inputs, outputs = payments.cost()
    result = results[PAYMENTS]
    share = _ratio(result, results[ENGINE])
    return (
        f"The real payments on the engine take {result.per_s:,.0f} inputs/s, {share:.2f} of its trivial "
        f"work; one payment is {inputs} inputs, {outputs} records out. They decide, bytes to bytes, in "
        f"{microseconds:.0f} µs an input ({1e6 / microseconds:,.0f} inputs/s on one core)."
    )
