"""A stopped partition is told wherever operators look, and is skipped by nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from models import ids
from tables import BrokenRecordError, NotStoppedError, PartitionStop
from tests.support.http_api import Api, MakeApi
from tests.support.operations import QUIET_OPERATIONS
from web.http.tokens import Role

TOPIC = "payment-commands"
STOP = PartitionStop(TOPIC, 0, 7, 9, "", "DecompressionError: <b>", 1_700_000_000_000)
BODY = {"topic": TOPIC, "partition": 0, "offset": 7, "reason": "sent by a mirror"}


@dataclass
class Stops:
    """One stopped partition."""

    acts: list[dict[str, Any]] = field(default_factory=list)

    def all(self) -> tuple[PartitionStop, ...]:
        return (STOP,)

    async def skip(
        self, topic: str, partition: int, offset: int, service: str | None, **act: Any
    ) -> PartitionStop:
        if (topic, partition, offset) != (TOPIC, 0, 7):
            raise NotStoppedError(f"{topic}/{partition} is not stopped at offset {offset}")
        self.acts.append(act)
        return STOP


@pytest.fixture
def stops() -> Stops:
    return Stops()


@pytest.fixture
async def stopped(make_api: MakeApi, stops: Stops) -> Api:
    return await make_api(operations=replace(QUIET_OPERATIONS, stopped=stops))


def operator(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.staff.issue(Role.OPERATOR, 'o')}"}


async def test_a_worker_with_a_stopped_partition_is_ready_and_says_where_and_why(
    stopped: Api,
) -> None:
    async with stopped.client.get("/readyz") as response:
        assert response.status == 200
        (told,) = (await response.json())["stopped"]
    assert (told["topic"], told["partition"], told["offset"], told["nextOffset"]) == (
        TOPIC,
        0,
        7,
        9,
    )
    assert told["error"] == STOP.error


async def test_operations_show_it_and_what_to_type(stopped: Api) -> None:
    async with stopped.client.get("/api/ops/overview", headers=operator(stopped)) as response:
        (concern,) = (await response.json())["concerns"]
    assert (concern["code"], concern["where"]) == ("PARTITIONS_STOPPED", "/api/ops/lag")
    assert "payment-commands/0 at offset 7" in concern["detail"]
    async with stopped.client.get("/ops/lag", headers=operator(stopped)) as response:
        page = await response.text()
    assert "faust -A app skip payment-commands 0 7 --dry-run" in page
    assert "DecompressionError: &lt;b&gt;" in page


@pytest.mark.parametrize(
    ("more", "goes_on_at", "act"),
    [
        ({"dryRun": True}, 9, {"is_retry": False, "dry_run": True}),
        ({}, 9, {"is_retry": False, "dry_run": False}),
        ({"retry": True}, 7, {"is_retry": True, "dry_run": False}),
    ],
)
async def test_an_operator_skips_it_or_tries_it_again(
    stopped: Api, stops: Stops, more: dict[str, Any], goes_on_at: int, act: dict[str, Any]
) -> None:
    path, body = "/api/ops/stopped/skip", BODY | more
    async with stopped.client.post(path, json=body, headers=operator(stopped)) as response:
        assert response.status == 200
        assert (await response.json())["goesOnAt"] == goes_on_at
    assert stops.acts == [{"by": "operator:o", "reason": "sent by a mirror", **act}]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"offset": 8}, 404, "NOT_STOPPED"),
        ({"partition": 99}, 404, "NOT_STOPPED"),
        ({"topic": "<b>"}, 404, "NOT_STOPPED"),
        ({"reason": ""}, 400, "VALIDATION_FAILED"),
        ({"offset": -2}, 400, "VALIDATION_FAILED"),
        ({"offset": 2**63}, 400, "VALIDATION_FAILED"),
    ],
)
async def test_what_is_not_stopped_is_not_skipped(
    stopped: Api, stops: Stops, change: dict[str, Any], status: int, code: str
) -> None:
    path, body = "/api/ops/stopped/skip", BODY | change
    async with stopped.client.post(path, json=body, headers=operator(stopped)) as response:
        assert (response.status, (await response.json())["code"]) == (status, code)
    assert stops.acts == []


async def test_nobody_else_skips(stopped: Api, stops: Stops) -> None:
    for role, scope in ((Role.KITCHEN, "annapurna-bengaluru"), (Role.COURIER, "")):
        headers = {"Authorization": f"Bearer {stopped.staff.issue(role, 'x', scope)}"}
        async with stopped.client.post(
            "/api/ops/stopped/skip", json=BODY, headers=headers
        ) as response:
            assert response.status == 403
    async with stopped.client.post("/api/ops/stopped/skip", json=BODY) as response:
        assert response.status == 401
    assert stops.acts == []


async def test_a_stored_record_that_cannot_be_read_is_named(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = await api.paid()

    def broken(_: str) -> None:
        raise BrokenRecordError

    monkeypatch.setattr(api.world.tables["orders"], "get", broken)
    headers = {"Authorization": f"Bearer {paid['orderToken']}"}
    async with api.client.get(f"/api/orders/{paid['orderId']}", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (503, "RECORD_BROKEN")


async def test_no_courier_waits_for_a_stopped_table(make_api: MakeApi, stops: Stops) -> None:
    shut = replace(STOP, service="deliveries")
    stops.all = lambda: (shut,)  # type: ignore[method-assign]
    api = await make_api(operations=replace(QUIET_OPERATIONS, stopped=stops))
    headers = {"Authorization": f"Bearer {api.staff.issue(Role.COURIER, 'c1')}"}
    path = f"/api/deliveries/{ids.order_id('guest', 'k')}/assign"
    async with api.client.get(path, headers=headers) as response:
        answer = await response.json()
    assert (answer["orders"], answer["incomplete"]) == ([], [])
