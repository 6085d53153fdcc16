"""`python -m bench platform`: what an order costs on the whole platform, and where that goes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bench import order_cost, report, subsystems
from sandbox.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTION: Final = "make bench: platform"
PROFILE: Final = "make profile"


@click.command("platform", help=__doc__)
@click.option("--rate", default=5.0, show_default=True, help="Orders a second.")
@click.option("--seconds", default=30.0, show_default=True, help="Of the timed part.")
@click.option("--warm-up", default=10.0, show_default=True, help="Seconds of load before it.")
@click.option("--workers", default=3, show_default=True)
@click.option("--profile", is_flag=True, help="Sample a worker, and sum its CPU by subsystem.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
@click.option(
    "--keep", type=Path, help="Put the profiler's stacks here (flamegraph.pl reads them)."
)
def main(
    rate: float = 5.0,
    seconds: float = 30.0,
    warm_up: float = 10.0,
    workers: int = 3,
    *,
    profile: bool = False,
    write: bool = False,
    keep: Path | None = None,
) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        stacks = keep or Path(folder) / "stacks"
        tested = Platform(
            Path(folder), workers=workers, settings=order_cost.SETTINGS, progress=_progress
        )
        with tested:
            pid = tested.workers[0].pid or 0
            sampler = subsystems.record(pid, seconds - 1, stacks) if profile else None
            options: dict[str, Any] = {"rate_per_s": rate, "seconds": seconds, "warm_up_s": warm_up}
            _progress(f"{rate:g} orders a second for {seconds:g} s")
            cost = asyncio.run(order_cost.measure(tested, meanwhile=sampler, **options))
        click.echo("\n".join(cost.lines()))
        if write and not profile:
            report.write_section(report.DOCUMENT, SECTION, _text(cost, workers))
        if profile:
            counted = subsystems.shares(stacks.read_text().splitlines())
            total = sum(counted.values())
            now_ms = {name: cost.cpu_ms * count / total for name, count in counted.most_common()}
            for name, ms in now_ms.items():
                click.echo(f"{ms:6.2f} ms {100 * ms / cost.cpu_ms:5.1f} %  {name}")
            if write:
                write_table(report.DOCUMENT, now_ms)


def _progress(what: str) -> None:
    click.echo(f"… {what}")


def _text(cost: order_cost.OrderCost, workers: int) -> str:
    lines = "".join(f"- {line}\n" for line in cost.lines())
    return f"\n{report.machine()}; {workers} workers, Kafka and all else on it.\n\n{lines}\n"


def write_table(document: Path, now_ms: Mapping[str, float]) -> None:
    """Put ms of CPU an order, by subsystem, into the document; its column "before" stays."""
    before = dict(_column(report.section(document, PROFILE)))
    names = sorted({*before, *now_ms}, key=lambda name: -before.get(name, 0.0))
    rows = [
        "| | before | now |",
        "|---|---|---|",
        *(f"| {name} | {before.get(name, 0):.1f} | {now_ms.get(name, 0):.1f} |" for name in names),
        f"| **together** | {sum(before.values()):.1f} | {sum(now_ms.values()):.1f} |",
    ]
    report.write_section(document, PROFILE, "\n".join(rows) + "\n")


def _column(table: str) -> Iterator[tuple[str, float]]:
    for row in table.splitlines()[2:-1]:
        _, name, before, *_ = (cell.strip() for cell in row.split("|"))
        yield name, float(before)
