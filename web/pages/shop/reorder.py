"""The same order once more: its dishes in the cart, at today's prices."""

import uuid

from aiohttp import web

from models.order import OrderRecord, Placed
from web.api.schemas import MAX_QUANTITY
from web.http.context import ORDERS, state_of
from web.http.route import AnyCall
from web.pages.shop.cart import Cart, keep_cart, with_prices


def order_again(call: AnyCall) -> web.Response:
    """Put what is still on the menu into the cart, in place of what was there, and lead to the checkout.

    Where nothing is left of it, leads to the restaurants.
    """
    deps = call.context.deps
    placed = state_of(call.context.record(ORDERS, call.order_id), OrderRecord).placed
    priced = with_prices(deps.catalogue, _cart(placed)) if placed else None
    if priced is None or not priced.lines:
        return web.Response(status=303, headers={"Location": "/"})
    response = web.Response(status=303, headers={"Location": "/checkout"})
    left = {line.dish.id: line.quantity for line in priced.lines}
    keep_cart(response, deps, Cart(priced.cart.restaurant_id, left, priced.cart.key))
    return response


def _cart(placed: Placed) -> Cart:
    quantities = {item.dish_id: min(item.quantity, MAX_QUANTITY) for item in placed.items}
    return Cart(placed.restaurant_id, quantities, str(uuid.uuid4()))
