"""A worker's HTTP application as a process of its own that measures itself while it is attacked.

    python -m tests.contract.http.measured_server

It prints one line of JSON, where it is and which tokens it takes, and when its stdin ends another: how
long the event loop was held by one callback (CPU time, so that a busy machine matters little), by which
request, and how much memory it took. It runs on asyncio's own loop, whose callbacks can be measured one by
one; a worker runs on uvloop.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import gc
import logging
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from app.logs import configure_logs
from tests.support.http_api import CART, QUICK, make_deps, make_staff
from tests.support.in_memory_backend import InMemoryBackend
from web.application import setup
from web.http import bodies
from web.http.rate_limits import ClientLimits
from web.http.server import ConnectionLimits, WorkerRunner
from web.http.tokens import Role
from web.pages.render import warm


class Failures(logging.Handler):
    """What the application logs as its own faults, with what came in their way."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(
            f"{record.getMessage()}: {vars(record).get('error')} {vars(record).get('stack')}"
        )


class Watch:
    """The longest callbacks of the loop, in seconds of CPU time, with the request that came last."""

    def __init__(self) -> None:
        self.longest: list[tuple[float, str]] = []
        self.last = "none"
        self.requests = 0
        self.is_on = False

    def install(self) -> None:
        """Measure every callback from now on."""
        run = asyncio.events.Handle._run

        def measured(handle: asyncio.events.Handle) -> None:
            is_on, began_s = self.is_on, time.thread_time()
            run(handle)
            took_s = time.thread_time() - began_s
            if is_on and took_s > 0.01:
                self.longest = sorted([*self.longest, (took_s, self.last)], reverse=True)[:10]

        asyncio.events.Handle._run = measured  # type: ignore[method-assign, assignment]

    @web.middleware
    async def note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Remember what is asked for."""
        self.requests += 1
        self.last = f"{request.method} {request.path}"[:100]
        response: web.StreamResponse = await handler(request)
        return response


def memory_kb(name: str) -> int:
    """VmRSS or VmHWM of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


async def serve() -> None:
    world, staff, watch = InMemoryBackend(), make_staff(), Watch()
    configure_logs("json", "INFO")
    failures = Failures()
    logging.root.addHandler(failures)
    bodies.BODY_TIMEOUT_S = 1.0  # type: ignore[attr-defined]
    watch.install()
    app = web.Application()
    deps = make_deps(
        world,
        staff,
        development_login=staff,
        is_sandbox=True,
        bounds=replace(QUICK, command_s=0.5, confirm_s=0.5),
        metrics=lambda _: (b"x 1\n", "text/plain"),
        metrics_token="a-metrics-token-16",
        client_limits=ClientLimits(at_once=300),
    )
    setup(app, deps)
    app.on_startup.append(warm)
    app.middlewares.insert(0, watch.note)
    runner = WorkerRunner(app, ConnectionLimits(first_head_s=5, idle_s=5, linger_s=0.5, most=500))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tell(
        {
            "port": port,
            "order": await order_of(port),
            "operator": staff.issue(Role.OPERATOR, "olga"),
            "kitchen": staff.issue(Role.KITCHEN, "kim", CART["restaurantId"]),
            "courier": staff.issue(Role.COURIER, "carl"),
        }
    )
    gc.collect()
    gc.freeze()  # as a worker does
    watch.is_on, begun_kb = True, memory_kb("VmRSS")
    await asyncio.to_thread(sys.stdin.read)
    watch.is_on = False
    gc.collect()
    tell(
        {
            "requests": watch.requests,
            "failures": failures.seen[:20],
            "longest_ms": [[round(1000 * took_s, 1), path] for took_s, path in watch.longest],
            "cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
            "begun_kb": begun_kb, "peak_kb": memory_kb("VmHWM"), "ended_kb": memory_kb("VmRSS"),
            "orders": len(world.tables["orders"].records),
        }
    )  # fmt: skip
    await runner.cleanup()


async def order_of(port: int) -> dict[str, Any]:
    """An order that is there, as a customer has it."""
    body = orjson.dumps(CART)
    lines = (
        "POST /api/payments/create-intent HTTP/1.1", "Host: 127.0.0.1", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(body)}",
        "Idempotency-Key: 00000000-0000-0000-0000-000000000000", "", "",
    )  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join(lines).encode() + body)
    answer = await reader.read()
    writer.close()
    found: dict[str, Any] = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def tell(line: Any) -> None:
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
