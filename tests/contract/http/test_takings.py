"""A kitchen's takings of the day: what its restaurant's payments come to, on its board and in its history."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from agents.analytics import ANALYTICS
from agents.takings import TakingsPolicy, takings_service
from models.levels import OLDEST, LevelChange, LevelHistory
from tests.support.http_api import HTML, MakeApi
from tests.support.in_memory_backend import InMemoryBackend, InMemoryTable
from tests.support.staff_requests import RESTAURANT, kitchen, tap
from tests.support.waiting import until_true

ZONE = ZoneInfo("Asia/Kolkata")
UNKNOWN = "The day's takings are not available right now."


def takings_world() -> InMemoryBackend:
    """With the services that sum up takings."""
    world = InMemoryBackend()
    for service in (ANALYTICS, takings_service(TakingsPolicy({RESTAURANT: ZONE}))):
        world.tables[service.name] = InMemoryTable(service, service.name)
    return world


async def test_a_kitchen_sees_its_own(make_api: MakeApi) -> None:
    world = takings_world()
    api = await make_api(world, now_ms=lambda: world.now_ms)
    order, _ = await api.paid(), await api.paid()
    await tap(api, f"/api/orders/{order['orderId']}/reject", kitchen(api))
    await until_true(lambda: not world.tasks)

    async def page(path: str, token: str) -> tuple[int, str]:
        headers = HTML | {"Authorization": f"Bearer {token}"}
        async with api.client.get(path, headers=headers) as answer:
            return answer.status, unescape(await answer.text())

    for path in ("/kitchen/takings", "/kitchen/history"):
        status, text = await page(path, kitchen(api))
        assert status == 200
        assert text.index("₹5,000.00") < text.index("₹2,500.00", text.index("Refunded</dt>"))
        _, others = await page(path, kitchen(api, "hinode-kyoto"))
        assert "¥0" in others
        assert "₹" not in others
        _, yesterday = await page(f"{path}?day=2020-01-01", kitchen(api))
        assert "₹0.00" in yesterday
    assert (
        "₹5,000.00" in (await page(f"/kitchen/takings?restaurantId={RESTAURANT}", api.operator))[1]
    )
    assert (await page("/kitchen/takings", api.operator))[0] == 400
    assert "takings" not in (await page("/kitchen/history", api.operator))[1]


@pytest.mark.parametrize("why", ["elsewhere", "level"])
async def test_what_is_not_known_is_not_shown_as_nothing(make_api: MakeApi, why: str) -> None:
    world = takings_world()
    table = world.tables["takings"]
    if why == "elsewhere":
        world.tables["takings"] = replace(table, is_ours=False)
    else:
        table.levels = lambda: LevelHistory((LevelChange(OLDEST, 0),))
    api = await make_api(world)
    headers = HTML | {"Authorization": f"Bearer {kitchen(api)}"}
    for path in ("/kitchen/takings", "/kitchen/history"):
        async with api.client.get(path, headers=headers) as answer:
            assert answer.status == 200
            assert UNKNOWN in unescape(await answer.text())
