"""`python -m bench reads`: how fast an order is read, beside a bare aiohttp handler that gives the same.

One connection, one request after the other: from the worker that owns the order, through one that does not,
and from the bare handler, in turns whose order changes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import click

from bench import report
from bench.order_cost import SETTINGS
from sandbox.customer import Customer
from sandbox.endpoints import answers
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, free_port, wait_until

SECTION: Final = "make bench: reads"
OWNER, FORWARDED, BARE = "on its owner", "through another worker", "bare aiohttp"
WARM_UP: Final = 200
"""Requests before the first turn."""
BARE_SERVER: Final = """
import sys
from pathlib import Path
import uvloop
from aiohttp import web
body = Path(sys.argv[2]).read_bytes()
async def read(request):
    return web.Response(body=body, content_type="application/json")
async def serve():
    app = web.Application()
    app.router.add_get("/api/orders/{order_id}", read)
    return app
at = {"host": "127.0.0.1", "port": int(sys.argv[1])}
web.run_app(serve(), **at, access_log=None, loop=uvloop.new_event_loop(), print=None)
"""


class Reader:
    """One connection to a server, and the requests for one order."""

    def __init__(self, url: str, path: str, token: str) -> None:
        at = urlsplit(url)
        self._address = at.hostname, at.port
        head = f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._request = head.encode()
        self.body = b""

    async def read(self, times: int) -> list[float]:
        """How long each answer took, in seconds. Raises RuntimeError for one that is no 200."""
        reader, writer = await asyncio.open_connection(*self._address)
        took = []
        for _ in range(times):
            began = time.perf_counter()
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().lower().split("\r\n")
            if " 200 " not in first:
                raise RuntimeError(f"an order's read is answered {first}")
            fields = dict(line.split(": ", 1) for line in lines if line)
            self.body = await _body(reader, fields)
            took.append(time.perf_counter() - began)
        writer.close()
        return took


async def _body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    body = b""
    while size := int((await reader.readline()).strip(), 16):  # chunked
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def _order(platform: Platform) -> tuple[str, str]:
    async with Customer(platform.endpoints.workers[0], platform.endpoints.stripe) as customer:
        await customer.open_payment()
        await customer.confirm()
        return customer.order_id, str(customer.token)


@click.command("reads", help=__doc__)
@click.option("--requests", default=2000, show_default=True, help="Of each turn.")
@click.option("--turns", default=5, show_default=True, help="Of each contestant.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(requests: int = 2000, turns: int = 5, *, write: bool = False) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder), workers=2, settings=SETTINGS) as platform,
    ):
        order_id, token = asyncio.run(_order(platform))
        path = f"/api/orders/{order_id}"
        readers = {}
        for web in platform.endpoints.workers:
            reader = Reader(web, path, token)
            took = median(asyncio.run(reader.read(WARM_UP)))
            readers[took] = reader
        owner, other = (readers[took] for took in sorted(readers))
        (Path(folder) / "body").write_bytes(owner.body)
        port = free_port()
        bare = subprocess.Popen(
            [sys.executable, "-c", BARE_SERVER, str(port), str(Path(folder) / "body")]
        )
        bare_url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(bare_url + path), "the bare handler", timeout_s=MAX_WAIT_S)
            contestants = {
                OWNER: owner, FORWARDED: other, BARE: Reader(bare_url, path, token),
            }  # fmt: skip
            found = asyncio.run(_measured(contestants, requests, turns))
            about = (
                f"{report.machine()}. {requests:,} requests of each a turn over one connection, "
                f"one after the other; {turns} turns whose order changes."
            )
            report.tell(about, _table(found), SECTION if write else "")
        finally:
            bare.terminate()
            bare.wait()


async def _measured(
    contestants: dict[str, Reader], requests: int, turns: int
) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(turns):
        for name in names if turn % 2 else reversed(names):
            found[name].append(await contestants[name].read(requests))
    return found


def _table(found: dict[str, list[list[float]]]) -> report.Table:
    rates = {name: [len(turn) / sum(turn) for turn in turns] for name, turns in found.items()}
    bare = median(rates[BARE])
    rows = []
    for name, each in rates.items():
        took = sorted(1000 * one for turn in found[name] for one in turn)
        shares = [rate / other for rate, other in zip(each, rates[BARE], strict=True)]
        rows.append([
            name, f"{median(each):,.0f}", report.spread(each), f"{median(each) / bare:.2f}",
            report.spread(shares, 2), f"{median(took):.2f}", f"{took[len(took) * 99 // 100]:.2f}",
        ])  # fmt: skip
    columns = [
        "an order is read",
        "requests/s",
        "least to most",
        "of bare",
        "in each turn",
        "p50 ms",
        "p99 ms",
    ]
    return report.Table(columns, rows)
