"""`python -m bench partitions`: what `partitions raise` costs a platform with many ended orders.

A few orders are played to their end; their real records are written again into the changelogs under other ids
(as `bench growth` does). Then the partitions are raised. The pause is the command's own figure: from the pause
of writes until all partitions are open again.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click

from bench import ended_orders, report
from bench.growth import play
from bench.order_cost import SETTINGS
from bench.report import console
from sandbox.platform import Platform

SECTION: Final = "make bench: partitions"
BEFORE: Final = 3
AFTER: Final = 6
WORKERS: Final = 2
HOUR_S: Final = 3600


@click.command("partitions", help=__doc__)
@click.option(
    "--orders", "counts", multiple=True, type=int, default=(1_000, 100_000), show_default=True,
    help="Ended orders.",
)  # fmt: skip
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(counts: tuple[int, ...] = (1_000, 100_000), *, write: bool = False) -> None:
    """Measure and print."""
    rows = []
    for count in counts:
        found = _raise(count)
        console.print(f"… {count:,}: {found}")
        rows.append(
            [
                f"{count:,}", f"{found['rows']:,}", f"{found['tookS']:.0f}",
                f"{found['switchedS']:.1f}", f"{found['pausedS']:.1f}",
            ]
        )  # fmt: skip
    about = f"{report.machine()}; Kafka and all else on it. {WORKERS} workers, {BEFORE} to {AFTER} partitions."
    columns = [
        "ended orders",
        "rows copied",
        "whole s",
        "pause until the switch s",
        "whole pause s",
    ]
    report.tell(about, report.Table(columns, rows), SECTION if write else "")


def _raise(count: int) -> dict[str, Any]:
    settings = {**SETTINGS, "TIFFIN_PARTITIONS": str(BEFORE)}
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder), workers=WORKERS, settings=settings) as platform,
    ):
        templates = asyncio.run(play(platform))
        for worker in platform.workers:
            worker.terminate()
        ended_orders.write(platform.bootstrap, templates, range(count), BEFORE)
        for worker in platform.workers:
            worker.start()
        platform.wait_ready()
        began_s = time.monotonic()
        said = platform.run_cli(
            "partitions", "raise", str(AFTER), "--yes", "--json", timeout_s=HOUR_S
        )
        found: dict[str, Any] = json.loads(said)
        return {**found, "tookS": time.monotonic() - began_s}
