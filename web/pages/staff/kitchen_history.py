"""A kitchen's past: the orders of a day that have ended, and the ticket of one order."""

from datetime import date, timedelta
from typing import Final

from aiohttp import web

from models.graphs import ORDER_PATH
from models.order import OrderRecord
from models.times import to_rfc3339
from web.api.kitchen_history import (
    REJECTED,
    TIMED_OUT,
    KitchenHistory,
    history_row,
)
from web.api.takings import DayTakingsView
from web.http.answers import as_json
from web.http.context import ORDERS, state_of
from web.http.route import AnyCall
from web.pages.render import render

HISTORY: Final = "/kitchen/history"
STATUS_TEXTS: Final = {
    "DELIVERED": "Delivered", "CANCELLED": "Cancelled", "REFUNDED": "Cancelled and refunded",
    REJECTED: "Rejected", TIMED_OUT: "Not accepted in time",
}  # fmt: skip
"""How an order ended, for a kitchen."""
STATUS_TONES: Final = {"DELIVERED": "good", REJECTED: "bad", TIMED_OUT: "bad"}


def show_history(call: AnyCall, history: KitchenHistory) -> web.Response:
    """A day's orders that have ended, the latest first."""
    restaurants, day = call.context.deps.catalogue.restaurants, date.fromisoformat(history.day)
    query, url = call.request.query, call.request.rel_url
    wanted = call.identity.restaurant_id or query.get("restaurantId", "")
    kept = {name: query[name] for name in ("restaurantId", "limit") if name in query}

    def address(**more: str) -> str:
        return str(url.with_query({**kept, **more}))

    return render(
        call.request, "kitchen_history.html", found=as_json(history), identity=call.identity,
        restaurant=restaurants.get(wanted), restaurants=restaurants, statuses=STATUS_TEXTS,
        tones=STATUS_TONES, is_first_page="before" not in query,
        day=day, is_today="day" not in query,
        earlier=address(day=(day - timedelta(days=1)).isoformat()), today=address(),
        older=address(day=history.day, before=history.next) if history.next else "",
    )  # fmt: skip


def show_takings(call: AnyCall, takings: DayTakingsView) -> web.Response:
    """A day's takings alone, which the board puts into itself."""
    return render(call.request, "kitchen_takings.html", takings=as_json(takings))


def show_ticket(call: AnyCall) -> web.Response:
    """One order as its kitchen had it; one that no kitchen was shown leads to the history."""
    record = state_of(call.context.record(ORDERS, call.order_id), OrderRecord)
    row, placed = history_row(record), record.placed
    if row is None or record.order is None:
        return web.Response(status=303, headers={"Location": HISTORY})
    reached = record.order.reached
    times = [(status, to_rfc3339(reached[status])) for status in ORDER_PATH if status in reached]
    return render(
        call.request, "kitchen_ticket.html", row=row, identity=call.identity, times=times,
        has_ended=record.has_ended, status_text=STATUS_TEXTS.get(row.status, ""),
        restaurant=call.context.deps.catalogue.restaurants.get(row.restaurant_id),
        tone=STATUS_TONES.get(row.status, ""), notes=placed.notes if placed else None,
        allergies=placed.allergies if placed else None,
    )  # fmt: skip
