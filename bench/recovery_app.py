"""The worker whose recovery is measured: it says how long it took, and how much CPU, and serves on."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
import uvloop

from models.transition import Decision, IndexData, Input, InputIdentity
from tables import ServiceRuntime, make_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.tables.manager import TableManager


class IdleService:
    """Owns a table; no inputs come."""

    name = "bench"
    inputs: tuple[str, ...] = (os.environ["BENCH_INPUT"],)

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        """Read JSON."""
        return InputIdentity(""), orjson.loads(value)

    def load(self, raw: Any) -> Any:
        """Give the state as it is."""
        return raw

    def dump(self, state: Any) -> Any:
        """Give the state as it is."""
        return state

    is_indexed = False

    def has_ended(self, _: Any) -> bool:
        """Never."""
        return False

    def index(self, _: Any) -> IndexData:
        """Nothing."""
        return IndexData()

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        """Change nothing."""
        return Decision(state, ())


uvloop.install()
app = make_app(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_BOOTSTRAP']}",
    datadir=Path(os.environ["BENCH_DIR"]),
    partitions=int(os.environ["BENCH_PARTITIONS"]),
    web_enabled=False,
)
runtime = ServiceRuntime(
    app,
    [IdleService()],
    dead_letter_topic="bench-dlq",
    partitions=int(os.environ["BENCH_PARTITIONS"]),
)


def resident_bytes() -> int:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


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
        "resident_bytes": resident_bytes(),
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
