"""Simulated customers, kitchens and couriers, so that every page and figure has life in it.

The same seed gives the same customers in the same order; what happens at what moment is the platform's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import click
from rich.console import Console
from rich.markup import escape

from models.wording import counted
from sandbox.api_client import RefusedError
from sandbox.customer import Customer
from sandbox.customer_scenarios import DONE, SCENARIOS, Scenario
from sandbox.endpoints import Endpoints
from sandbox.platform import DEFAULT_DIR
from sandbox.staff import Staff

MAX_TRIES: Final = 6
REFUSALS: Final = (aiohttp.ClientError, RefusedError, TimeoutError)


@dataclass(slots=True)
class SimulatedOrder:
    """What one customer did; ends: the states in which its order may be at the end of the day."""

    kind: str
    order_id: str
    ends: tuple[str, ...]


@dataclass(slots=True)
class Simulation:
    """A day of a platform. Pauses of kitchens and couriers are `pace_s` on average.

    concurrency: customers in the shop; the next one waits outside until one is done.
    """

    endpoints: Endpoints
    seed: int = 1
    rate_per_s: float = 2.0
    orders: int | None = None
    couriers: int = 6
    pace_s: float = 0.5
    reject_share: float = 0.03
    concurrency: int = 100
    simulated: list[SimulatedOrder] = field(default_factory=list)
    started: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Open the restaurants, let customers come at the rate; ends with the last of `orders`."""
        async with asyncio.TaskGroup() as group:  # what one of them can't cope with ends the day
            staff = [group.create_task(self._kitchen(each)) for each in await self._restaurants()]
            staff += [group.create_task(self._courier(n)) for n in range(self.couriers)]
            await self._customers()
            if self.orders is not None:
                await self._all_ended()
            for task in staff:
                task.cancel()

    def summary(self) -> str:
        """How many customers came, and what was refused to whom, most often first."""
        told = f"{counted(self.started, 'customer', 'customers')} so far"
        if not self.failures:
            return f"{told}, nothing refused"
        most = "; ".join(f"{what} ({times})" for what, times in self.failures.most_common(3))
        refusals = counted(self.failures.total(), "refusal", "refusals")
        return f"{told}, {refusals}, most of them: {most}"

    async def _restaurants(self) -> list[str]:
        async with Customer(self.endpoints.workers[0], self.endpoints.stripe) as visitor:
            _, listing = await visitor.call("GET", "/api/restaurants")
        return [each["id"] for each in listing["restaurants"]]

    async def _customers(self) -> None:
        restaurants, choose = await self._restaurants(), random.Random(self.seed)
        numbers = range(self.orders) if self.orders is not None else itertools.count()
        capacity = asyncio.Semaphore(self.concurrency)
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                await capacity.acquire()
                kind = choose.choices(SCENARIOS, [each.share for each in SCENARIOS])[0]
                dishes, restaurant = choose.randint(1, 3), choose.choice(restaurants)
                customer = group.create_task(self._customer(number, kind, restaurant, dishes))
                customer.add_done_callback(lambda _: capacity.release())
                await asyncio.sleep(choose.expovariate(self.rate_per_s))

    async def _customer(self, number: int, kind: Scenario, restaurant: str, dishes: int) -> None:
        self.started += 1
        web = self.endpoints.workers[number % len(self.endpoints.workers)]
        async with Customer(web, self.endpoints.stripe) as customer:
            simulated = SimulatedOrder(kind.name, "", kind.ends)

            try:
                await self._order(customer, number, restaurant, dishes)
                simulated.order_id = customer.order_id
                self.simulated.append(simulated)
                await kind.play(customer)
            except REFUSALS as error:
                self.failures[f"a customer who {kind.name}: {_reason(error)}"] += 1
                if simulated.order_id:
                    await self._give_up(simulated, customer)

    async def _order(self, customer: Customer, number: int, restaurant: str, dishes: int) -> None:
        """Open the payment, if need be by way of another worker: it is one order, for its key is one."""
        key, webs = str(uuid.uuid4()), self.endpoints.workers

        async def chosen() -> dict[str, Any]:
            return await customer.basket(restaurant, dishes)

        for tries in itertools.count(1):
            try:
                await customer.open_payment(await customer.until(chosen, "the menu"), key)
                return
            except TimeoutError:
                if tries == MAX_TRIES:
                    raise
                customer.web = webs[(number + tries) % len(webs)]

    async def _give_up(self, simulated: SimulatedOrder, customer: Customer) -> None:
        """Whom the platform has annoyed cancels, as soon as that is heard."""
        simulated.ends = (*DONE, "CANCELLED")

        async def cancelled() -> bool | None:
            try:
                await customer.cancel()
            except RefusedError as error:
                return True if error.code.startswith("ORDER_") else None
            return True

        with contextlib.suppress(*REFUSALS):
            await customer.until(cancelled, "the cancel")

    async def _all_ended(self) -> None:
        """Wait until every order is in a state in which it may end."""
        async with Staff(self.endpoints.workers[0], "operator", "simulation") as operator:
            waiting = {simulated.order_id: simulated for simulated in self.simulated}
            while waiting:
                for order_id in list(waiting):
                    with contextlib.suppress(*REFUSALS):
                        order = await operator.get(f"/api/orders/{order_id}")
                        if order["status"] in waiting[order_id].ends:
                            del waiting[order_id]
                await asyncio.sleep(self.pace_s / 2)

    async def _kitchen(self, restaurant: str) -> None:
        choose = random.Random(f"{self.seed}{restaurant}")
        url = self.endpoints.workers[choose.randrange(len(self.endpoints.workers))]
        async with Staff(url, "kitchen", f"kitchen-{restaurant}", restaurant) as kitchen:

            async def work() -> None:
                board = await kitchen.get("/api/kitchen/orders")
                for order in board["orders"]:
                    steps = order["nextSteps"]
                    if "accept" in steps and choose.random() < self.reject_share:
                        await kitchen.kitchen(order["orderId"], "reject", {"reason": "TOO_BUSY"})
                    elif steps:
                        await kitchen.kitchen(order["orderId"], steps[0])

            await self._work_forever(work, choose, f"kitchen {restaurant}")

    async def _courier(self, number: int) -> None:
        choose = random.Random(f"{self.seed}courier{number}")
        url = self.endpoints.workers[number % len(self.endpoints.workers)]
        async with Staff(url, "courier", f"courier-{number + 1}") as courier:

            async def work() -> None:
                board = await courier.get("/api/deliveries")
                mine = [row for row in board["deliveries"] if row.get("courierId")]
                for row in mine:
                    if row["status"] == "PICKED_UP":
                        await courier.deliver(row["orderId"], "deliver")
                    elif row["canPickUp"]:
                        await courier.deliver(row["orderId"], "pick-up")
                waiting = [
                    row for row in board["deliveries"]
                    if "courierId" not in row and row.get("orderStatus") == "READY_FOR_PICKUP"
                ]  # fmt: skip
                if waiting and not mine:
                    await courier.deliver(
                        choose.choice(waiting[: 2 * self.couriers])["orderId"], "assign"
                    )

            await self._work_forever(work, choose, "courier")

    async def _work_forever(
        self, work: Callable[[], Awaitable[None]], choose: random.Random, who: str
    ) -> None:
        """Work with pauses; what is refused (somebody was quicker) is tried at the next look."""
        while True:
            try:
                await work()
            except REFUSALS as error:
                self.failures[f"{who}: {_reason(error)}"] += 1
            await asyncio.sleep(choose.uniform(0.5, 1.5) * self.pace_s)


def _reason(error: Exception) -> str:
    """What was refused, in a word: the API's code, or the kind of error."""
    return (error.code if isinstance(error, RefusedError) else "") or type(error).__name__


def read_endpoints(path: Path = DEFAULT_DIR / "endpoints.json") -> Endpoints:
    """Read what `make demo` wrote. Raises click.ClickException when it does not run."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise click.ClickException(f"{path} is not there: start `make demo` first.") from None
    return Endpoints.from_json(found)


@click.command(help="Customers, kitchens and couriers for a platform that runs (make demo).")
@click.option("--rate", default=2.0, show_default=True, help="Customers a second.")
@click.option("--orders", type=int, default=None, help="End after so many; without it, never.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same customers.")
@click.option("--couriers", default=6, show_default=True)
@click.option("--pace", default=0.5, show_default=True, help="Seconds a kitchen or courier pauses.")
def main(rate: float, orders: int | None, seed: int, couriers: int, pace: float) -> None:
    """Simulate until it ends, or until Ctrl-C."""
    day = Simulation(
        read_endpoints(), seed=seed, rate_per_s=rate, orders=orders, couriers=couriers, pace_s=pace
    )
    asyncio.run(until_stopped(day, Console(highlight=False)))


async def until_stopped(day: Simulation, console: Console) -> None:
    """Run a simulation until it ends, or until SIGINT or SIGTERM; say now and then how it goes."""
    task = asyncio.create_task(day.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    said = 0
    while not task.done():
        await asyncio.wait([task], timeout=5)
        if day.started != said:
            said = day.started
            console.print(f"[dim]… {escape(day.summary())}[/]", soft_wrap=True)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    main()
