"""The same order once more: its dishes in the cart, at today's prices."""

import uuid

from aiohttp import web

from models.order import OrderRecord
from web.api.schemas import MAX_QUANTITY
from web.http.context import ORDERS, state_of
from web.http.route import AnyCall
from web.pages.render import render
from web.pages.shop.cart import Cart, PricedCart, keep_cart, priced_cart, with_prices


def order_again(call: AnyCall) -> web.Response:
    """Put what is still on the menu into the cart, in place of what was there, and lead to the checkout.

    Where that would replace other dishes, leads to the page that asks first, until its form says `replace`.
    Where nothing is left of the order, leads to the restaurants.
    """
    again = _priced_again(call)
    if not again.lines:
        return _to("/")
    if _replaces(priced_cart(call.request), again) and call.fields.get("replace") != "yes":
        return _to(f"/orders/{call.order_id}/again")
    response = _to("/checkout")
    keep_cart(response, call.context.deps, again.cart)
    return response


def ask_to_replace(call: AnyCall) -> web.Response:
    """Ask before the cart is given up for the dishes of an earlier order."""
    held, again = priced_cart(call.request), _priced_again(call)
    if not again.lines or not _replaces(held, again):
        return _to(f"/orders/{call.order_id}")
    return render(
        call.request, "reorder_replace.html", priced=held, again=again, order_id=call.order_id
    )


def _priced_again(call: AnyCall) -> PricedCart:
    """What is still on the menu of an order, as a cart of its own; an empty one when nothing is."""
    placed = state_of(call.context.record(ORDERS, call.order_id), OrderRecord).placed
    if placed is None:
        return PricedCart()
    catalogue = call.context.deps.catalogue
    ordered = {item.dish_id: min(item.quantity, MAX_QUANTITY) for item in placed.items}
    left = with_prices(catalogue, Cart(placed.restaurant_id, ordered))
    quantities = {line.dish.id: line.quantity for line in left.lines}
    return with_prices(catalogue, Cart(placed.restaurant_id, quantities, str(uuid.uuid4())))


def _replaces(held: PricedCart, again: PricedCart) -> bool:
    """Whether dishes of a cart would be lost: another restaurant's, or others of the same one."""
    if held.cart.restaurant_id != again.cart.restaurant_id:
        return bool(held.lines)
    wanted = again.cart.quantities
    return any(line.quantity > wanted.get(line.dish.id, 0) for line in held.lines)


def _to(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})
