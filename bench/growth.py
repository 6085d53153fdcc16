"""`python -m bench growth`: what ended orders cost a worker that starts, and one that serves.

A few orders are played to their end; their real records are written again into the changelogs under other
ids, as often as it takes. At each number of ended orders one worker that has all partitions starts with a
wiped folder, then with its data, then takes new orders.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bench import ended_orders, report
from bench.order_cost import SETTINGS
from bench.processes import process_s, resident_bytes
from bench.report import console
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.simulate import Simulation
from sandbox.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Sequence

SECTION: Final = "make bench: growth"
PARTITIONS: Final = 3
PLAYED: Final = 30
"""Orders of which those that were delivered are copied."""
SETTLED_S: Final = 5.0
AT_ONCE: Final = 8
"""Customers while new orders are counted."""


@dataclass(frozen=True, slots=True)
class Start:
    """A worker's start until it is ready. cpu_s: of the whole process until then."""

    took_s: float
    cpu_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What was measured at a number of ended orders. Sizes in bytes."""

    orders: int
    changelog: int
    disk: int
    wiped: Start
    kept: Start
    new_per_s: float


@click.command("growth", help=__doc__)
@click.option(
    "--orders", "counts", multiple=True, type=int, default=(0, 10_000, 100_000), show_default=True,
    help="Ended orders, ascending.",
)  # fmt: skip
@click.option("--seconds", default=15.0, show_default=True, help="Of new orders at each stage.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(
    counts: tuple[int, ...] = (0, 10_000, 100_000), seconds: float = 15.0, *, write: bool = False
) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder), workers=1, settings=SETTINGS) as platform,
    ):
        console.print(f"… Playing {PLAYED} orders to their end")
        templates = asyncio.run(play(platform))
        written, stages = 0, []
        for count in counts:
            platform.workers[0].terminate()
            console.print(f"… Writing the records of {count - written:,} ended orders")
            orders = range(written, count)
            ended_orders.write(platform.bootstrap, templates, orders, PARTITIONS)
            written = max(written, count)
            stages.append(_stage(platform, count, seconds))
            console.print(f"… {stages[-1]}")
    footprints = ended_orders.footprints(templates)
    about = (
        f"{report.machine()}; Kafka and all else on it. One worker with all partitions. An ended order takes "
        f"{sum(each.rows for each in footprints.values()):.0f} rows and "
        f"{sum(each.size for each in footprints.values()) / 1000:.1f} KB in the tables: "
        + ", ".join(
            f"{topic.removesuffix(ended_orders.CHANGELOG).rpartition('-')[2]} {each.rows:.0f} "
            f"and {each.size / 1000:.1f} KB"
            for topic, each in footprints.items()
        )
        + f". New orders: {AT_ONCE} customers at once for {seconds:g} s."
    )
    report.tell(about, _table(stages), SECTION if write else "")


def _stage(platform: Platform, orders: int, seconds: float) -> Stage:
    shutil.rmtree(platform.data_dir(0), ignore_errors=True)
    wiped = _start(platform)
    platform.workers[0].terminate()
    disk = _size(platform.data_dir(0))
    kept = _start(platform)
    new_per_s = asyncio.run(_new_orders(platform, seconds))
    logs = platform.broker.data_dir / "logs" if platform.broker else Path()
    changelog = sum(_size(each) for each in logs.glob(f"*{ended_orders.CHANGELOG}-*"))
    return Stage(orders, changelog, disk, wiped, kept, new_per_s)


def _start(platform: Platform) -> Start:
    worker = platform.workers[0]
    began = time.perf_counter()
    worker.start()
    platform.wait_ready()
    took_s = time.perf_counter() - began
    return Start(took_s, process_s(worker.pid), resident_bytes(worker.pid))


def _size(folder: Path) -> int:
    """Bytes that the files take on disk; Kafka's indexes are sparse."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


async def play(platform: Platform) -> list[ended_orders.Template]:
    """Real orders that were delivered, as the changelogs have them."""
    day = Simulation(platform.endpoints, orders=PLAYED, pace_s=0.1, reject_share=0.0)
    await day.run()
    await asyncio.sleep(SETTLED_S)  # timelines, messages and sums come after
    delivered = []
    async with Staff(platform.endpoints.workers[0], "operator", "bench") as operator:
        for order in day.simulated:
            found = await operator.get(f"/api/orders/{order.order_id}")
            if found["status"] == "DELIVERED":
                delivered.append(order.order_id)
    return await asyncio.to_thread(ended_orders.templates_of, platform.bootstrap, delivered)


async def _new_orders(platform: Platform, seconds: float) -> float:
    """Orders a second that are paid."""
    web, stripe = platform.endpoints.workers[0], platform.endpoints.stripe
    ends = time.monotonic() + seconds
    paid = 0

    async def order_again() -> None:
        nonlocal paid
        async with Customer(web, stripe) as customer:
            basket = await customer.basket()
            while time.monotonic() < ends:
                await customer.open_payment(basket)
                await customer.confirm()
                paid += 1

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(order_again())
    return paid / (time.monotonic() - began)


def _table(stages: Sequence[Stage]) -> report.Table:
    rows = [
        [
            f"{stage.orders:,}", f"{stage.disk / 1e6:,.0f}", f"{stage.changelog / 1e6:,.0f}",
            *(
                figure
                for start in (stage.wiped, stage.kept)
                for figure in (
                    f"{start.took_s:.1f}", f"{start.cpu_s:.1f}", f"{start.resident_bytes / 1e6:,.0f}",
                )
            ),
            f"{stage.new_per_s:.1f}",
        ]
        for stage in stages
    ]  # fmt: skip
    columns = [
        "ended orders", "disk MB", "changelog MB", "wiped start s", "CPU s", "memory MB",
        "start with data s", "CPU s", "memory MB", "new orders/s",
    ]  # fmt: skip
    return report.Table(columns, rows)
