"""The same order once more: its dishes in the cart, and the question before others are given up for them."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.support.http_api import HTML, Api
from web.pages.shop.cart import COOKIE, Cart, cart_of

KITCHEN, DISH = "annapurna-bengaluru", "family-thali"
KEY = "00000000-0000-4000-8000-000000000000"
LOST = [
    Cart("hinode-kyoto", {"shoyu-ramen": 1}, KEY),
    Cart(KITCHEN, {"masala-dosa": 1}, KEY),
    Cart(KITCHEN, {DISH: 3}, KEY),
]
KEPT = [
    Cart(KITCHEN, {DISH: 1}, KEY),
    Cart("hinode-kyoto", {"off the menu": 1}, KEY),
]


class Browser:
    """A customer's, with an order of two family thalis and a cart."""

    def __init__(self, api: Api, order: dict[str, str], cart: Cart | None = None) -> None:
        self._client, self.order = api.client, f"/orders/{order['orderId']}"
        name = "tiffin_order_" + order["orderId"].removeprefix("order_")
        cookies = {name: order["orderToken"]} | ({COOKIE: cart.text()} if cart else {})
        self._headers = HTML | {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}

    async def again(self, form: dict[str, str] | None = None) -> tuple[str, Cart]:
        """Press the button; gives where it leads to, and the cart that is kept."""
        headers = self._headers | {"Content-Type": "application/x-www-form-urlencoded"}
        async with self._client.post(
            f"{self.order}/again",
            headers=headers,
            data=urlencode(form or {}),
            allow_redirects=False,
        ) as answer:
            assert answer.status == 303
            kept = {name: morsel.value for name, morsel in answer.cookies.items()}
        return answer.headers["Location"], cart_of(type("Request", (), {"cookies": kept})())

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, text and where it leads to."""
        async with self._client.get(path, headers=self._headers, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")


@pytest.mark.parametrize("cart", [None, *KEPT])
async def test_the_orders_dishes_come_into_a_cart_that_loses_nothing(
    api: Api, cart: Cart | None
) -> None:
    browser = Browser(api, await api.paid(), cart)
    location, kept = await browser.again()
    assert location == "/checkout"
    assert (kept.restaurant_id, kept.quantities) == (KITCHEN, {DISH: 2})
    assert kept.key not in {"", KEY}, "it becomes another order"
    status, _, leads_to = await browser.get(f"{browser.order}/again")
    assert (status, leads_to) == (303, browser.order), "there is nothing to ask"


@pytest.mark.parametrize("cart", LOST)
async def test_other_dishes_are_given_up_only_when_asked(api: Api, cart: Cart) -> None:
    browser = Browser(api, await api.paid(), cart)
    location, kept = await browser.again()
    assert (location, kept) == (f"{browser.order}/again", Cart()), "the cart is left as it is"
    status, text, _ = await browser.get(location)
    assert status == 200
    assert "Start a new cart?" in text
    assert 'name="replace" value="yes"' in text
    location, kept = await browser.again({"replace": "yes"})
    assert (location, kept.quantities) == ("/checkout", {DISH: 2})


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_it_is_somebodys_order(api: Api, method: str) -> None:
    order = await api.paid()
    path = f"/orders/{order['orderId']}/again"
    async with api.client.request(method, path, headers=HTML, allow_redirects=False) as answer:
        assert answer.status in {401, 403}
