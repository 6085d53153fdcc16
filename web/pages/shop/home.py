"""The shop's first page, with the orders that the browser's cookies open; their owners say how they are."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models.order import OrderRecord
from models.times import to_rfc3339
from tables import NotOwnerError
from web.http import auth
from web.http.context import CONTEXT, ORDERS, Context
from web.pages.interim import scatter_gather
from web.pages.render import render
from web.pages.shop.cart import priced_cart

OWNERS_TIMEOUT_S: Final = 1.0
"""How long the first page waits for other workers; what did not come is shown without its state."""


async def show_restaurants(request: web.Request) -> web.StreamResponse:
    """All restaurants, and above them the browser's orders; makes a browser a guest."""
    context = request.app[CONTEXT]
    known = auth.orders_in_cookies(request, context.deps)
    if not known:
        return _page(request, [])
    table = context.tables[ORDERS]

    async def share(partition: int) -> Any:
        if partition not in table.open_partitions():
            raise NotOwnerError(ORDERS)
        mine = [order_id for order_id in known if table.partition_of(order_id) == partition]
        return [shown for order_id in mine if (shown := _order_row(context, order_id))]

    def merged(shares: Mapping[int, Any], _: tuple[int, ...]) -> web.Response:
        found = {row["orderId"]: row for rows in shares.values() for row in rows}
        unknown = {"status": "", "restaurant": "", "since": ""}
        return _page(
            request, [{**unknown, **found.get(each, {}), "orderId": each} for each in known]
        )

    concerned = {table.partition_of(order_id) for order_id in known}
    return await scatter_gather(
        request, ORDERS, share, merged, only=concerned, within_s=OWNERS_TIMEOUT_S
    )


def _order_row(context: Context, order_id: str) -> dict[str, str] | None:
    record = context.record(ORDERS, order_id)
    if record is None or not isinstance(record.state, OrderRecord):
        return None
    placed = record.state.placed
    since_ms = placed.placed_at if placed else record.state.work.occurred_at
    return {
        "orderId": order_id,
        "status": record.state.status_shown,
        "restaurant": placed.restaurant_name if placed else "",
        "since": to_rfc3339(since_ms),
    }


def _page(request: web.Request, yours: list[dict[str, str]]) -> web.Response:
    deps = request.app[CONTEXT].deps
    response = render(
        request,
        "restaurants.html",
        restaurants=tuple(deps.catalogue.restaurants.values()),
        priced=priced_cart(request),
        yours=yours,
    )
    auth.set_guest_cookie(request, response, deps, auth.new_guest())
    return response
