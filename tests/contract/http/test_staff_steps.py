"""Boards of kitchens, couriers and operators: who may do what, taps, keys and lists."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.commands import CommandType
from tests.support.http_api import Api, MakeApi, new_key
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.staff_requests import RESTAURANT, STEPS, cook, courier, kitchen, tap
from web.http.tokens import DevelopmentStaff, OrderTokens


def sent(api: Api, kind: CommandType) -> list[str]:
    return [c.command_id for c in api.world.commands if c.command_type is kind]


async def test_a_tap_twice_is_one_command_and_after_a_refusal_a_new_one(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    path = f"/api/orders/{order_id}/ready"
    status, problem = await tap(api, path, kitchen(api))
    assert (status, problem["code"]) == (409, "NOT_ALLOWED_NOW")
    for step in STEPS[:2]:
        answers = [await tap(api, f"/api/orders/{order_id}/{step}", kitchen(api)) for _ in "12"]
        assert [status for status, _ in answers] == [200, 200]
        assert answers[0] == answers[1]
    assert len(sent(api, CommandType.ACCEPT_ORDER)) == 1
    status, answer = await tap(api, path, kitchen(api))
    assert (status, answer["status"]) == (200, "READY_FOR_PICKUP")
    assert len(set(sent(api, CommandType.MARK_READY))) == 2


async def test_taps_at_once_are_one_command(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    answers = await asyncio.gather(
        *(tap(api, f"/api/orders/{order_id}/accept", kitchen(api)) for _ in range(4))
    )
    assert [status for status, _ in answers] == [200] * 4
    assert len(set(sent(api, CommandType.ACCEPT_ORDER))) == 1


async def test_a_key_is_kept_to_and_bound_to_its_body(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    path, key = f"/api/orders/{order_id}/reject", new_key()
    status, first, _ = await api.post(path, {"reason": "CLOSED"}, key=key, token=kitchen(api))
    assert (status, first["status"]) == (200, "CANCELLED")
    status, _, _ = await api.post(path, {"reason": "CLOSED"}, key=key, token=kitchen(api))
    assert status == 200
    assert len(sent(api, CommandType.REJECT_ORDER)) == 1
    status, problem, _ = await api.post(path, {"reason": "OTHER"}, key=key, token=kitchen(api))
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    status, problem, _ = await api.post(path, {}, key="short", token=kitchen(api))
    assert (status, problem["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")


async def test_the_same_key_of_another_courier_gives_nothing_away(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    path, key = f"/api/deliveries/{order_id}/assign", new_key()
    status, _, _ = await api.post(path, {}, key=key, token=courier(api, "c1"))
    assert status == 200
    status, problem, _ = await api.post(path, {}, key=key, token=courier(api, "c2"))
    assert (status, problem["code"]) == (409, "NOT_ALLOWED_NOW")


@pytest.mark.parametrize("step", [*STEPS, "reject"])
async def test_only_the_orders_own_kitchen_and_operators_take_its_steps(
    api: Api, step: str
) -> None:
    order = await api.paid()
    path, before = f"/api/orders/{order['orderId']}/{step}", len(api.world.commands)
    for token, code, status in (
        (None, "TOKEN_MISSING", 401),
        ("x.y.z", "TOKEN_INVALID", 401),
        (order["orderToken"], "ROLE_REFUSED", 403),
        (courier(api), "ROLE_REFUSED", 403),
        (kitchen(api, "hinode-kyoto"), "WRONG_RESTAURANT", 403),
    ):
        assert await told(api, path, token) == (status, code)
    assert len(api.world.commands) == before
    if step in {"accept", "reject"}:
        assert (await tap(api, path, api.operator))[0] == 200


@pytest.mark.parametrize("step", ["assign", "pick-up", "deliver"])
async def test_only_couriers_take_a_deliverys_steps(api: Api, step: str) -> None:
    order = await api.paid()
    path, before = f"/api/deliveries/{order['orderId']}/{step}", len(api.world.commands)
    for token, code, status in (
        (None, "TOKEN_MISSING", 401),
        (order["orderToken"], "ROLE_REFUSED", 403),
        (kitchen(api), "ROLE_REFUSED", 403),
        (api.operator, "ROLE_REFUSED", 403),
    ):
        assert await told(api, path, token) == (status, code)
    assert len(api.world.commands) == before


async def told(api: Api, path: str, token: str | None) -> tuple[int, str]:
    status, problem = await tap(api, path, token)
    return status, problem["code"]


async def test_a_courier_brings_it_to_the_door(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    path = f"/api/deliveries/{order_id}"
    assert await told(api, f"{path}/pick-up", courier(api)) == (409, "NOT_ALLOWED_NOW")
    assert (await tap(api, f"{path}/assign", courier(api)))[0] == 200
    assert await told(api, f"{path}/pick-up", courier(api)) == (409, "NOT_READY_FOR_PICKUP")
    await cook(api, order_id)
    assert await told(api, f"{path}/pick-up", courier(api, "c2")) == (403, "WRONG_COURIER")
    assert (await tap(api, f"{path}/pick-up", courier(api)))[1]["status"] == "PICKED_UP"
    assert (await tap(api, f"{path}/deliver", courier(api)))[1]["status"] == "DELIVERED"
    _, order = await api.get(f"/api/orders/{order_id}", api.operator)
    assert (order["status"], order["delivery"]["courierId"]) == ("DELIVERED", "c1")


async def test_no_delivery_before_the_order_is_paid(api: Api) -> None:
    order_id = (await api.order())["orderId"]
    assert await told(api, f"/api/deliveries/{order_id}/assign", courier(api)) == (
        404, "DELIVERY_UNKNOWN"
    )  # fmt: skip
    nobody = "order_" + "0" * 26
    assert await told(api, f"/api/deliveries/{nobody}/assign", courier(api)) == (
        404, "ORDER_UNKNOWN"
    )  # fmt: skip
    assert await told(api, f"/api/orders/{nobody}/accept", kitchen(api)) == (404, "ORDER_UNKNOWN")


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_courier_has_no_more_at_a_time_than_is_set(make_api: MakeApi, limit: int) -> None:
    api = await make_api(courier_limit=limit)
    orders = [(await api.paid())["orderId"] for _ in range(limit + 1)]
    paths = [f"/api/deliveries/{order_id}" for order_id in orders]
    answers = await asyncio.gather(*(tap(api, f"{path}/assign", courier(api)) for path in paths))
    codes = sorted(answer.get("code", "") for _, answer in answers)
    assert codes == [""] * limit + ["COURIER_BUSY"]
    (left,) = [path for path, (status, _) in zip(paths, answers, strict=True) if status != 200]
    taken = next(order_id for order_id, path in zip(orders, paths, strict=True) if path != left)
    # Taking one again that one has is no further one; and another courier has room.
    assert (await tap(api, f"/api/deliveries/{taken}/assign", courier(api)))[0] == 200
    status, room = await api.get(f"{left}/assign", courier(api))
    assert (status, len(room["orders"]), room["limit"]) == (200, limit, limit)
    await cook(api, taken)
    for step in ("pick-up", "deliver"):
        assert (await tap(api, f"/api/deliveries/{taken}/{step}", courier(api)))[0] == 200
    assert (await tap(api, f"{left}/assign", courier(api)))[0] == 200


async def test_an_admission_is_made_by_workers_alone(make_api: MakeApi) -> None:
    api = await make_api(courier_limit=1)
    one, two = [(await api.paid())["orderId"] for _ in range(2)]
    assert (await tap(api, f"/api/deliveries/{one}/assign", courier(api)))[0] == 200
    ours, theirs = OrderTokens("o" * 32), OrderTokens("x" * 32)
    forged = [
        "x",
        theirs.issue_admission("c1", two),
        ours.issue_admission("c1", one),
        ours.issue_admission("c2", two),
        ours.issue("c1", two),
    ]
    for admission in forged:
        headers = {"Authorization": f"Bearer {courier(api)}", "Tiffin-Admission": admission}
        async with api.client.post(
            f"/api/deliveries/{two}/assign", json={}, headers=headers
        ) as response:
            assert (await response.json(content_type=None))["code"] == "COURIER_BUSY"
    # An admission is no order token either.
    status, _ = await api.get(f"/api/orders/{two}", ours.issue_admission("c1", two))
    assert status == 401
    # Nor does it help to look like another worker's question.
    headers = {"Authorization": f"Bearer {courier(api)}", "Tiffin-Partitions": "0"}
    async with api.client.post(
        f"/api/deliveries/{two}/assign", json={}, headers=headers
    ) as response:
        assert response.status == 400


async def test_what_can_not_be_counted_in_time_refuses_the_assign(make_api: MakeApi) -> None:
    async def never(services: tuple[str, ...], partition: int) -> None:
        assert (services, partition) == (("deliveries",), 0)
        await asyncio.Event().wait()

    api = await make_api(caught_up=never)
    order_id = (await api.paid())["orderId"]
    assert await told(api, f"/api/deliveries/{order_id}/assign", courier(api)) == (
        503, "COURIER_UNCHECKED"
    )  # fmt: skip
    assert sent(api, CommandType.ASSIGN_DELIVERY) == []


async def test_lists_show_each_board_what_it_may_see(api: Api) -> None:
    orders = [(await api.paid())["orderId"] for _ in range(3)]
    await tap(api, f"/api/deliveries/{orders[1]}/assign", courier(api))
    for token in (kitchen(api), api.operator):
        _, board = await api.get("/api/kitchen/orders", token)
        assert [order["orderId"] for order in board["orders"]] == orders
        assert "asha" not in str(board).lower()
    for path, token in (
        ("/api/kitchen/orders", kitchen(api, "hinode-kyoto")),
        ("/api/kitchen/orders?restaurantId=hinode-kyoto", api.operator),
    ):
        assert (await api.get(path, token))[1] == {"orders": [], "incomplete": []}
    _, mine = await api.get("/api/deliveries", courier(api))
    assert [row["orderId"] for row in mine["deliveries"]] == [orders[1], orders[0], orders[2]]
    assert [("contact" in row) for row in mine["deliveries"]] == [True, False, False]
    _, theirs = await api.get("/api/deliveries?limit=1", courier(api, "c2"))
    assert ([row["orderId"] for row in theirs["deliveries"]], theirs["total"]) == ([orders[0]], 2)
    _, all_ = await api.get("/api/deliveries", api.operator)
    assert (all_["total"], "asha" in str(all_).lower()) == (3, False)
    _, listed = await api.get("/api/ops/orders?state=PENDING&limit=2", api.operator)
    assert [row["orderId"] for row in listed["orders"]] == [orders[2], orders[1]]
    assert (listed["total"], listed["incomplete"], listed["isBounded"]) == (3, [], False)
    assert listed["orders"][0]["amount"] == 250_000
    pages: list[str] = []
    before: str | None = ""
    while before is not None:
        _, page = await api.get(f"/api/ops/orders?limit=1{before}", api.operator)
        assert page["total"] == 3
        pages += [row["orderId"] for row in page["orders"]]
        before = f"&before={page['next']}" if "next" in page else None
    assert pages == orders[::-1]
    since = listed["orders"][0]["since"]
    for query, wanted in (
        (f"restaurant={RESTAURANT}", 3), ("restaurant=another", 0), ("since=2000-01-01", 3),
        (f"since={since}", 1), (f"until={since}", 2), ("until=2000-01-01T00:00:00Z", 0),
    ):  # fmt: skip
        _, some = await api.get(f"/api/ops/orders?{query}", api.operator)
        assert (query, some["total"]) == (query, wanted)


async def test_lists_are_refused_to_others(api: Api) -> None:
    order = await api.paid()
    for path, tokens in {
        "/api/kitchen/orders": (order["orderToken"], courier(api)),
        "/api/deliveries": (order["orderToken"], kitchen(api)),
        "/api/ops/orders": (order["orderToken"], kitchen(api), courier(api)),
    }.items():
        for token in tokens:
            status, problem = await api.get(path, token)
            assert (status, problem["code"]) == (403, "ROLE_REFUSED")
        assert (await api.get(path))[0] == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"),
     ("limit=", "limit"), ("limit=1e3", "limit"), ("state=NONE", "state"), ("state=", "state"),
     ("before=x", "before"), ("before=1.", "before"), ("before=" + "9" * 5000, "before"),
     ("since=yesterday", "since"), ("since=2026-11-23T07:00:00", "since"),
     ("until=9999-12-31", "until"), ("until=" + "1" * 5000, "until"),
     ("restaurant=" + "r" * 501, "restaurant")],
)  # fmt: skip
async def test_wrong_parameters_of_a_list_are_named(api: Api, query: str, field: str) -> None:
    status, problem = await api.get(f"/api/ops/orders?{query}", api.operator)
    assert (status, problem["code"], problem["errors"][0]["field"]) == (
        400, "VALIDATION_FAILED", field
    )  # fmt: skip


async def test_a_partition_that_is_not_here_is_named(make_api: MakeApi) -> None:
    world = InMemoryBackend()
    api = await make_api(world)
    await api.paid()
    for table in world.tables.values():
        table.is_ours = False
    for path in ("/api/kitchen/orders", "/api/ops/orders", "/api/ops/orders?state=DELIVERED"):
        status, answer = await api.get(path, api.operator)
        assert (status, answer["orders"], answer["incomplete"]) == (200, [], [0])
        # Asked by another worker that still thinks it is ours: no answer, rather than none of them.
        headers = {"Tiffin-Partitions": "0"}
        assert await api.get(path, api.operator, **headers) == (200, {})


@pytest.mark.parametrize(
    "body",
    [{}, {"role": "customer"}, {"role": "kitchen"}, {"role": "courier", "subject": "a b"},
     {"role": "courier", "restaurantId": RESTAURANT}, {"role": "operator", "more": 1}],
)  # fmt: skip
async def test_the_development_login_takes_only_what_it_says(
    make_api: MakeApi, body: dict[str, Any]
) -> None:
    api = await make_api(development_login=DevelopmentStaff("d" * 32, sandbox=True))
    assert await told_login(api, body) == (400, "VALIDATION_FAILED")


async def told_login(api: Api, body: dict[str, Any]) -> tuple[int, str]:
    async with api.client.post("/api/login/development", json=body) as response:
        return response.status, (await response.json(content_type=None))["code"]


async def test_the_development_login_gives_tokens_that_work(make_api: MakeApi) -> None:
    api = await make_api(development_login=DevelopmentStaff("d" * 32, sandbox=True))
    body = {"role": "kitchen", "subject": "anna", "restaurantId": RESTAURANT}
    async with api.client.post("/api/login/development", json=body) as response:
        answer = await response.json()
    assert {**answer, "token": ""} == {**body, "token": "", "expiresInS": 86_400}
    assert (await api.get("/api/kitchen/orders", answer["token"]))[0] == 200
    assert await told_login(api, {"role": "kitchen", "restaurantId": "none"}) == (
        404, "RESTAURANT_UNKNOWN"
    )  # fmt: skip


async def test_there_is_no_development_login_unless_it_is_set(api: Api) -> None:
    assert await told_login(api, {"role": "operator"}) == (404, "NOT_FOUND")
