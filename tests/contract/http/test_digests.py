"""Digests for the rebuild proof: complete or visibly not, of what events give alone, for operators."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models import rebuild
from tables import NotOwnerError, StoredRecord
from tests.support.http_api import CART, Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from web.ops import digests

PATH = "/api/ops/digests"


async def lines(api: Api) -> list[Any]:
    headers = {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get(f"{PATH}?partition=0", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "application/x-ndjson"
        return [json.loads(line) for line in (await response.text()).splitlines()]


async def test_every_state_is_told_in_slices(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SLICE_RECORDS", 2)
    orders = [(await api.paid())["orderId"] for _ in range(5)]
    head, *told, end = await lines(api)
    services = [service for service in rebuild.EVENT_FOLDS if service in api.world.tables]
    assert head == {"partition": 0, "services": services}
    assert end == {"end": True, "digests": len(told)}
    states = {(service, order_id): rest for service, order_id, *rest in told}
    assert states.keys() >= {(service, o) for service in ("payments", "orders") for o in orders}
    for (service, order_id), (sequence, sha256) in states.items():
        record = api.world.tables[service].get(order_id)
        digest = rebuild.digest(rebuild.derived_state(service, record.state))
        assert (digest.sequence, digest.sha256) == (sequence, sha256)


async def test_what_breaks_off_has_no_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.paid()

    def moved(*_: object) -> list[StoredRecord]:
        raise NotOwnerError("orders")

    monkeypatch.setattr(api.world.tables["orders"], "scan", moved)
    assert not any("end" in line for line in await lines(api))


async def test_one_order_with_its_states_and_nobodys_address(api: Api) -> None:
    order = await api.paid()
    status, shown = await api.get(f"{PATH}/{order['orderId']}", api.operator)
    assert status == 200
    states = {state["service"]: state for state in shown["states"]}
    assert states["payments"]["state"]["captured"] == order["amount"]["amount"]
    assert states["orders"]["state"]["status"] == "PENDING"
    for value in (*CART["contact"].values(), CART["address"]["line1"]):  # type: ignore[attr-defined]
        assert value not in json.dumps(shown)


@pytest.mark.parametrize(
    "query", ["", "?partition=", "?partition=-1", "?partition=1", "?partition=x"]
)
async def test_partitions_that_are_not_there(api: Api, query: str) -> None:
    status, problem = await api.get(f"{PATH}{query}", api.operator)
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert problem["errors"][0]["field"] == "partition"


async def test_only_operators_see_them(api: Api) -> None:
    order = await api.paid()
    for path in (f"{PATH}?partition=0", f"{PATH}/{order['orderId']}"):
        assert (await api.get(path))[0] == 401
        assert (await api.get(path, order["orderToken"]))[0] == 403


async def test_another_workers_partition_is_asked_there(make_api: MakeApi) -> None:
    owner = await make_api()
    await owner.paid()
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, owner.client.make_url("/")
    assert await lines(await make_api(world)) == await lines(owner)
