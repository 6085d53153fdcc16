"""What operators see of the tables: every record and row, in bounded pieces, and nobody's address."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents.timeline import TIMELINE
from models.order import OrderRecord
from tests.support.http_api import CART, Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend, InMemoryTable
from web.ops import tables
from web.ops.table_items import statuses_of

PATH = "/api/ops/tables"


async def items(api: Api, table: str, query: str = "") -> dict[str, Any]:
    status, answer = await api.get(f"{PATH}/{table}?{query}", api.operator)
    assert status == 200, answer
    return answer


async def all_keys(api: Api, table: str, query: str) -> list[str]:
    """Page by page."""
    found, after = [], ""
    while True:
        page = await items(api, table, f"{query}&after={after}")
        found += [item["key"] for item in page["items"]]
        if "next" not in page:
            return found
        after = page["next"]


async def test_each_table_shows_an_order_and_none_its_customer(api: Api) -> None:
    order = await api.paid()
    for table in api.world.tables:
        page = await items(api, table, f"key={order['orderId']}")
        first = page["items"][0]
        assert (first["key"], first["kind"]) == (order["orderId"], "record")
        assert first["value"], table
        for value in (*CART["contact"].values(), CART["address"]["line1"]):  # type: ignore[attr-defined]
            assert value not in json.dumps(page), table
    (shown,) = (await items(api, "orders", f"key={order['orderId']}"))["items"]
    assert shown["statuses"] == ["PENDING"]
    assert not shown["hasEnded"]
    assert shown["masked"]
    assert shown["value"]["placed"]["contact"] == "***"
    assert "ACCEPTED" in shown["outcomes"].values()


async def test_a_person_is_shown_of_one_order_alone_and_that_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tiffin.web.tables")
    order = await api.paid()
    email = CART["contact"]["email"]
    page = await items(api, "orders", f"key={order['orderId']}&personal=true")
    assert page["items"][0]["value"]["placed"]["contact"]["email"] == email
    (record,) = [each for each in caplog.records if each.name == "tiffin.web.tables"]
    assert record.__dict__["by"] == "operator:olga"
    status, problem = await api.get(f"{PATH}/orders?personal=true", api.operator)
    assert (status, problem["errors"][0]["field"]) == (400, "key")


async def test_pages_hold_everything_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = sorted([(await api.paid())["orderId"] for _ in range(7)])
    api.world.tables["orders"].stored_rows.update({"t/1": b'{"sums":{}}', "zebra/1": b"\xff"})
    whole = [*orders, "t/1", "zebra/1"]
    assert await all_keys(api, "orders", "limit=2") == sorted(whole)
    # A page looks at a few only, whether it finds any or not.
    monkeypatch.setattr(tables, "SLICE_ITEMS", 2)
    monkeypatch.setattr(tables, "MAX_LOOKED_AT", 4)
    page = await items(api, "orders", "kind=row")
    assert (page["lookedAt"], page["items"]) == (4, [])
    assert await all_keys(api, "orders", "kind=row") == ["t/1", "zebra/1"]
    assert await all_keys(api, "orders", "kind=record&limit=3") == orders
    assert await all_keys(api, "payments", "state=COMPLETED") == orders
    assert await all_keys(api, "payments", "state=REFUNDED") == []


async def test_a_status_is_looked_up_where_the_index_has_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = [(await api.order())["orderId"] for _ in range(3)]
    for order_id in cancelled:
        await api.post(f"/api/orders/{order_id}/cancel", {}, token=api.operator)
    open_ones = [(await api.paid())["orderId"] for _ in range(3)]

    def scanned(*_: Any) -> Any:
        raise AssertionError("the table was read")

    monkeypatch.setattr(InMemoryTable, "items", scanned)
    monkeypatch.setattr(tables, "SLICE_ITEMS", 2)
    for query, keys in (
        ("state=PENDING", open_ones),
        ("state=CANCELLED", cancelled),
        ("state=CANCELLED&open=true", []),
        ("state=CANCELLED&open=false", cancelled),
        ("open=true", open_ones),
        ("state=DELIVERED", []),
    ):
        assert sorted(await all_keys(api, "orders", f"{query}&limit=1")) == sorted(keys), query
    assert sorted(await all_keys(api, "payments", "state=PENDING")) == []


async def test_other_tasks_have_their_turn_between_two_slices(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        await api.paid()
    monkeypatch.setattr(tables, "SLICE_ITEMS", 1)
    turns: list[float] = []

    async def turn(seconds: float) -> None:
        turns.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", turn)
    await items(api, "orders")
    assert len(turns) >= 4


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("nothing", 404, "orders, payments"),
        ("orders?state=LOST", 400, "state"),
        ("orders?after=x", 400, "after"),
        ("orders?open=true&after=eyIwIjoieCJ9", 400, "after"),
        ("orders?limit=201", 400, "limit"),
    ],
)
async def test_what_is_not_there_is_named(api: Api, path: str, status: int, named: str) -> None:
    answered, problem = await api.get(f"{PATH}/{path}", api.operator)
    assert answered == status
    assert named in json.dumps(problem)


async def test_another_workers_records_are_asked_there(make_api: MakeApi) -> None:
    owner = await make_api()
    order = await owner.paid()
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, owner.client.make_url("/")
    other = await make_api(world)
    for query in ("", f"key={order['orderId']}"):
        assert await items(other, "orders", query) == await items(owner, "orders", query)


async def test_a_record_that_cannot_be_read_is_named(api: Api) -> None:
    api.world.tables["orders"].records["broken"] = None  # type: ignore[assignment]
    (item,) = (await items(api, "orders"))["items"]
    assert (item["key"], item["kind"]) == ("broken", "broken")


def test_statuses_of_each_kind_of_record() -> None:
    assert statuses_of(OrderRecord()) == ("PLACED",)
    assert statuses_of(TIMELINE.initial) == ()
