"""`make demo`: plays three orders, kills a worker while one is paid, counts the charges, and stays up."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import click
from rich.markup import escape

from sandbox.api_client import POLL_INTERVAL_S, RefusedError
from sandbox.customer import Customer
from sandbox.demo_faults import pay_while_its_worker_dies, pay_while_webhooks_come_twice
from sandbox.demo_flows import FLOWS, play
from sandbox.demo_screen import Expected, Screen
from sandbox.kafka import BrokerError, JarError
from sandbox.outside_count import OrderCount, count_orders, wait_until_read
from sandbox.platform import Platform, PlatformError
from sandbox.processes import MAX_WAIT_S, ProcessError
from sandbox.simulate import Simulation, until_stopped

FIRST_PORT = 8000
FAILURES = (PlatformError, TimeoutError, AssertionError, RefusedError, aiohttp.ClientError)
KILLED, TWICE = "Worker killed, webhook lost", "Webhook sent twice"


@click.command(help=__doc__)
@click.option(
    "--once", is_flag=True, envvar="ONCE", help="End after the orders; status 0 if all is well."
)
@click.option("--details", is_flag=True, help="Show every event of the orders, and all topics.")
@click.option(
    "--keep", is_flag=True, help="Go on with the last run's orders instead of wiping them."
)
@click.option(
    "--rate", type=float, default=None, help="Then so many simulated customers a second come."
)
def main(*, once: bool, details: bool, keep: bool, rate: float | None) -> None:
    """Run the demo."""
    if rate is not None and rate <= 0:
        raise click.BadParameter("must be above 0: customers a second", param_hint="--rate")
    stop, screen = threading.Event(), Screen()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(stop))
    logging.basicConfig(format="… %(message)s", force=True)
    began = time.monotonic()
    try:
        with Platform(keep=keep, first_port=FIRST_PORT, progress=screen.doing) as platform:
            screen.ready(time.monotonic() - began)
            demo = Demo(platform, screen, details=details)
            is_right = asyncio.run(demo.play())
            if not once:
                screen.links(platform.endpoints, has_its_ports=platform.has_its_ports)
                _stay(platform, screen, stop, rate)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # the end is near, and in good order
            screen.doing("Stopping everything that was started")
    except (PlatformError, BrokerError, JarError, ProcessError) as error:
        screen.console.print(f"[red]The demo did not start:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        screen.doing("Stopped")
        sys.exit(130)
    if not is_right:
        sys.exit(1)


def _stay(platform: Platform, screen: Screen, stop: threading.Event, rate: float | None) -> None:
    """Stay up until Ctrl-C, with or without simulated customers."""
    with suppress(KeyboardInterrupt):
        if rate is None:
            stop.wait()
        else:
            who = "customer" if rate == 1 else "customers"
            screen.head(f"{rate:g} {who} a second, kitchens and couriers at work")
            day = Simulation(platform.endpoints, rate_per_s=rate)
            asyncio.run(until_stopped(day, screen.console))


def _interrupt(stop: threading.Event) -> None:
    """The first Ctrl-C ends the demo in good order, wherever it is."""
    if stop.is_set():
        return
    stop.set()
    raise KeyboardInterrupt


@dataclass(slots=True)
class Demo:
    """Three orders, two bad days, and a count of all five from outside.

    orders: title -> order id. expected: title -> charges, refunds and accepted webhooks of it.
    """

    platform: Platform
    screen: Screen
    details: bool = False
    orders: dict[str, str] = field(default_factory=dict)
    expected: dict[str, Expected] = field(default_factory=dict)

    async def play(self) -> bool:
        """Play all of it; True if everything was as it should be."""
        is_right = await self._flows()
        is_right = await self._faults() and is_right
        try:
            is_right = await self._count() and is_right
        except FAILURES as error:
            self.screen.wrong(f"The count: {type(error).__name__}: {error}")
            is_right = False
        if self.details:
            self.screen.topics(self.platform.bootstrap)
        return is_right

    async def _flows(self) -> bool:
        workers, stripe = self.platform.endpoints.workers, self.platform.endpoints.stripe
        self.screen.head("Three orders")
        is_right = True
        for number, flow in enumerate(FLOWS):
            async with Customer(workers[number % len(workers)], stripe) as customer:
                try:
                    history, wrong = await play(flow, customer)
                    if not wrong:
                        self.screen.order(flow, await customer.look(), history)
                        if self.details:
                            self.screen.timeline(customer.order, history)
                except FAILURES as error:
                    wrong = [f"{type(error).__name__}: {error}"]
                if customer.order:
                    refunds = int(flow.payment == "REFUNDED")
                    self._expect(flow.title, customer, Expected(refunds=refunds))
            for line in wrong:
                self.screen.wrong(f"{flow.title}: {line}")
            is_right = is_right and not wrong
        return is_right

    async def _faults(self) -> bool:
        endpoints = self.platform.endpoints
        self.screen.head("Two payments on a bad day")
        is_right = True
        for title, pay, webhooks in (
            (KILLED, pay_while_its_worker_dies, 0),
            (TWICE, pay_while_webhooks_come_twice, 2),
        ):
            async with Customer(endpoints.workers[0], endpoints.stripe) as customer:
                try:
                    await pay(customer, self.platform, self.screen)
                    await self._all_ready()
                except FAILURES as error:
                    self.screen.wrong(f"{title}: {type(error).__name__}: {error}")
                    is_right = False
                if customer.order:
                    self._expect(title, customer, Expected(webhooks=webhooks))
        return is_right

    async def _all_ready(self) -> None:
        with self.screen.waiting("Waiting until all three workers are ready"):
            await asyncio.to_thread(self.platform.wait_ready)

    def _expect(self, title: str, customer: Customer, expected: Expected) -> None:
        self.orders[title], self.expected[title] = customer.order_id, expected

    async def _count(self) -> bool:
        """Count the orders once the platform has read all that came, the second webhook too."""
        where, deadline = self.platform.endpoints, time.monotonic() + MAX_WAIT_S
        with self.screen.waiting("Waiting until every webhook and every record has been read"):
            counts = await self._counts()
            while (
                any(counts[title].webhooks < self.expected[title].webhooks for title in counts)
                and time.monotonic() < deadline
            ):
                await asyncio.sleep(POLL_INTERVAL_S)
                counts = await self._counts()
            await asyncio.to_thread(wait_until_read, where.kafka, self.platform.app_id)
            counts = await self._counts()
        return self.screen.counts(counts, self.expected)

    async def _counts(self) -> dict[str, OrderCount]:
        where = self.platform.endpoints
        found = await count_orders(where.control, where.kafka, self.orders.values())
        return {title: found[order] for title, order in self.orders.items()}


if __name__ == "__main__":
    main()
