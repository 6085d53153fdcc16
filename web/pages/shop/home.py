"""The shop's first page, with the orders that the browser's cookies open; their owners say how they stand."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from models.messages import Message
from models.order import OrderRecord
from models.times import to_rfc3339
from web.http import auth
from web.http.context import ORDERS
from web.http.route import AnyCall
from web.http.scatter_gather import Gather
from web.pages.render import render
from web.pages.shop.cart import priced_cart

OWNERS_TIMEOUT_S: Final = 1.0
"""How long the first page waits for other workers; what did not come is shown without its state."""


class BrowserOrder(Message):
    """An order that a cookie of the browser opens. since: RFC 3339. All "" where nobody answered for it."""

    order_id: str
    status: str = ""
    restaurant: str = ""
    since: str = ""


class ListBrowserOrders(Gather[list[BrowserOrder], list[BrowserOrder]]):
    """In the order of the browser's cookies."""

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
    response = render(
        call.request,
        "restaurants.html",
        restaurants=tuple(deps.catalogue.restaurants.values()),
        priced=priced_cart(call.request),
        yours=yours,
    )
    auth.set_guest_cookie(call.request, response, deps)
    return response
