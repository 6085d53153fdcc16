"""The kitchen's and the couriers' boards: lists of the API with the next step beside each row."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from models import ids
from models.errors import UnavailableError
from models.graphs import OrderStatus
from models.times import from_rfc3339
from tables import NotOwnerError, NotReadyError
from web.http.auth import authorize, authorize_staff
from web.http.bodies import VALUE
from web.http.context import CONTEXT
from web.http.params import order_id_of
from web.http.problems import CODES, ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import answer_of, is_for_worker, read_form
from web.pages.render import render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
O = OrderStatus  # noqa: E741 - as in models/graphs.py

LATE_AFTER_S: Final = {O.PENDING: 180, O.CONFIRMED: 300, O.PREPARING: 1500, O.READY_FOR_PICKUP: 600}
"""After how long in a state an order is shown as waiting too long."""

COLUMNS: Final = (
    ("New", (O.PENDING,), "Nothing new."),
    ("Preparing", (O.CONFIRMED, O.PREPARING), "Nothing on the stove."),
    ("Ready", (O.READY_FOR_PICKUP,), "Nothing waits for a courier."),
)
BUTTONS: Final = {"accept": "Accept", "start-preparing": "Start cooking", "ready": "It is ready"}
REJECT_REASONS: Final = {
    "TOO_BUSY": "Too busy", "OUT_OF_STOCK": "Something is out", "CLOSED": "Closed", "OTHER": "Other",
}  # fmt: skip

KITCHEN_STEPS: Final[dict[str, Handler]] = {
    "accept": interim.handler("accept_order"),
    "reject": interim.handler("reject_order"),
    "start-preparing": interim.handler("start_preparing"),
    "ready": interim.handler("mark_ready"),
}
COURIER_STEPS: Final[dict[str, Handler]] = {
    "assign": interim.handler("assign_delivery"),
    "pick-up": interim.handler("pick_up_delivery"),
    "deliver": interim.handler("complete_delivery"),
}
REFUSAL_TEXTS: Final = {
    "NOT_ALLOWED_NOW": "Somebody was faster: the order has moved on. The board shows how it stands.",
    "COURIER_BUSY": "You have as many deliveries as you may have. Bring one to its door first.",
}
TRY_AGAIN_TEXT: Final = (
    "That did not go through: parts of the system are moving. Tap again in a moment."
)
PENDING_TEXT: Final = (
    "That takes a moment longer than usual. The board shows it as soon as it is done."
)


async def show_kitchen(request: web.Request) -> web.StreamResponse:
    """The restaurant's open orders in three columns."""
    answer = await interim.handler("list_kitchen_orders")(request)
    if is_for_worker(request):
        return answer
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.KITCHEN, Role.OPERATOR)
    found = answer_of(answer)
    restaurants = context.deps.catalogue.restaurants
    restaurant = restaurants.get(identity.restaurant_id or "")
    now_ms = context.deps.now_ms()
    rows = [_kitchen_row(order, now_ms) for order in found["orders"]]
    columns = [
        (title, [row for row in rows if row["status"] in states], empty)
        for title, states, empty in COLUMNS
    ]
    return _board(
        request, "kitchen.html", found, columns=columns, buttons=BUTTONS, reasons=REJECT_REASONS,
        restaurant=restaurant, restaurants=restaurants, identity=identity,
    )  # fmt: skip


def _kitchen_row(order: dict[str, Any], now_ms: int) -> dict[str, Any]:
    waited_s = max(0, now_ms - from_rfc3339(order["since"])) // 1000
    late_after_s = LATE_AFTER_S[O(order["status"])]
    return {**order, "lateAfterS": late_after_s, "isLate": waited_s >= late_after_s}


async def show_courier(request: web.Request) -> web.StreamResponse:
    """A courier's own deliveries and those that wait for a courier."""
    answer = await interim.handler("list_deliveries")(request)
    if is_for_worker(request):
        return answer
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.COURIER, Role.OPERATOR)
    found = answer_of(answer)
    rows = found["deliveries"]
    is_own = identity.role is Role.COURIER
    mine = [row for row in rows if row.get("courierId")]
    waiting = [row for row in rows if not row.get("courierId")]
    has_capacity = is_own and len(mine) < context.deps.courier_limit
    return _board(
        request, "courier.html", found, mine=mine, waiting=waiting, identity=identity,
        is_own=is_own, has_capacity=has_capacity, limit=context.deps.courier_limit,
    )  # fmt: skip


async def show_courier_capacity(request: web.Request) -> web.StreamResponse:
    """What a courier has, for the worker that takes a step of this board; others see the board."""
    if is_for_worker(request):
        return await interim.handler("show_courier_capacity")(request)
    raise web.HTTPSeeOther("/courier")


def _board(
    request: web.Request, template: str, found: dict[str, Any], **values: Any
) -> web.StreamResponse:
    """The board; 204 when the browser has just this one."""
    refused = request.query.get("refused", "")
    shown = ids.derive_id(
        "board", found, [bool(row.get("isLate")) for row in _rows(values)], refused
    )
    if request.query.get("seen") == shown:
        return web.Response(status=204)
    status, title = CODES.get(refused, (0, ""))
    said = (
        PENDING_TEXT
        if refused == "later"
        else TRY_AGAIN_TEXT
        if status == 503
        else title and f"{title}."
    )
    said = REFUSAL_TEXTS.get(refused, said)
    return render(request, template, found=found, seen=shown, said=said, **values)


def _rows(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for _, rows, _ in values.get("columns", ()) for row in rows]


async def kitchen_step(request: web.Request) -> web.StreamResponse:
    """Take a kitchen's step, then show the board."""
    return await _step(request, KITCHEN_STEPS, "/kitchen", Role.KITCHEN, Role.OPERATOR)


async def courier_step(request: web.Request) -> web.StreamResponse:
    """Take a courier's step, then show the board."""
    return await _step(request, COURIER_STEPS, "/courier", Role.COURIER)


async def _step(
    request: web.Request, steps: dict[str, Handler], board: str, *roles: Role
) -> web.StreamResponse:
    order_id = order_id_of(request)
    handler = steps.get(request.match_info["step"])
    if handler is None:
        raise ProblemError("NOT_FOUND")
    await authorize(request, request.app[CONTEXT].deps, order_id, *roles)
    more = ""
    request[VALUE] = dict(await read_form(request))
    try:
        answer = await handler(request)
        if answer.prepared:  # the owner has answered, and this worker passed that on
            return answer
        if answer.status == 202:
            more = "?refused=later"
    except ProblemError as problem:
        if problem.status not in {404, 409, 503}:
            raise
        more = f"?refused={problem.code}"
    except (NotOwnerError, NotReadyError):
        more = "?refused=OWNER_UNKNOWN"
    except UnavailableError:
        more = f"?refused={UnavailableError.code}"
    return web.Response(status=303, headers={"Location": board + more})
