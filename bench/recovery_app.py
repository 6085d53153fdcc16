"""The worker whose recovery is measured: it says how long it took, and how much CPU, and serves on."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson

from bench.engine_app import app, runtime
from bench.processes import own_peak_bytes

if TYPE_CHECKING:
    from faust.tables.manager import TableManager


async def measure() -> None:
    """From the start of reading to the worker's being ready."""
    recovery: Any = cast("TableManager", app.tables).recovery
    while not recovery.in_recovery:  # noqa: ASYNC110 -- Faust has no event for it
        await asyncio.sleep(0.005)
    began, cpu = time.perf_counter(), time.process_time()
    while not runtime.ready():  # noqa: ASYNC110 -- nor for this
        await asyncio.sleep(0.005)
    result = {
        "took_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "resident_bytes": own_peak_bytes(),
    }
    report = Path(os.environ["BENCH_REPORT"])
    written = report.with_suffix(".part")
    written.write_bytes(orjson.dumps(result))
    written.replace(report)


measuring: list[asyncio.Task[None]] = []


async def _begin(*_: Any, **__: Any) -> None:
    if not measuring:
        measuring.append(asyncio.create_task(measure()))


app.on_partitions_assigned.connect(_begin, weak=False)
