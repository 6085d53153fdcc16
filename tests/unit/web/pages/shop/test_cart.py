"""The cart in its cookie."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from web.api.schemas import MAX_QUANTITY
from web.catalogue import load_catalogue
from web.pages.shop.cart import (
    COOKIE,
    Cart,
    cart_of,
    with_prices,
)

CATALOGUE = load_catalogue()


def request_with(cookie: str) -> Any:
    return cast(Any, SimpleNamespace(cookies={COOKIE: cookie}))


changes = st.lists(
    st.tuples(
        st.sampled_from([place.id for place in CATALOGUE.restaurants.values()]),
        st.integers(0, 11),
        st.sampled_from([1, 1, 1, -1, -MAX_QUANTITY]),
    ),
    max_size=30,
)


@given(changes)
def test_a_cart_is_what_its_cookie_says(taps: list[tuple[str, int, int]]) -> None:
    cart, keys = Cart(), set()
    for restaurant_id, dish, by in taps:
        dish_id = CATALOGUE.restaurants[restaurant_id].dishes[dish].id
        cart = cart.changed(restaurant_id, dish_id, by)
        assert cart.key not in keys  # another cart is another order
        keys.add(cart.key)
        assert all(0 < count <= MAX_QUANTITY for count in cart.quantities.values())
    read = cart_of(request_with(cart.text()))
    assert dict(read.quantities) == dict(cart.quantities)
    priced = with_prices(CATALOGUE, read)
    assert priced.total == sum(line.dish.price * line.quantity for line in priced.lines)
    if cart.quantities:
        assert (read.key, read.restaurant_id) == (cart.key, cart.restaurant_id)
        renewed = with_prices(CATALOGUE, read.renewed())
        assert renewed.cart.key != read.key
        assert renewed.fingerprint == priced.fingerprint


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.hex())))
def test_a_cookie_of_somebody_elses_making_is_an_empty_cart(cookie: str) -> None:
    assert cart_of(request_with(cookie)) == Cart()


def test_a_dish_off_the_menu_leaves_the_cart() -> None:
    cart = Cart("hinode-kyoto", {"shoyu-ramen": 2, "gone": 1}, "k")
    priced = with_prices(CATALOGUE, cart)
    assert [line.dish.id for line in priced.lines] == ["shoyu-ramen"]
    assert not with_prices(CATALOGUE, Cart("gone", {"shoyu-ramen": 1}, "k")).lines
