"""Money of unusual currencies over HTTP: from a menu's price to Stripe's amount, to pages and refunds."""

from __future__ import annotations

import uuid
from html import unescape
from typing import Any

import pytest

from models.commands import CommandType
from tests.support.http_api import CART, HTML, Api, MakeApi
from web.catalogue import Catalogue, Dish, Restaurant
from web.pages.shop.cart import COOKIE, Cart, with_prices

CREATE = "/api/payments/create-intent"
UGX = Restaurant(
    id="rolex-kampala", name="Rolex", cuisine="Street food", city="Kampala", currency="UGX",
    dishes=(Dish(id="rolex", name="Rolex", price=2_500_000), Dish(id="tea", name="Tea", price=100)),
)  # fmt: skip
KRW = Restaurant(
    id="bunsik-seoul", name="Bunsik", cuisine="Snacks", city="Seoul", currency="KRW",
    dishes=(Dish(id="gum", name="Gum", price=40), Dish(id="soup", name="Soup", price=9000)),
)  # fmt: skip
PLACES = {place.id: place for place in (UGX, KRW)}


def order_of(place: Restaurant, dish: str, quantity: int = 1) -> dict[str, Any]:
    items = [{"dishId": dish, "quantity": quantity}]
    return {**CART, "restaurantId": place.id, "items": items}


@pytest.fixture
async def shop(make_api: MakeApi) -> Api:
    return await make_api(catalogue=Catalogue(PLACES))


async def test_shillings_reach_stripe_as_hundredths_and_are_shown_whole(shop: Api) -> None:
    status, answer, _ = await shop.post(CREATE, order_of(UGX, "rolex"))
    assert status == 201, answer
    assert answer["amount"] == {"amount": 2_500_000, "currency": "UGX", "display": "25000"}
    assert shop.world.stripes[answer["orderId"]].intent["amount"] == 2_500_000
    _, menu = await shop.get("/api/restaurants/rolex-kampala/menu")
    assert [dish["price"]["display"] for dish in menu["dishes"]] == ["25000", "1"]
    async with shop.client.get("/restaurants/rolex-kampala", headers=HTML) as page:
        assert "UGX\u00a025,000" in unescape(await page.text())


async def test_shillings_are_refunded_in_steps_of_a_hundred(shop: Api) -> None:
    _, order, _ = await shop.post(CREATE, order_of(UGX, "rolex"))
    status, _ = await shop.confirm(order)
    assert status == 200
    path = f"/api/payments/{order['orderId']}/refunds"
    status, problem, _ = await shop.post(path, {"amount": 150}, token=shop.operator)
    assert (status, problem["code"]) == (400, "REFUND_UNEVEN")
    assert "multiples of 100" in problem["detail"]
    status, answer, _ = await shop.post(path, {"amount": 150_000}, token=shop.operator)
    assert status == 201, answer
    assert answer["refund"]["amount"] == {"amount": 150_000, "currency": "UGX", "display": "1500"}
    sent = [c for c in shop.world.commands if c.command_type is CommandType.REFUND_PAYMENT]
    assert [command.data.amount for command in sent] == [150, 150_000]


async def test_a_refund_on_the_page_is_typed_in_whole_shillings(shop: Api) -> None:
    _, order, _ = await shop.post(CREATE, order_of(UGX, "rolex"))
    await shop.confirm(order)
    path = f"/ops/orders/{order['orderId']}/refund"
    cookie = {**HTML, "Cookie": f"tiffin_staff={shop.operator}"}
    async with shop.client.get(path, headers=cookie) as page:
        text = await page.text()
    assert "Amount in UGX in steps of 1" in text
    for amount, status in (("15.00", 200), ("30,000", 200), ("15,000", 303)):
        async with shop.client.post(
            f"{path}?key={uuid.uuid4()}", data={"reason": "QUALITY", "amount": amount},
            headers=cookie, allow_redirects=False,
        ) as answer:  # fmt: skip
            assert answer.status == status, amount
    (sent,) = [c for c in shop.world.commands if c.command_type is CommandType.REFUND_PAYMENT]
    assert sent.data.amount == 1_500_000


async def test_won_below_stripes_minimum_are_refused_at_the_basket(shop: Api) -> None:
    status, problem, _ = await shop.post(CREATE, order_of(KRW, "gum"))
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert "accepted: 50 to 99999999 KRW" in problem["errors"][0]["message"]
    assert not shop.world.commands
    status, _, _ = await shop.post(CREATE, order_of(KRW, "gum", 2))
    assert status == 201


async def test_the_operators_minimum_holds_for_the_api_and_the_page(make_api: MakeApi) -> None:
    catalogue = Catalogue(PLACES, {"KRW": 700, "UGX": 200_000})
    shop = await make_api(catalogue=catalogue)
    _, problem, _ = await shop.post(CREATE, order_of(KRW, "gum", 17))
    assert "accepted: 700 to 99999999 KRW" in problem["errors"][0]["message"]
    _, problem, _ = await shop.post(CREATE, order_of(UGX, "tea"))
    assert "accepted: 2000 to 999999 UGX, in steps of 1" in problem["errors"][0]["message"]
    status, _, _ = await shop.post(CREATE, order_of(KRW, "gum", 18))
    assert status == 201
    packed = Cart("bunsik-seoul", {"gum": 17}, str(uuid.uuid4())).text()
    async with shop.client.get("/checkout", headers={"Cookie": f"{COOKIE}={packed}"}) as page:
        assert "The minimum order is ₩700: add ₩20 more." in unescape(await page.text())


@pytest.mark.parametrize(
    ("place", "dish", "quantity", "said"),
    [
        (UGX, "rolex", 40, ("UGX\u00a0999,999", "UGX\u00a01")),
        (KRW, "soup", 11_200, ("₩99,999,999", "₩800,001")),
    ],
)
def test_a_basket_above_the_currencys_maximum_is_told(
    place: Restaurant, dish: str, quantity: int, said: tuple[str, str]
) -> None:
    refusal = with_prices(Catalogue(PLACES), Cart(place.id, {dish: quantity}, "k")).refusal
    most, excess = said
    assert refusal == f"The most you can order at once is {most}: remove {excess}."
