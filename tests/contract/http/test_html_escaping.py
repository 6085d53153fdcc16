"""What a customer writes is text on every page that shows it, never markup."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.http_api import CART, Api
from web.http.tokens import Role

EVIL = """"'><img src=x onerror=alert(1)></script><script>alert(2)</script>{{7*7}}"""


def cart() -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(CART)
    body["contact"]["name"] = EVIL
    body["contact"]["email"] = "\"'><img/src=x>@example.com"
    body["address"] = {"line1": EVIL, "line2": EVIL, "city": EVIL, "postalCode": "<b>1</b>"}
    return body


@pytest.mark.parametrize("is_paid", [False, True])
async def test_a_customers_words_are_text(api: Api, is_paid: bool) -> None:
    status, order, _ = await api.post("/api/payments/create-intent", cart())
    assert status == 201, order
    if is_paid:
        assert (await api.confirm(order))[0] == 200
    order_id = order["orderId"]
    kitchen = api.staff.issue(Role.KITCHEN, "k", CART["restaurantId"])
    pages = {
        f"/orders/{order_id}": order["orderToken"],
        f"/orders/{order_id}/live": order["orderToken"],
        f"/orders/{order_id}/pay": order["orderToken"],
        f"/orders/{order_id}/cancel": order["orderToken"],
        f"/ops/orders/{order_id}": api.operator,
        f"/ops/search?q={order_id}": api.operator,
        "/ops/orders": api.operator,
        "/kitchen": kitchen,
    }
    shown = 0
    for path, token in pages.items():
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        async with api.client.get(path, headers=headers) as response:
            text = await response.text()
            assert response.status < 500, path
        for markup in ("<img", "onerror=alert(1)>", "<script>alert", "<b>1</b>", "<img/src"):
            assert markup not in text, path
        shown += "&lt;img src=x onerror=alert(1)&gt;" in text
    assert shown, "some page does show it"


@pytest.mark.parametrize(
    "path",
    [
        "/ops/payments?restaurant=%3C/script%3E%3Cimg%20src=x%3E",
        "/ops/payments?by=%22%3E%3Cimg%20src=x%3E",
        "/ops/search?q=%22%3E%3Cimg%20src=x%3E",
        "/ops/orders?state=%22%3E%3Cimg%20src=x%3E",
        "/ops/refunds?state=%22%3E%3Cimg%20src=x%3E",
        "/ops/audit?before=%22%3E%3Cimg%20src=x%3E",
        "/ops/orders/%22%3E%3Cimg%20src=x%3E",
        "/ops/dead-letters/%22%3E%3Cimg%20src=x%3E",
        "/login?next=%22%3E%3Cimg%20src=x%3E",
        "/login?next=/ops%22%3E%3Cimg%20src=x%3E",
        "/checkout?back=%22%3E%3Cimg%20src=x%3E",
        "/restaurants/%22%3E%3Cimg%20src=x%3E",
        "/%22%3E%3Cimg%20src=x%3E",
    ],
)
async def test_an_address_is_text(api: Api, path: str) -> None:
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    async with api.client.get(path, headers=headers) as response:
        assert response.status < 500
        assert "<img src=x>" not in await response.text()
