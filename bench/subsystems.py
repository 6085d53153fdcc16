"""Where a worker's CPU goes: py-spy's samples of its stacks, summed by subsystem."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RATE_HZ: Final = 200
SUBSYSTEMS: Final[Mapping[str, tuple[str, ...]]] = {
    "Stripe": ("stripe/", "httpx/", "httpcore/", "anyio/", "h11/", "app/stripe/"),
    "mail and SMS": ("app/notifications/", "aiosmtplib/", "twilio/"),
    "logging": ("logging/", "structlog/", "app/logs.py"),
    "metrics": ("prometheus_client/", "app/metrics.py"),
    "decisions": ("agents/",),
    "engine": ("tables/",),
    "HTTP": ("web/",),
    "Kafka client": ("aiokafka/", "confluent_kafka/", "app/kafka/"),
    "timers, clock, reconciliation": ("app/",),
}
"""Subsystem -> files; what a stack's innermost such file is of, the sample is counted for. models/ and
libraries that several use are whose they were called by."""
OTHERWISE: Final[Mapping[str, tuple[str, ...]]] = {
    "HTTP": ("aiohttp/",),
    "Faust": ("faust/", "mode/"),
}
"""For stacks with none of these files."""
LOOPS: Final = ("mode/worker.py", "mode/threads.py")
"""What runs the event loops: as a stack's innermost file, for the loop itself, which is no Python."""
REST: Final = "event loops, system calls"


async def record(pid: int, seconds: float, raw: Path) -> None:
    """Sample a process for so long. Raises RuntimeError when it can't be."""
    argv = ["record", "--pid", pid, "--duration", round(seconds), "--rate", RATE_HZ]
    argv += ["--format", "raw", "--output", raw, "--nonblocking"]
    sampler = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("py-spy")), *map(str, argv),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await sampler.communicate()
    if sampler.returncode:
        raise RuntimeError(f"py-spy: {said.decode(errors='replace')[-500:]}")


def shares(lines: Iterable[str]) -> Counter[str]:
    """Samples by subsystem, of py-spy's raw format: `frame;frame;... count`, innermost last."""
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        counted[subsystem(stack.split(";"))] += int(count)
    return counted


def subsystem(frames: list[str]) -> str:
    """Whose a stack is. A frame: `function (file:line)`."""
    files = [frame.rpartition(" (")[2] for frame in reversed(frames)]
    if files[0].startswith(LOOPS):
        return REST
    for owners in (SUBSYSTEMS, OTHERWISE):
        for file in files:
            for name, prefixes in owners.items():
                if file.startswith(prefixes):
                    return name
    return REST
