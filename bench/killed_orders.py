"""`python -m bench orders`: what becomes of orders while workers are killed, here and in Faust by its book.

Customers come at a steady rate, pay, and every third cancels; a declined card is tried before every fifth
payment. At a quarter, a half and three quarters of the time a worker gets a SIGKILL, each time another one,
and is started again. Customers whose request fails send it again with the same key, to the next worker. When
nothing moves any more, Stripe's own ledger and Kafka's topics, read raw, tell what was lost or came twice.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import click

from bench import order_cost, report, workload
from bench.processes import process_s
from bench.report import console
from sandbox.api_client import RefusedError
from sandbox.customer import Customer
from sandbox.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

SECTION: Final = "make bench: orders"
CONTESTANTS: Final = {"Tiffin": "app", "Faust by its book": "bench.plain_orders_app"}
"""Name -> Faust app."""
EVENTS: Final = "order-events"
"""The topic of both that tells of orders made."""
SETTINGS: Final = {**order_cost.SETTINGS, "TIFFIN_SESSION_TIMEOUT_S": "10"}
KILLED_AT: Final = (0.25, 0.5, 0.75)
DECLINED: Final = "4000000000000002"
PATIENCE_S: Final = 90.0
"""How long a customer tries; longer than a worker's absence is noticed and made good."""
SETTLED_S: Final = 45.0
"""When nothing has changed for so long, what is lacking is lost."""


@dataclass(slots=True)
class Visit:
    """One customer's order. What they were told, not what became of it."""

    order: str = ""
    is_cancelled: bool = False


@dataclass(slots=True)
class Load:
    """Customers who come at a steady rate, and what they were told."""

    platform: Platform
    rate_per_s: float
    visits: list[Visit] = field(default_factory=list)
    opened_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float, kills: Sequence[float] = KILLED_AT) -> None:
        """Let them come, and wait for those who came. kills: after which shares of the time."""
        web = self.platform.endpoints.workers[0]
        async with Customer(web, self.platform.endpoints.stripe) as visitor:
            # Faust by its book has no menu.
            basket = await visitor.basket() if self.platform.app == "app" else {"items": []}
        began = time.monotonic()
        left = [share * seconds for share in kills]
        async with asyncio.TaskGroup() as group:
            for number in range(int(self.rate_per_s * seconds)):
                due_s = began + number / self.rate_per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                if left and time.monotonic() >= began + left[0]:
                    left.pop(0)
                    self.platform.workers[len(left) % len(self.platform.workers)].kill()
                group.create_task(self._customer(basket, number))

    async def _customer(self, basket: dict[str, Any], number: int) -> None:
        endpoints, visit = self.platform.endpoints, Visit()
        self.visits.append(visit)
        async with Customer(
            endpoints.workers[number % len(endpoints.workers)], endpoints.stripe
        ) as customer:
            try:
                asked_s = time.monotonic()
                key = str(uuid.uuid4())
                customer.order = await self._tried(
                    customer,
                    lambda: customer.call("POST", "/api/payments/create-intent", basket, key),
                    lambda status, _: status == 201,
                )
                self.opened_ms.append(1000 * (time.monotonic() - asked_s))
                customer.token, visit.order = customer.order["orderToken"], customer.order_id
                if number % 5 == 0:
                    await self._pay(customer, DECLINED, "FAILED")
                await self._pay(customer, "4242424242424242", "COMPLETED")
                if number % 3 == 0:
                    await self._cancel(customer)
                    visit.is_cancelled = True
            except (aiohttp.ClientError, RefusedError, KeyError, TimeoutError) as error:
                self.failures[repr(error)[:100]] += 1

    async def _pay(self, customer: Customer, card: str, wanted: str) -> None:
        key = str(uuid.uuid4())
        body = {
            "orderId": customer.order_id,
            "confirmationToken": await customer.card_token(card),
        }
        await self._tried(
            customer,
            lambda: customer.call("POST", "/api/payments/confirm", body, key),
            lambda _, answer: answer.get("status") == wanted,
        )

    async def _cancel(self, customer: Customer) -> None:
        """Cancel once the order is made, as its page has it."""
        deadline, path = time.monotonic() + PATIENCE_S, f"/api/orders/{customer.order_id}"
        while not await self._is_shown_as_made(customer, path):
            if time.monotonic() > deadline:
                raise TimeoutError("the order was never shown as made")
            await asyncio.sleep(0.3)
        key = str(uuid.uuid4())
        await self._tried(
            customer,
            lambda: customer.call("POST", f"{path}/cancel", {}, key),
            lambda status, _: status in {200, 202},
        )

    async def _is_shown_as_made(self, customer: Customer, path: str) -> bool:
        """Ask every worker: in Faust by its book only one knows."""
        for customer.web in self.platform.endpoints.workers:
            with suppress(aiohttp.ClientError, RefusedError):
                _, order = await customer.call("GET", path)
                if order["status"] == "PENDING":
                    return True
        return False

    async def _tried(
        self,
        customer: Customer,
        ask: Callable[[], Awaitable[tuple[int, Any]]],
        is_done: Callable[[int, Any], bool],
    ) -> dict[str, Any]:
        """Ask until it is done, of one worker after the other."""
        workers, number = self.platform.endpoints.workers, 0
        deadline = time.monotonic() + PATIENCE_S
        last = "no answer"
        while time.monotonic() < deadline:
            try:
                status, answer = await ask()
                if is_done(status, answer):
                    return dict(answer)
                last = str(answer.get("status"))
            except RefusedError as error:
                if error.status < 500 and error.status not in {409, 429}:
                    raise
                last = str(error.status)
            except aiohttp.ClientError as error:
                last = type(error).__name__
            number += 1
            customer.web = workers[(workers.index(customer.web) + 1) % len(workers)]
            await asyncio.sleep(min(0.2 * number, 2.0))
        raise TimeoutError(f"{last} to the end")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an outsider counts, of orders whose customers were told that they paid or cancelled."""

    customers: int
    failed: int
    paid: int
    charged_twice: int
    paid_without_order: int
    made_twice: int
    not_refunded: int
    refunded_twice: int
    cpu_ms: float
    opened_ms: float

    @classmethod
    def of(cls, load: Load, ledger: Any, made: Counter[str], cpu_s: float) -> Outcome:
        """Compare what customers were told with Stripe's ledger and the orders made in Kafka."""
        charges: Counter[str] = Counter()
        refunds: Counter[str] = Counter()
        for intent in ledger["payment_intents"].values():
            order = _order_of(intent["metadata"])
            charges[order] += intent["charges"]["succeeded"]
            refunds[order] += intent["refunds"]["succeeded"] + intent["refunds"]["pending"]
        visits = [visit for visit in load.visits if visit.order]
        return cls(
            customers=len(load.visits),
            failed=sum(load.failures.values()),
            paid=sum(1 for visit in visits if charges[visit.order]),
            charged_twice=sum(1 for count in charges.values() if count > 1),
            paid_without_order=sum(
                1
                for order, count in charges.items()
                if count and not made[order] and not refunds[order]
            ),
            made_twice=sum(1 for count in made.values() if count > 1),
            not_refunded=sum(
                1 for visit in visits if visit.is_cancelled and not refunds[visit.order]
            ),
            refunded_twice=sum(1 for count in refunds.values() if count > 1),
            cpu_ms=1000 * cpu_s / max(1, len(load.visits)),
            opened_ms=median(load.opened_ms or [0.0]),
        )


def _order_of(metadata: dict[str, str]) -> str:
    return metadata.get("order_id") or metadata.get("orderId") or ""


@click.command("orders", help=__doc__)
@click.option("--rate", default=4.0, show_default=True, help="Customers a second.")
@click.option("--seconds", default=90.0, show_default=True, help="Of each contestant.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(rate: float = 4.0, seconds: float = 90.0, *, write: bool = False) -> None:
    """Measure and print."""
    found: dict[str, Outcome] = {}
    for name, app in CONTESTANTS.items():
        console.print(f"… {name}")
        with (
            tempfile.TemporaryDirectory() as folder,
            Platform(Path(folder), app=app, settings=SETTINGS) as platform,
        ):
            found[name] = asyncio.run(_outcome(platform, rate, seconds))
        console.print(f"… {found[name]}")
    about = (
        f"{report.machine()}; Kafka, Stripe's stand-in and the customers on it. 3 workers; {rate:g} customers "
        f"a second for {seconds:g} s; a SIGKILL of each worker. Counted from Stripe's ledger and Kafka."
    )
    report.tell(about, _table(found), SECTION if write else "")


async def _outcome(platform: Platform, rate: float, seconds: float) -> Outcome:
    load = Load(platform, rate)
    gone = {id(worker): 0.0 for worker in platform.workers}
    watch = asyncio.create_task(_watch_cpu(platform, gone))
    await load.run(seconds)
    ledger, made = await settled(platform)
    watch.cancel()
    for failure, count in load.failures.items():
        console.print(f"… {count} customers: {failure}")
    return Outcome.of(load, ledger, made, sum(gone.values()))


async def _watch_cpu(platform: Platform, used: dict[int, float]) -> None:
    """Add up what the workers use, killed ones too: seconds of CPU, but for a killed one's last half second."""
    last: dict[int, tuple[int | None, float]] = {}
    while True:
        for worker in platform.workers:
            pid = worker.pid
            with suppress(OSError, IndexError, ValueError):
                now = process_s(pid)
                before_pid, before = last.get(id(worker), (pid, now))
                used[id(worker)] += now - before if before_pid == pid else now
                last[id(worker)] = (pid, now)
        await asyncio.sleep(0.5)


async def settled(platform: Platform, quiet_s: float = SETTLED_S) -> tuple[Any, Counter[str]]:
    """Stripe's ledger and the orders made in Kafka, once neither has changed for so long."""
    seen, since = None, time.monotonic()
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{platform.endpoints.control}/ledger") as response:
                ledger = await response.json()
            made = await asyncio.to_thread(_orders_made, platform.bootstrap)
            if (ledger, made) != seen:
                seen, since = (ledger, made), time.monotonic()
            elif time.monotonic() - since > quiet_s:
                return ledger, made
            await asyncio.sleep(1.0)


def _orders_made(bootstrap: str) -> Counter[str]:
    """Order's id -> ORDER_CREATED events of different ids: one that is sent again is the same event."""
    events = {
        (key.decode(), event["eventId"])
        for key, event in workload.events(bootstrap, EVENTS)
        if event["eventType"] == "ORDER_CREATED"
    }
    return Counter(order for order, _ in events)


def _table(found: dict[str, Outcome]) -> report.Table:
    columns = [
        "", "customers", "told of a failure", "paid", "charged twice", "paid, no order", "order made twice",
        "cancelled, no refund", "refunded twice", "CPU ms an order, starts included", "create-intent p50 ms",
    ]  # fmt: skip
    rows = [
        [
            name, f"{each.customers:,}", f"{each.failed:,}", f"{each.paid:,}", f"{each.charged_twice:,}",
            f"{each.paid_without_order:,}", f"{each.made_twice:,}", f"{each.not_refunded:,}",
            f"{each.refunded_twice:,}", f"{each.cpu_ms:.0f}", f"{each.opened_ms:.0f}",
        ]
        for name, each in found.items()
    ]  # fmt: skip
    return report.Table(columns, rows)
