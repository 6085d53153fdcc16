"""What a customer tells the kitchen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.http_api import CART, Api
from web.http.tokens import Role

HTML = {"Accept": "text/html"}
TOLD = {"notes": "No onions, please", "allergies": "peanuts <b>"}


async def place(api: Api, **told: Any) -> dict[str, Any]:
    status, order, _ = await api.post("/api/payments/create-intent", CART | told)
    assert status == 201, order
    status, answer = await api.confirm(order)
    assert (status, answer["status"]) == (200, "COMPLETED"), answer
    return dict(order)


async def test_the_kitchen_reads_notes_and_allergies_and_no_event_has_them(api: Api) -> None:
    order = await place(api, **TOLD)
    kitchen = api.staff.issue(Role.KITCHEN, "k", "annapurna-bengaluru")
    _, found = await api.get("/api/kitchen/orders", kitchen)
    (shown,) = found["orders"]
    assert {name: shown[name] for name in TOLD} == TOLD
    headers = HTML | {"Authorization": f"Bearer {kitchen}"}
    async with api.client.get("/kitchen", headers=headers) as page:
        text = await page.text()
    assert "No onions, please" in text
    assert "peanuts &lt;b&gt;" in text
    # What the services make of the orders' events, and the order's timeline, hold nothing of it.
    _, timeline = await api.get(f"/api/orders/{order['orderId']}/timeline", api.operator)
    held = [repr((table.records, table.stored_rows)) for name, table in api.world.tables.items()
            if name != "orders"]  # fmt: skip
    for text in (repr(timeline), *held):
        assert "onions" not in text
        assert "peanuts" not in text


@pytest.mark.parametrize("text", ["", "x" * 301, "two\nlines"])
async def test_they_are_one_line_of_bounded_length(api: Api, text: str) -> None:
    status, answer, _ = await api.post("/api/payments/create-intent", CART | {"notes": text})
    assert status == 400
    assert answer["errors"][0]["field"] == "notes"
