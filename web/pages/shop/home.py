"""The shop's first page, with the orders that the browser's cookies open, and the menus."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models.order import OrderRecord
from models.times import to_rfc3339
from web.http import auth
from web.http.api_model import ApiModel
from web.http.context import ORDERS
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.http.scatter_gather import Gather
from web.pages.render import render
from web.pages.shop.cart import priced_cart

OWNERS_TIMEOUT_S: Final = 1.0
"""How long the first page waits for other workers; what did not come is shown without its state."""


class BrowserOrder(ApiModel):
    """An order that a cookie of the browser opens. since: RFC 3339. All "" where nobody answered for it."""

    order_id: str
    status: str = ""
    restaurant: str = ""
    since: str = ""


class ListBrowserOrders(Gather[list[BrowserOrder], list[BrowserOrder]]):
    """In the order of the browser's cookies; their owners say how they stand."""

    service, open_services, share_type = ORDERS, (ORDERS,), list[BrowserOrder]

    def __init__(self, call: AnyCall) -> None:
        super().__init__(call)
        self._known = auth.orders_in_cookies(call.request, call.context.deps)
        self._partition_of = call.context.tables[ORDERS].partition_of
        self.only = {self._partition_of(order_id) for order_id in self._known}
        self.within_s = OWNERS_TIMEOUT_S

    async def share(self, partition: int) -> list[BrowserOrder]:
        """Of an owned partition."""
        mine = [each for each in self._known if self._partition_of(each) == partition]
        return [shown for order_id in mine if (shown := self._shown(order_id))]

    async def merged(
        self, shares: Mapping[int, list[BrowserOrder]], _: tuple[int, ...]
    ) -> list[BrowserOrder]:
        """Those that nobody answered for, too."""
        found = {each.order_id: each for share in shares.values() for each in share}
        return [found.get(each) or BrowserOrder(order_id=each) for each in self._known]

    def _shown(self, order_id: str) -> BrowserOrder | None:
        record = self.context.record(ORDERS, order_id)
        if record is None or not isinstance(record.state, OrderRecord):
            return None
        placed = record.state.placed
        return BrowserOrder(
            order_id=order_id,
            status=record.state.status_shown,
            restaurant=placed.restaurant_name if placed else "",
            since=to_rfc3339(placed.placed_at if placed else record.state.work.occurred_at),
        )


def show_restaurants(call: AnyCall, yours: list[BrowserOrder]) -> web.Response:
    """All restaurants, and above them the browser's orders; makes a browser a guest."""
    deps = call.context.deps
    restaurants = tuple(deps.catalogue.restaurants.values())
    return _for_guest(call, "restaurants.html", restaurants=restaurants, yours=yours)


def show_menu(call: AnyCall) -> web.Response:
    """A restaurant's menu beside the cart; `?vegetarian=1` shows only such dishes."""
    restaurant = call.context.deps.catalogue.restaurants.get(call.id_of("restaurant_id"))
    if restaurant is None:
        raise ProblemError("RESTAURANT_UNKNOWN")
    only_vegetarian = call.request.query.get("vegetarian") == "1"
    dishes = [dish for dish in restaurant.dishes if dish.vegetarian or not only_vegetarian]
    shown = {"restaurant": restaurant, "dishes": dishes, "only_vegetarian": only_vegetarian}
    return _for_guest(call, "menu.html", **shown)


def _for_guest(call: AnyCall, template: str, **values: Any) -> web.Response:
    """A page beside the cart, for a browser that may not have been here before."""
    response = render(call.request, template, priced=priced_cart(call.request), **values)
    auth.set_guest_cookie(call.request, response, call.context.deps)
    return response
