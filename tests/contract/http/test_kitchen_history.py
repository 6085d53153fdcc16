"""A kitchen's history: the orders of its day that have ended, each once, and their tickets."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from models.graphs import OrderStatus
from models.ids import order_id as make_order_id
from models.order import Order, OrderRecord, OrderWork
from models.times import DAY_MS
from tests.support.http_api import HTML, Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.staff_requests import RESTAURANT, cook, courier, kitchen, tap
from tests.support.waiting import until_true
from web.api import kitchen_history

S = OrderStatus
DAY_BEGINS_MS = round(datetime(2026, 11, 26, 18, 30, tzinfo=UTC).timestamp() * 1000)
"""27 November in Bengaluru."""
DAY = "2026-11-27"


async def page(api: Api, path: str, token: str) -> tuple[int, str]:
    headers = HTML | {"Authorization": f"Bearer {token}"}
    async with api.client.get(path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text()


def ids_on(text: str) -> list[str]:
    return re.findall(r'href="/kitchen/(order_\w+)/ticket"', text)


async def all_pages(api: Api, token: str, query: str) -> list[list[str]]:
    """Ids of the orders on each page of a day."""
    found, path = list[list[str]](), f"/kitchen/history?{query}"
    while path and len(found) < 60:
        status, text = await page(api, path, token)
        assert status == 200, text
        found.append(ids_on(text))
        older = re.search(r'href="(/kitchen/history\?[^"]*before=[^"]*)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    return found


def put(
    world: InMemoryBackend,
    name: str,
    since_ms: int,
    status: OrderStatus = S.DELIVERED,
    restaurant: str = RESTAURANT,
    **more: Any,
) -> str:
    """An order that ended then."""
    order_id = make_order_id("guest", name)
    reached = {S.PENDING: since_ms - 1000, status: since_ms}
    order = Order(
        order_id=order_id, payment_id="p", user_id="u", restaurant_id=restaurant, amount=100,
        currency="INR", status=status, sequence=1, occurred_at=since_ms,
        **({"reached": reached} | more),
    )  # fmt: skip
    world.tables["orders"].put(order_id, OrderRecord(order=order, work=OrderWork()))
    return order_id


async def test_what_has_ended_is_listed_with_its_end(make_api: MakeApi) -> None:
    world = InMemoryBackend()
    api = await make_api(world, now_ms=lambda: world.now_ms)
    delivered, rejected, open_ = [await api.paid() for _ in range(3)]
    await cook(api, delivered["orderId"])
    delivery = f"/api/deliveries/{delivered['orderId']}"
    for step in ("assign", "pick-up", "deliver"):
        assert (await tap(api, f"{delivery}/{step}", courier(api)))[0] == 200
    await tap(api, f"/api/orders/{rejected['orderId']}/reject", kitchen(api))
    await until_true(lambda: not api.world.tasks)
    unpaid = await api.order()
    await api.post(f"/api/orders/{unpaid['orderId']}/cancel", {}, token=unpaid["orderToken"])
    status, text = await page(api, "/kitchen/history", kitchen(api))
    assert status == 200
    assert ids_on(text) == [rejected["orderId"], delivered["orderId"]]
    assert "Family thali" in text
    assert text.index("Rejected") < text.index("Delivered")
    status, ticket = await page(api, f"/kitchen/{rejected['orderId']}/ticket", kitchen(api))
    assert (status, "Rejected" in ticket, "Family thali" in ticket) == (200, True, True)
    status, ticket = await page(api, f"/kitchen/{open_['orderId']}/ticket", kitchen(api))
    assert (status, "Waiting for the kitchen" in ticket) == (200, True)
    assert (await page(api, f"/kitchen/{unpaid['orderId']}/ticket", kitchen(api)))[0] == 303


async def test_another_restaurant_sees_none_of_it(api: Api) -> None:
    order_id = put(api.world, "a", DAY_BEGINS_MS)
    other = kitchen(api, "hinode-kyoto")
    query = f"day={DAY}&restaurantId={RESTAURANT}"
    assert await all_pages(api, other, query) == [[]]
    assert (await page(api, f"/kitchen/{order_id}/ticket", other))[0] == 403
    assert await all_pages(api, api.operator, query) == [[order_id]]


async def test_a_day_is_the_restaurants_own(api: Api) -> None:
    _, first, last, _ = [
        put(api.world, str(at), DAY_BEGINS_MS + at) for at in (-1, 0, DAY_MS - 1, DAY_MS)
    ]
    assert await all_pages(api, kitchen(api), f"day={DAY}") == [[last, first]]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-1-1", "1900-01-01", ""])
async def test_what_is_no_day_is_refused(api: Api, day: str) -> None:
    assert (await page(api, f"/kitchen/history?day={day}", kitchen(api)))[0] == 400


async def test_pages_have_each_order_once_and_read_no_more_than_they_may(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders of others, and those that were never paid, cost looking and are not shown."""
    monkeypatch.setattr(kitchen_history, "MAX_LOOKED_AT", 7)
    monkeypatch.setattr(kitchen_history, "MAX_READ", 4)
    api = await make_api()
    wanted = list[str]()
    for number in range(120):
        at_ms = DAY_BEGINS_MS + number // 3 * 1000  # three of each moment
        status = (S.DELIVERED, S.CANCELLED, S.REFUNDED)[number % 5 % 3]
        if number % 4 == 0:
            put(api.world, str(number), at_ms, status, "hinode-kyoto")
        elif number % 7 == 0:
            put(api.world, str(number), at_ms, S.CANCELLED, reached={S.CANCELLED: at_ms})
        else:
            wanted.append(put(api.world, str(number), at_ms, status))
    found = await all_pages(api, kitchen(api), f"day={DAY}&limit=10")
    assert max(map(len, found)) <= 10
    assert len(found) < 60
    listed = [order_id for ids in found for order_id in ids]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(wanted)
