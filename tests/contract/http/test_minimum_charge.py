"""A basket whose sum Stripe would refuse: the page says what is missing, in its own words."""

from __future__ import annotations

import re
import uuid
from html import unescape

from tests.support.http_api import Api
from web.catalogue import Catalogue, Dish, Restaurant
from web.pages.shop.cart import COOKIE, Cart, with_prices

DETAILS = {
    "line1": "12 MG Road", "city": "Brooklyn", "postal_code": "11201", "name": "Asha Rao",
    "email": "asha@example.com", "phone": "+1 718 555 0100",
}  # fmt: skip
CHEAP = {"dipping-sauce": 1}
"""45 cents; Stripe charges 50 at least."""


async def page(
    api: Api, path: str, dishes: dict[str, int], *, form: bool = False
) -> tuple[int, str]:
    cart = Cart("blue-door-brooklyn", dishes, str(uuid.uuid4()))
    headers = {"Cookie": f"{COOKIE}={cart.text()}"}
    async with api.client.get("/checkout", headers=headers) as shown:
        text = await shown.text()
    if form:
        found = re.search(r'id="cart-print" value="([^"]+)"', text)
        assert found is not None
        async with api.client.post(
            path, data={**DETAILS, "cart": found[1]}, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, unescape(await answer.text())
    async with api.client.get(path, headers=headers) as answer:
        return answer.status, unescape(await answer.text())


async def test_a_basket_that_is_too_cheap_is_told_the_minimum_and_what_is_missing(api: Api) -> None:
    words = "The minimum order is $0.50: add $0.05 more."
    for path in ("/checkout", "/restaurants/blue-door-brooklyn"):
        status, text = await page(api, path, CHEAP)
        assert status == 200
        assert words in text, path
    status, text = await page(api, "/checkout", CHEAP, form=True)
    alert = text.partition('role="alert"')[2].partition("</div>")[0]
    assert words in alert
    for word in ("accepted:", "items", "can't be charged"):
        assert word not in alert, "the API's words"
    _, text = await page(api, "/checkout", {"dipping-sauce": 2})
    assert "The minimum order" not in text


def test_a_basket_that_is_too_dear_is_told_the_maximum() -> None:
    dish = Dish(id="whole-ox", name="Whole ox", price=60_000_000)
    place = Restaurant(
        id="farm", name="Farm", cuisine="Roast", city="Bristol", currency="GBP", dishes=(dish,)
    )
    catalogue = Catalogue({"farm": place})
    assert with_prices(catalogue, Cart("farm", {"whole-ox": 1}, "k")).refusal == ""
    refusal = with_prices(catalogue, Cart("farm", {"whole-ox": 2}, "k")).refusal
    assert refusal == "The most you can order at once is £999,999.99: remove £200,000.01."
