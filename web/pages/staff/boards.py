"""The kitchen's and the couriers' boards: the API's lists with the next step beside each row."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from models import ids
from models.errors import UnavailableError
from models.graphs import OrderStatus
from models.times import from_rfc3339
from web.api.deliveries import DeliveryRows, ShowCourierCapacity
from web.api.kitchen import KitchenOrders
from web.http.answers import Accepted, as_json
from web.http.problems import CODES, ProblemError
from web.http.route import AnyCall, Renderer
from web.http.scatter_gather import PARTITIONS
from web.http.tokens import Role
from web.pages.render import render

O = OrderStatus  # noqa: E741 - as in models/graphs.py

LATE_AFTER_S: Final = {O.PENDING: 180, O.CONFIRMED: 300, O.PREPARING: 1500, O.READY_FOR_PICKUP: 600}
"""After how long in a state an order is shown as waiting too long."""

COLUMNS: Final = (
    ("New", (O.PENDING,), "No new orders. They appear here as soon as they are paid."),
    (
        "Preparing",
        (O.CONFIRMED, O.PREPARING),
        "Nothing is being prepared. Accept a new order to start.",
    ),
    (
        "Ready",
        (O.READY_FOR_PICKUP,),
        "Nothing is waiting for a courier. Mark an order as ready to move it here.",
    ),
)
BUTTONS: Final = {"accept": "Accept", "start-preparing": "Start cooking", "ready": "Mark as ready"}
REJECT_REASONS: Final = {
    "TOO_BUSY": "Too busy", "OUT_OF_STOCK": "Out of stock", "CLOSED": "Closed", "OTHER": "Other",
}  # fmt: skip

REFUSAL_TEXTS: Final = {
    "NOT_ALLOWED_NOW": "Someone else got there first: this order has moved on. The board is up to date.",
    "DELIVERY_CODE_WRONG": "That is not the customer's code. Ask for it again, or hand over without it.",
    "DELIVERY_CODE_LOCKED": "The code was wrong too often. Hand over without it.",
    "COURIER_BUSY": "You already have as many deliveries as you can take. Deliver one first.",
}
TRY_AGAIN_TEXT: Final = (
    "That did not go through because part of the system is restarting. Tap again in a moment."
)
LATER: Final = "later"
PENDING_TEXT: Final = (
    "This is taking a little longer than usual. The board will update when it is done."
)


def show_kitchen(call: AnyCall, orders: KitchenOrders) -> web.Response:
    """The restaurant's open orders, in the columns of `COLUMNS`."""
    found, now_ms = as_json(orders), call.context.deps.now_ms()
    restaurants = call.context.deps.catalogue.restaurants
    rows = [_kitchen_row(order, now_ms) for order in found["orders"]]
    columns = [
        (title, [row for row in rows if row["status"] in states], empty)
        for title, states, empty in COLUMNS
    ]
    return _board(
        call, "kitchen.html", found, [row["isLate"] for _, shown, _ in columns for row in shown],
        columns=columns, buttons=BUTTONS, reasons=REJECT_REASONS, restaurants=restaurants,
        restaurant=restaurants.get(call.identity.restaurant_id or ""),
    )  # fmt: skip


def _kitchen_row(order: dict[str, Any], now_ms: int) -> dict[str, Any]:
    waited_s = max(0, now_ms - from_rfc3339(order["since"])) // 1000
    late_after_s = LATE_AFTER_S[O(order["status"])]
    return {**order, "lateAfterS": late_after_s, "isLate": waited_s >= late_after_s}


def show_courier(call: AnyCall, deliveries: DeliveryRows) -> web.Response:
    """A courier's own deliveries and those that wait for a courier."""
    found, limit = as_json(deliveries), call.context.deps.courier_limit
    is_own = call.identity.role is Role.COURIER
    mine = [row for row in found["deliveries"] if row.get("courierId")]
    waiting = [row for row in found["deliveries"] if not row.get("courierId")]
    return _board(
        call, "courier.html", found, [], mine=mine, waiting=waiting, is_own=is_own, limit=limit,
        has_capacity=is_own and len(mine) < limit, asks_code=call.context.deps.asks_delivery_code,
    )  # fmt: skip


def show_courier_capacity(call: AnyCall) -> ShowCourierCapacity:
    """A courier's deliveries, for the worker that assigns one from this board; people get the board."""
    if PARTITIONS not in call.request.headers:
        raise web.HTTPSeeOther("/courier")
    return ShowCourierCapacity(call)


def _board(
    call: AnyCall, template: str, found: Any, late: list[bool], **values: Any
) -> web.Response:
    """The board; 204 when the browser has just this. late: which rows are shown as late."""
    refused = call.request.query.get("refused", "")
    seen = ids.derive_id("board", found, late, refused)
    if call.request.query.get("seen") == seen:
        return web.Response(status=204)
    return render(
        call.request, template, found=found, seen=seen, said=_refusal_text(refused),
        identity=call.identity, **values,
    )  # fmt: skip


def _refusal_text(refused: str) -> str:
    """What to say of a step: its problem's code, "later", or "" for none."""
    status, title = CODES.get(refused, (0, ""))
    if refused == LATER:
        return PENDING_TEXT
    if status == 503:
        return TRY_AGAIN_TEXT
    return REFUSAL_TEXTS.get(refused, title and f"{title}.")


def after_step(board: str) -> Renderer:
    """Shows the board after a step has been taken, or is under way."""
    return lambda _, result: _to(board, LATER if isinstance(result, Accepted) else "")


def after_refused_step(board: str) -> Callable[[AnyCall, Exception], Any]:
    """Shows the board with why a step was not taken."""

    async def show(_: AnyCall, error: Exception) -> web.Response:
        if isinstance(error, ProblemError):
            if error.status not in {404, 409, 503}:
                raise error
            return _to(board, error.code)
        is_unavailable = isinstance(error, UnavailableError)
        return _to(board, UnavailableError.code if is_unavailable else "OWNER_UNKNOWN")

    return show


def _to(board: str, refused: str) -> web.Response:
    location = f"{board}?refused={refused}" if refused else board
    return web.Response(status=303, headers={"Location": location})
