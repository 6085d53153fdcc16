"""`python -m bench overload`: what happens to orders at and beyond the load that the platform carries.

Customers come at a steady rate whatever became of those before, order once and pay once. Who is refused
leaves. At each load: how many orders a second were paid, how long those that were taken took, how many were
refused and how fast, what reads and the operators' page took meanwhile, and whether each order that was taken
ended as it should.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import click

from bench import report
from bench.order_cost import SETTINGS
from bench.report import console
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Sequence

SECTION: Final = "make bench: overload"
CREATE, CONFIRM = "/api/payments/create-intent", "/api/payments/confirm"
REFUSED: Final = (429, 503)
PAID: Final = ("PENDING", "ACCEPTED")


@dataclass(slots=True)
class Load:
    """One load and what came of it. took_s: by what was asked for; statuses: likewise, with the status."""

    platform: Platform
    rate_per_s: float
    basket: dict[str, Any]
    took_s: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    taken: list[tuple[str, str]] = field(default_factory=list)
    without_retry_after: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0

    async def run(self, http: aiohttp.ClientSession, seconds: float, operator: Staff) -> None:
        """Let customers come for so long, and wait for those who came."""
        self.began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look(http, operator))
            customers = []
            for number in range(int(self.rate_per_s * seconds)):
                due_s = self.began_s + number / self.rate_per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                customers.append(group.create_task(self._customer(http, due_s, number)))
            await asyncio.gather(*customers)
            self.ended_s = time.monotonic()
            looking.cancel()

    async def _customer(self, http: aiohttp.ClientSession, due_s: float, number: int) -> None:
        web = self.platform.endpoints.workers[number % len(self.platform.endpoints.workers)]
        status, order = await self._post(http, web + CREATE, self.basket, due_s)
        if status == 201:
            body = {"orderId": order["orderId"], "paymentMethodId": "pm_card_visa"}
            status, _ = await self._post(
                http, web + CONFIRM, body, time.monotonic(), order["orderToken"]
            )
            if status in {200, 202}:
                self.taken.append((order["orderId"], order["orderToken"]))

    async def _post(
        self, http: aiohttp.ClientSession, url: str, body: Any, since_s: float, token: str = ""
    ) -> tuple[int, Any]:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with http.post(url, json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            name = url.rsplit("/", 1)[1]
            is_refused = response.status in REFUSED
            self.without_retry_after += is_refused and "Retry-After" not in response.headers
            self.note(f"{name}, refused" if is_refused else name, since_s, response.status)
            return response.status, answer

    async def _look(self, http: aiohttp.ClientSession, operator: Staff) -> None:
        """What an operator and a customer look at meanwhile."""
        headers = {"Authorization": f"Bearer {operator.token}"}
        for number in range(1_000_000):
            web = self.platform.endpoints.workers[number % len(self.platform.endpoints.workers)]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._get(http, "operators' page", f"{web}/ops", headers))
                if self.taken:
                    order_id, token = self.taken[-1]
                    of_order = {"Authorization": f"Bearer {token}"}
                    group.create_task(
                        self._get(http, "order", f"{web}/api/orders/{order_id}", of_order)
                    )
            await asyncio.sleep(0.5)

    async def _get(
        self, http: aiohttp.ClientSession, name: str, url: str, headers: dict[str, str]
    ) -> None:
        since_s = time.monotonic()
        async with http.get(url, headers=headers) as response:
            await response.read()
            self.note(name, since_s, response.status)

    def note(self, name: str, since_s: float, status: int) -> None:
        """An answer came."""
        self.took_s.setdefault(name, []).append(time.monotonic() - since_s)
        self.statuses[name, status] += 1

    async def unpaid(self, http: aiohttp.ClientSession) -> list[str]:
        """Orders that were taken and paid for, and don't end as paid. Waits for them."""
        left = dict(self.taken)
        for _ in range(600):
            for order_id, token in list(left.items()):
                web = self.platform.endpoints.workers[0]
                headers = {"Authorization": f"Bearer {token}"}
                async with http.get(f"{web}/api/orders/{order_id}", headers=headers) as response:
                    if response.status == 200 and (await response.json())["status"] in PAID:
                        del left[order_id]
            if not left:
                break
            await asyncio.sleep(0.2)
        return list(left)


@click.command("overload", help=__doc__)
@click.option("--carried", default=20.0, show_default=True, help="Orders a second that it carries.")
@click.option("--seconds", default=30.0, show_default=True, help="Of each load.")
@click.option(
    "--max-delay",
    default="0.2",
    show_default=True,
    help="TIFFIN_ADMISSION_MAX_DELAY_S; 0 refuses nothing.",
)
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(
    carried: float = 20.0, seconds: float = 30.0, max_delay: str = "0.2", *, write: bool = False
) -> None:
    """Measure and print."""
    settings = {**SETTINGS, "TIFFIN_ADMISSION_MAX_DELAY_S": max_delay}
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder), settings=settings) as platform,
    ):
        found = asyncio.run(_measured(platform, carried, seconds))
    about = (
        f"{report.machine()}; 3 workers, Kafka and the customers on it. {seconds:g} s of each load."
    )
    report.tell(about, _table(found), SECTION if write else "")


async def _measured(platform: Platform, carried: float, seconds: float) -> list[tuple[Load, int]]:
    found = []
    web, stripe = platform.endpoints.workers[0], platform.endpoints.stripe
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with (
        Customer(web, stripe) as visitor,
        Staff(web, "operator", "bench") as operator,
        aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
    ):
        basket = await visitor.basket()
        await Load(platform, 5, basket).run(http, 10, operator)  # warms up
        for rate in (carried / 10, carried, 2 * carried):
            load = Load(platform, rate, basket)
            console.print(f"… {rate:g} orders a second for {seconds:g} s")
            await load.run(http, seconds, operator)
            found.append((load, len(await load.unpaid(http))))
    return found


def _table(found: Sequence[tuple[Load, int]]) -> report.Table:
    rows = []
    for load, lost in found:
        for name, took in sorted(load.took_s.items()):
            cuts = quantiles([*took, *took], n=100, method="inclusive")
            statuses = {status: n for (what, status), n in load.statuses.items() if what == name}
            shown = ", ".join(f"{n} x {status}" for status, n in sorted(statuses.items()))
            numbers = f"{1000 * cuts[49]:,.0f}", f"{1000 * cuts[98]:,.0f}"
            rows.append([f"{load.rate_per_s:g}/s: {name}", str(len(took)), *numbers, shown])
        paid_per_s = len(load.taken) / (load.ended_s - load.began_s)
        facts = f"{lost} lost, {load.without_retry_after} refused without Retry-After"
        rows.append([f"{load.rate_per_s:g}/s: {paid_per_s:.1f}/s paid", "", "", "", facts])
    return report.Table(["offered", "answers", "p50 ms", "p99 ms", "statuses"], rows)
