"""Kitchens and couriers on the whole platform: from the paid order to the door, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka.partitioner import murmur2

from sandbox.api_client import RefusedError
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.staff import Staff
from tests.support.platforms import PATIENT

KITCHEN = "annapurna-bengaluru"
OTHER_KITCHEN = "hinode-kyoto"
SETTINGS = PATIENT | {
    # A worker that stands still keeps its partitions, so that lists meet it for as long as we look.
    "TIFFIN_SESSION_TIMEOUT_S": "300",
    "TIFFIN_COURIER_LIMIT": "1",
}
PARTITIONS = 3
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("staff"), settings=SETTINGS) as running:
        yield running


class StaffClients:
    """People at boards of different workers, and customers who have paid."""

    def __init__(self, platform: Platform, stack: contextlib.AsyncExitStack) -> None:
        self.platform, self.stack = platform, stack
        self.workers = itertools.cycle(platform.endpoints.workers)

    async def staff(
        self, role: str, restaurant: str | None = None, subject: str | None = None, web: str = ""
    ) -> Staff:
        name = subject or f"{role}-{next(numbers)}"
        made = Staff(web or next(self.workers), role, name, restaurant)
        return await self.stack.enter_async_context(made)

    async def customer(self) -> Customer:
        """One who has paid at the kitchen's restaurant."""
        web = next(self.workers)
        made = await self.stack.enter_async_context(Customer(web, self.platform.endpoints.stripe))
        await made.open_payment(await made.basket(KITCHEN))
        answer = await made.confirm()
        assert answer["status"] == "COMPLETED", answer
        await made.wait_status("PENDING")
        await made.wait_until(lambda order: bool(order.get("delivery")), "its delivery")
        return made

    async def cook(self, kitchen: Staff, order_id: str) -> None:
        for step in ("accept", "start-preparing", "ready"):
            await kitchen.kitchen(order_id, step)


@pytest.fixture
async def clients(platform: Platform) -> AsyncIterator[StaffClients]:
    async with contextlib.AsyncExitStack() as stack:
        yield StaffClients(platform, stack)


async def refused(call: Any) -> str:
    with pytest.raises(RefusedError) as refusal:
        await call
    return refusal.value.code


async def told(customer: Customer, *last: str) -> list[str]:
    """The types of the timeline's events, once it has the last ones: it follows the order's state."""

    async def whole() -> list[str] | None:
        kinds = [entry["eventType"] for entry in await customer.timeline()]
        return kinds if set(last) <= set(kinds) else None

    return await customer.until(whole, f"{last} in the timeline")


def partition_of(key: str) -> int:
    return (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS


async def test_an_order_goes_through_kitchen_and_courier_to_the_door(clients: StaffClients) -> None:
    customer = await clients.customer()
    order_id = customer.order_id
    kitchen, other = (
        await clients.staff("kitchen", KITCHEN),
        await clients.staff("kitchen", OTHER_KITCHEN),
    )
    courier, rival = await clients.staff("courier"), await clients.staff("courier")

    board = await kitchen.get("/api/kitchen/orders")
    assert board["incomplete"] == []
    (shown,) = [order for order in board["orders"] if order["orderId"] == order_id]
    assert shown["nextSteps"] == ["accept", "reject"]
    assert shown["items"]
    elsewhere = await other.get("/api/kitchen/orders")
    assert order_id not in [order["orderId"] for order in elsewhere["orders"]]
    assert await refused(other.kitchen(order_id, "accept")) == "WRONG_RESTAURANT"
    assert (await kitchen.kitchen(order_id, "accept"))["status"] == "CONFIRMED"
    # The same tap again is the same command, at whichever worker.
    assert (await kitchen.kitchen(order_id, "accept"))["status"] == "CONFIRMED"

    found = await courier.get("/api/deliveries?limit=500")
    (waiting,) = [row for row in found["deliveries"] if row["orderId"] == order_id]
    assert waiting["status"] == "PENDING"
    assert "address" not in waiting
    assert (await courier.deliver(order_id, "assign"))["status"] == "ASSIGNED"
    assert (await courier.deliver(order_id, "assign"))["status"] == "ASSIGNED"
    assert await refused(rival.deliver(order_id, "assign")) == "NOT_ALLOWED_NOW"
    assert await refused(rival.deliver(order_id, "pick-up")) == "WRONG_COURIER"
    mine = (await courier.get("/api/deliveries"))["deliveries"][0]
    assert (mine["orderId"], mine["canPickUp"]) == (order_id, False)
    assert mine["address"]["city"] == "Bengaluru"
    theirs = await rival.get("/api/deliveries?limit=500")
    assert order_id not in [row["orderId"] for row in theirs["deliveries"]]

    assert await refused(courier.deliver(order_id, "pick-up")) == "NOT_READY_FOR_PICKUP"
    assert (await kitchen.kitchen(order_id, "start-preparing"))["status"] == "PREPARING"
    assert (await kitchen.kitchen(order_id, "ready"))["status"] == "READY_FOR_PICKUP"
    # What the kitchen's answer said, the courier can rely on at once; and a refusal is not for ever.
    assert (await courier.deliver(order_id, "pick-up"))["status"] == "PICKED_UP"
    await customer.wait_status("OUT_FOR_DELIVERY")
    assert (await courier.deliver(order_id, "deliver"))["status"] == "DELIVERED"
    order = await customer.wait_status("DELIVERED")
    assert order["delivery"]["status"] == "DELIVERED"
    kinds = await told(customer, "ORDER_DELIVERED", "DELIVERY_DELIVERED")
    expected = [
        "ORDER_CREATED", "ORDER_CONFIRMED", "ORDER_PREPARING", "ORDER_READY_FOR_PICKUP",
        "ORDER_OUT_FOR_DELIVERY", "ORDER_DELIVERED",
    ]  # fmt: skip
    assert [kind for kind in kinds if kind in expected] == expected
    assert [kind for kind in kinds if kind.startswith("DELIVERY_")] == [
        "DELIVERY_CREATED", "DELIVERY_ASSIGNED", "DELIVERY_PICKED_UP", "DELIVERY_DELIVERED"
    ]  # fmt: skip
    assert await refused(kitchen.kitchen(order_id, "reject")) == "NOT_ALLOWED_NOW"


async def test_a_rejected_order_is_refunded_and_its_delivery_cancelled(
    clients: StaffClients,
) -> None:
    customer = await clients.customer()
    kitchen = await clients.staff("kitchen", KITCHEN)
    await kitchen.kitchen(customer.order_id, "reject", {"reason": "OUT_OF_STOCK"})
    order = await customer.wait_status("REFUNDED")
    assert order["cancelReason"] == "RESTAURANT_REJECTED: OUT_OF_STOCK"
    assert order["payment"]["net"]["amount"] == 0
    await customer.wait_until(
        lambda seen: seen["delivery"]["status"] == "CANCELLED", "the delivery's end"
    )
    courier = await clients.staff("courier")
    listed = await courier.get("/api/deliveries?limit=500")
    assert customer.order_id not in [row["orderId"] for row in listed["deliveries"]]


async def test_a_courier_who_assigns_two_at_once_gets_one(clients: StaffClients) -> None:
    for _ in range(3):
        one, two = await clients.customer(), await clients.customer()
        name = f"courier-{next(numbers)}"
        boards = [
            await clients.staff("courier", subject=name, web=web)
            for web in clients.platform.endpoints.workers[:2]
        ]
        answers = await asyncio.gather(
            boards[0].deliver(one.order_id, "assign"),
            boards[1].deliver(two.order_id, "assign"),
            return_exceptions=True,
        )
        taken = [answer for answer in answers if isinstance(answer, dict)]
        refusals = [answer.code for answer in answers if isinstance(answer, RefusedError)]
        assert (len(taken), refusals) == (1, ["COURIER_BUSY"]), answers
        (first,) = taken
        left = two.order_id if first["orderId"] == one.order_id else one.order_id
        room = await boards[0].get(f"/api/deliveries/{left}/assign")
        assert room == {"orders": [first["orderId"]], "limit": 1, "incomplete": []}

        kitchen = await clients.staff("kitchen", KITCHEN)
        await clients.cook(kitchen, first["orderId"])
        await boards[1].deliver(first["orderId"], "pick-up")
        assert await refused(boards[1].deliver(left, "assign")) == "COURIER_BUSY"
        await boards[1].deliver(first["orderId"], "deliver")
        assert (await boards[0].deliver(left, "assign"))["status"] == "ASSIGNED"


async def test_operators_list_orders_by_state_and_so_does_the_command_line(
    clients: StaffClients,
) -> None:
    pending, rejected = await clients.customer(), await clients.customer()
    kitchen, operator = await clients.staff("kitchen", KITCHEN), await clients.staff("operator")
    await kitchen.kitchen(rejected.order_id, "reject")
    await rejected.wait_status("REFUNDED")

    async def listed(state: str) -> list[str]:
        answer = await operator.get(f"/api/ops/orders?state={state}&limit=1000")
        assert (answer["incomplete"], answer["isBounded"]) == ([], False)
        assert answer["total"] == len(answer["orders"])
        assert all(row["status"] == state for row in answer["orders"])
        return [row["orderId"] for row in answer["orders"]]

    assert pending.order_id in await listed("PENDING")
    assert pending.order_id not in await listed("REFUNDED")
    assert rejected.order_id in await listed("REFUNDED")
    assert rejected.order_id not in await listed("CANCELLED")
    printed = await asyncio.to_thread(
        clients.platform.run_cli, "orders", "--state", "PENDING", "--limit", "1000", "--json"
    )
    assert pending.order_id in [row["orderId"] for row in json.loads(printed)["orders"]]


async def test_lists_name_the_partitions_of_a_worker_that_stands_still(
    clients: StaffClients,
) -> None:
    customers = [await clients.customer()]
    while len({partition_of(customer.order_id) for customer in customers}) < PARTITIONS:
        customers.append(await clients.customer())
    first = clients.platform.endpoints.workers[0]
    kitchen = await clients.staff("kitchen", KITCHEN, web=first)
    operator = await clients.staff("operator", web=first)
    whole = await kitchen.get("/api/kitchen/orders")
    assert whole["incomplete"] == []
    workers = (await operator.get("/api/ops/overview"))["workers"]
    owned = {worker["url"].rstrip("/"): worker["partitions"] for worker in workers}
    # One that owns some and not all, and is not the one that is asked.
    stopped = next(
        process
        for url, process in zip(
            clients.platform.endpoints.workers, clients.platform.workers, strict=True
        )
        if url != first and 0 < len(owned[url]) < PARTITIONS
    )
    stopped.suspend()
    try:
        board = await kitchen.get("/api/kitchen/orders")
        orders = await operator.get("/api/ops/orders?state=PENDING&limit=1000")
        missing = set(board["incomplete"])
        assert missing
        assert set(orders["incomplete"]) == missing
        shown = {order["orderId"] for order in board["orders"]}
        for customer in customers:
            is_missing = partition_of(customer.order_id) in missing
            assert (customer.order_id in shown) is not is_missing
        # Who can't be counted gets nothing more.
        names = (f"courier-{next(numbers)}" for _ in itertools.count())
        name = next(name for name in names if partition_of(f"courier:{name}") not in missing)
        courier = await clients.staff("courier", subject=name, web=first)
        reached = next(c.order_id for c in customers if partition_of(c.order_id) not in missing)
        assert await refused(courier.deliver(reached, "assign")) == "COURIER_UNCHECKED"
    finally:
        stopped.resume()
    await asyncio.to_thread(clients.platform.wait_ready)
    assert (await kitchen.get("/api/kitchen/orders"))["incomplete"] == []
    assert (await courier.deliver(reached, "assign"))["status"] == "ASSIGNED"
