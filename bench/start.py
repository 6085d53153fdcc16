"""`python -m bench start`: how long a worker and each command take to start, beside bare imports.

A second is another one on each machine. So everything is measured in turns with one and the same process,
which imports Faust, Stripe's SDK, pydantic and aiohttp, and is told as a multiple of that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import click

from bench import report
from bench.report import console
from sandbox.platform import ROOT, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTION: Final = "make bench: start"
IMPORTS: Final = ("-c", "import faust, stripe, pydantic, aiohttp")
ORDER: Final = "order_00000000000000000000000000"
COMMANDS: Final = (
    "--version", "--help", "agents", "tables", "topics --check", "orders", f"order {ORDER}",
    f"timeline {ORDER}", "overview", "stuck", "workers", "lag", "table orders", "dead-letters",
    "notifications", "skip order-events 0 0 --dry-run", "stripe check", "completion bash", "audit list",
    "audit rebuild",
)  # fmt: skip
"""Of `faust -A app`. Some end with an error, which takes as long: there is no such order. Below
--version, which is Faust's own command line alone, none can be."""


def seconds(argv: Sequence[str], env: Mapping[str, str]) -> float:
    """How long a process takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *argv], env=dict(env), cwd=ROOT, capture_output=True, check=False
    )
    return time.perf_counter() - began


def restart(platform: Platform) -> float:
    """How long a worker with its data takes until it is ready."""
    worker = platform.workers[0]
    worker.terminate()
    began = time.perf_counter()
    worker.start()
    platform.wait_ready()
    return time.perf_counter() - began


@click.command("start", help=__doc__)
@click.option("--turns", default=3, show_default=True, help="Of each, in turns.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(turns: int = 3, *, write: bool = False) -> None:
    """Measure and print."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    # Workers and commands of an installation have their bytecode.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka, Stripe's stand-in and a worker")
        with Platform(Path(folder), workers=1) as platform:
            env = platform.environment()
            for turn in range(turns + 1):
                now = {"imports": seconds(IMPORTS, env), "worker, ready": restart(platform)}
                for command in COMMANDS:
                    now[command] = seconds(("-m", "faust", "-A", "app", *command.split()), env)
                if turn:  # the first one compiles what was never imported
                    for name, value in now.items():
                        took[name].append(value)
                console.print(
                    f"… turn {turn}: a worker is ready after {now['worker, ready']:.2f} s"
                )
    about = (
        f"{report.machine()}; Kafka on it too. `faust -A app ...`, {turns} turns, beside "
        f'`python {IMPORTS[0]} "{IMPORTS[1]}"`.'
    )
    report.tell(about, _table(took), SECTION if write else "")


def _table(took: Mapping[str, list[float]]) -> report.Table:
    base = median(took["imports"])
    rows = [
        [name, f"{median(each):.2f}", report.spread(each, 2), f"{median(each) / base:.2f}"]
        for name, each in took.items()
    ]
    return report.Table(["", "seconds", "least to most", "x imports"], rows)
