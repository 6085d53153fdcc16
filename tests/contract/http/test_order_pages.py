"""The operators' list of orders: whoever turns its pages sees each order once, the latest first."""

from __future__ import annotations

from typing import Any

import pytest

from models.graphs import OrderStatus
from models.ids import order_id as make_order_id
from models.order import Order, OrderRecord, OrderWork
from models.times import to_rfc3339
from tests.support.http_api import Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from web.ops import orders

S = OrderStatus
T0_MS = 1_790_000_000_000
STATUSES = (S.DELIVERED, S.CANCELLED, S.REFUNDED, S.PREPARING)


def put(world: InMemoryBackend, number: int, listeners: list[Any]) -> dict[str, Any]:
    """An order; three of each status reach it in the same millisecond."""
    order_id = make_order_id("guest", str(number))
    status, since_ms = STATUSES[number % 4], T0_MS + number // 12 * 1000
    restaurant = "a/b" if number % 5 else "b"
    order = Order(
        order_id=order_id, payment_id="p", user_id="u", restaurant_id=restaurant, amount=100,
        currency="INR", status=status, sequence=1, occurred_at=since_ms, reached={status: since_ms},
    )  # fmt: skip
    stored = world.tables["orders"].put(order_id, OrderRecord(order=order, work=OrderWork()))
    for listener in listeners:
        listener.updated(0, order_id, stored)
    return {
        "orderId": order_id, "status": str(status), "restaurantId": restaurant,
        "since": to_rfc3339(since_ms),
    }  # fmt: skip


@pytest.fixture
async def desk(make_api: MakeApi) -> tuple[Api, list[dict[str, Any]]]:
    world = InMemoryBackend()
    api = await make_api(world)
    listeners = world.tables["orders"].listeners
    rows = [put(world, number, listeners) for number in range(60)]
    rows.sort(key=lambda row: (row["since"], row["orderId"]), reverse=True)
    return api, rows


async def turned(api: Api, query: str, limit: int) -> tuple[list[dict[str, Any]], set[int], bool]:
    """All rows, page by page; each total that was told; whether one was told to be bounded."""
    rows: list[dict[str, Any]] = []
    totals, is_bounded, before = set[int](), False, ""
    while True:
        status, page = await api.get(f"/api/ops/orders?limit={limit}&{query}{before}", api.operator)
        assert status == 200, page
        rows += page["orders"]
        totals.add(page["total"])
        is_bounded |= page["isBounded"]
        if "next" not in page:
            return rows, totals, is_bounded
        assert len(page["orders"]) == limit
        before = f"&before={page['next']}"


@pytest.mark.parametrize("limit", [1, 7, 60])
@pytest.mark.parametrize(
    "query",
    ["", "state=DELIVERED", "state=PREPARING", "restaurant=a/b", "state=CANCELLED&restaurant=b",
     f"since={to_rfc3339(T0_MS + 1000)}&until={to_rfc3339(T0_MS + 3000)}"],
)  # fmt: skip
async def test_each_order_is_on_one_page(
    desk: tuple[Api, list[dict[str, Any]]], query: str, limit: int
) -> None:
    api, rows = desk
    params = dict(part.split("=", 1) for part in query.split("&") if part)
    wanted = [
        row
        for row in rows
        if params.get("state") in {None, row["status"]}
        and params.get("restaurant") in {None, row["restaurantId"]}
        and params.get("since", "") <= row["since"] < params.get("until", "9")
    ]
    found, totals, is_bounded = await turned(api, query, limit)
    assert [row["orderId"] for row in found] == [row["orderId"] for row in wanted]
    assert all(row.items() <= shown.items() for row, shown in zip(wanted, found, strict=True))
    assert (totals, is_bounded) == ({len(wanted)}, False)


async def test_so_many_at_most_are_looked_at_for_a_filter_and_the_list_says_so(
    desk: tuple[Api, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _ = desk
    monkeypatch.setattr(orders, "MAX_LOOKED_AT", 5)
    found, totals, is_bounded = await turned(api, "state=DELIVERED&restaurant=nowhere", 10)
    assert (found, totals, is_bounded) == ([], {0}, True)
    _, totals, is_bounded = await turned(api, "state=DELIVERED", 10)
    assert (totals, is_bounded) == ({15}, False), "without filters all are counted"
