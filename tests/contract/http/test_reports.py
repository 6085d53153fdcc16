"""The report's parameters, who may ask, and what is said when not every worker answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agents.analytics import ANALYTICS
from models import ids
from models.analytics import BucketLength, Sum, dump_row, row_key
from models.dead_letter import DeadLetter, DeadLetterState, RecordLocation
from tests.support.http_api import Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend, PartitionedTable
from tests.support.operations import QUIET_OPERATIONS
from web.http.scatter_gather import PARTITIONS
from web.http.tokens import Role

PATH = "/api/reports/payments"
DAY = "20250301"
RANGE = "from=2025-03-01&to=2025-03-02&by=day"


def world_of(**table: Any) -> InMemoryBackend:
    """One payment of 10.00 in each partition."""
    world = InMemoryBackend()
    analytics = PartitionedTable(ANALYTICS, "analytics", **table)
    sums = Counter({Sum.INITIATED: 1, Sum.CONVERTED: 1, Sum.CAPTURED: 1000})
    analytics.stored_rows[row_key(BucketLength.DAY, DAY, "USD", "petra-amman")] = dump_row(0, sums)
    world.tables["analytics"] = analytics
    return world


async def report(api: Api, query: str = RANGE, **headers: str) -> Any:
    status, answer = await api.get(f"{PATH}?{query}", api.operator, **headers)
    assert status == 200, answer
    return answer


async def test_partitions_are_added_up(make_api: MakeApi) -> None:
    answer = await report(await make_api(world_of()))
    (total,) = answer["totals"]
    assert (total["initiated"], total["conversion"], answer["incomplete"]) == (3, 1.0, [])
    assert total["revenue"] == {"amount": 3000, "currency": "USD", "display": "30.00"}
    assert answer["buckets"] == [{**total, "start": "2025-03-01T00:00:00.000Z"}]
    assert answer["restaurants"] == [{**total, "restaurantId": "petra-amman"}]


async def test_every_worker_is_asked_for_its_own(make_api: MakeApi) -> None:
    other = await make_api(world_of(mine=(1, 2)))
    there = other.client.make_url("/")
    api = await make_api(world_of(mine=(0,), owners={1: there, 2: there}))
    answer = await report(api)
    assert (answer["totals"][0]["initiated"], answer["incomplete"]) == (3, [])


@pytest.mark.parametrize("answers", ["503", "for another", "no shares", "there is no owner"])
async def test_partitions_that_nobody_answers_for_are_named(
    make_api: MakeApi, answers: str
) -> None:
    async def other(_: web.Request) -> web.Response:
        if answers == "503":
            raise web.HTTPServiceUnavailable
        if answers == "no shares":
            return web.Response(text="<html>")
        return web.json_response({"2": {"buckets": {}, "restaurants": {}, "quarantined": []}})

    app = web.Application()
    app.router.add_get(PATH, other)
    async with TestServer(app) as server:
        there = server.make_url("/")
        owners = {} if answers == "there is no owner" else {1: there}
        api = await make_api(world_of(mine=(0, 2), opening=(2,), owners=owners))
        answer = await report(api)
        assert (answer["totals"][0]["initiated"], answer["incomplete"]) == (1, [1, 2])
        url, headers = f"{PATH}?{RANGE}&format=csv", {"Authorization": f"Bearer {api.operator}"}
        async with api.client.get(url, headers=headers) as response:
            assert response.headers["Tiffin-Incomplete"] == "1,2"
            assert (await response.text()).splitlines()[1].endswith(",1 2,0")


async def test_worker_answers_only_for_what_it_is_asked(make_api: MakeApi) -> None:
    api = await make_api(world_of(mine=(0, 1)))
    assert (await report(api, **{PARTITIONS: "1,2"})).keys() == {"1"}
    status, problem = await api.get(f"{PATH}?{RANGE}", api.operator, **{PARTITIONS: "7"})
    assert (status, problem["errors"][0]["field"]) == (400, PARTITIONS)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=week", "by"),
        ("from=yesterday", "from"),
        ("from=2025-03-01T10:00:00", "from"),
        ("from=2025-03-02&to=2025-03-01", "from"),
        ("from=2025-03-01&to=2025-03-03&by=minute", "from"),
        ("from=2024-01-01&to=2025-03-01&by=day", "from"),
        ("to=9999-12-31", "to"),
        ("currency=usd", "currency"),
        ("restaurant=", "restaurant"),
        ("format=xml", "format"),
        ("curency=USD", "curency"),
        ("by=day&by=hour", "by"),
    ],
)
async def test_wrong_parameters_are_named(make_api: MakeApi, query: str, field: str) -> None:
    api = await make_api(world_of())
    status, problem = await api.get(f"{PATH}?{query}", api.operator)
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert field in {error["field"] for error in problem["errors"]}


async def test_without_parameters_it_is_the_last_day_by_hours(make_api: MakeApi) -> None:
    answer = await report(await make_api(world_of()), "")
    assert answer["by"] == "hour"
    assert answer["from"] < answer["to"]


async def test_only_operators_see_it(make_api: MakeApi) -> None:
    api = await make_api(world_of())
    order = await api.order()
    kitchen = api.staff.issue(Role.KITCHEN, "k", "petra-amman")
    for token, expected in ((None, 401), (order["orderToken"], 403), (kitchen, 403)):
        status, _ = await api.get(f"{PATH}?{RANGE}", token)
        assert status == expected


def letter(service: str, order_id: str, dead_lettered_ms: int, **more: Any) -> DeadLetter:
    """A dead letter of a quarantined order."""
    given: dict[str, Any] = {"since_ms": dead_lettered_ms, "number": 1, **more}
    return DeadLetter(
        name=f"dl_{service}_{order_id}", first_offset=1, offset=1, key=order_id.encode(),
        service=service, origins=[RecordLocation("payment-events", 0, 1)], error="E", message="m",
        dead_lettered_ms=dead_lettered_ms, **given,
    )  # fmt: skip


@dataclass
class Letters:
    """Dead letters that are there."""

    found: list[DeadLetter]
    left_out: int = 0

    def all(self) -> list[DeadLetter]:
        return self.found


async def test_quarantined_orders_are_named_whose_counts_may_be_missing(make_api: MakeApi) -> None:
    ids_ = [ids.order_id("guest", f"quarantine {number}") for number in range(4)]
    letters: Any = Letters(
        [
            letter("analytics", ids_[0], 2000),
            letter("analytics", ids_[0], 2000, state=DeadLetterState.OPEN),
            letter("analytics", ids_[1], 1000, state=DeadLetterState.REDRIVEN),
            letter("analytics", ids_[2], 1000, number=0),  # it died alone: its order goes on
            letter("timeline", ids_[3], 1000),  # counts nothing
        ]
    )
    api = await make_api(world_of(), operations=replace(QUIET_OPERATIONS, dead_letters=letters))
    order_id = (await api.order())["orderId"]
    api.world.quarantine("payments", order_id)
    stored = api.world.tables["payments"].records[order_id]
    api.deps.waiting.of("payments").updated(0, order_id, stored)
    answer = await report(api)
    named = [(row["orderId"], row["service"]) for row in answer["quarantined"]]
    assert named == [(order_id, "payments"), (ids_[0], "analytics")]
    assert (answer["quarantinedTotal"], answer["uncounted"]) == (2, 1)
    url, headers = f"{PATH}?{RANGE}&format=csv", {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get(url, headers=headers) as response:
        assert response.headers["Tiffin-Quarantined"] == f"{order_id},{ids_[0]}"
        assert response.headers["Tiffin-Uncounted"] == "1"
        head, line = (await response.text()).splitlines()
        assert (head.rsplit(",", 1)[1], line.rsplit(",", 1)[1]) == ("quarantined", "2")
    async with api.client.get(f"/ops/payments?{RANGE}", headers=headers) as response:
        text = await response.text()
        assert "2 orders are quarantined" in text
        assert "1 record could not be counted" in text
        assert f"/ops/orders/{ids_[0]}" in text


async def test_without_quarantine_nothing_is_said_of_it(make_api: MakeApi) -> None:
    api = await make_api(world_of())
    answer = await report(api)
    assert (answer["quarantined"], answer["quarantinedTotal"]) == ([], 0)
    url, headers = f"{PATH}?{RANGE}&format=csv", {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get(url, headers=headers) as response:
        assert "Tiffin-Quarantined" not in response.headers
    async with api.client.get(f"/ops/payments?{RANGE}", headers=headers) as response:
        assert "quarantined" not in (await response.text()).replace('"quarantined', "")
