"""A worker with too much to do: new orders are refused at once and say when to come again; all else goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.commands import CommandType
from models.operations import WorkerStatus
from tests.support.http_api import CART, Api, MakeApi, new_key
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.operations import QUIET_OPERATIONS, page_of
from tests.support.webhooks import event, signature
from web.http.admission import Admission, WorkClass

CREATE = "/api/payments/create-intent"


class Load:
    """What the worker has to do: while `is_heavy`, a new payment would wait for a minute."""

    def __init__(self) -> None:
        self.is_heavy = False
        wait = lambda: 60.0 if self.is_heavy else 0.0  # noqa: E731
        self.admission = Admission(max_delay_s=0.2, stripe_wait_s=wait)


@pytest.fixture
def load() -> Load:
    return Load()


@pytest.fixture
async def api(make_api: MakeApi, load: Load) -> Api:
    return await make_api(admission=load.admission, operations=QUIET_OPERATIONS)


async def test_a_new_order_is_refused_at_once_and_is_taken_with_the_same_key_later(
    api: Api, load: Load
) -> None:
    load.is_heavy, key = True, new_key()
    status, problem, response = await api.post(CREATE, CART, key=key)
    assert (status, problem["code"], problem["status"]) == (503, "OVERLOADED", 503)
    assert response.content_type == "application/problem+json"
    assert 1 <= int(response.headers["Retry-After"]) <= 10
    assert api.world.commands == []
    assert load.admission.refused == {WorkClass.NEW_ORDER: 1}
    load.is_heavy = False
    status, order, _ = await api.post(CREATE, CART, key=key)
    assert (status, "clientSecret" in order) == (201, True)
    assert load.admission.admitted == {WorkClass.NEW_ORDER: 1}


async def test_an_order_that_was_taken_is_answered_again_and_ends_however_much_there_is_to_do(
    api: Api, load: Load
) -> None:
    key = new_key()
    _, order, _ = await api.post(CREATE, CART, key=key)
    load.is_heavy = True
    status, again, _ = await api.post(CREATE, CART, key=key)
    assert (status, again["orderId"]) == (201, order["orderId"])
    status, confirmed = await api.confirm(order)
    assert (status, confirmed["status"]) == (200, "COMPLETED")
    status, view = await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
    assert (status, view["status"]) == (200, "PENDING")
    sent = [command.command_type for command in api.world.commands]
    assert sent.count(CommandType.PLACE_ORDER) == 1


async def test_webhooks_and_operators_are_served(api: Api, load: Load) -> None:
    order = await api.order()
    load.is_heavy = True
    payload = event(order["orderId"])
    headers = {"Stripe-Signature": signature(payload)}
    async with api.client.post("/webhooks/stripe", data=payload, headers=headers) as response:
        assert (await response.json())["recorded"]
    for path in ("/api/ops/orders", f"/api/orders/{order['orderId']}"):
        status, _ = await api.get(path, api.operator)
        assert status == 200
    status, _, _ = await api.post(
        f"/api/orders/{order['orderId']}/cancel", {"reason": "OPERATOR_REQUEST"}, token=api.operator
    )
    assert status == 200


async def test_a_worker_that_passes_the_order_on_passes_the_refusal_back(
    api: Api, make_api: MakeApi, load: Load
) -> None:
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, api.client.make_url("/")
    other = await make_api(world)
    load.is_heavy = True
    status, problem, response = await other.post(CREATE, CART)
    assert (status, problem["code"]) == (503, "OVERLOADED")
    assert 1 <= int(response.headers["Retry-After"]) <= 10
    assert api.world.commands == world.commands == []


async def test_operators_are_told_that_orders_are_refused(make_api: MakeApi) -> None:
    status = WorkerStatus(started_ms=0, refused_share=0.4)
    api = await make_api(operations=replace(QUIET_OPERATIONS, worker=lambda: status))
    _, found = await api.get("/api/ops/overview", api.operator)
    (concern,) = found["concerns"]
    assert concern["code"] == "OVERLOADED"
    assert "40%" in concern["detail"]
    async with page_of(api, "/ops") as page:
        assert "New orders are being refused" in page
