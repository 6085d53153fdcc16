"""The kitchen over HTTP: the orders of a restaurant, and the steps that it takes with one."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field

from models import ids
from models.commands import CommandType, NoData, RejectOrder
from models.graphs import OrderStatus
from models.messages import Message
from models.times import to_rfc3339, to_rfc3339_or_none
from tables import NotOwnerError
from web.api import steps
from web.http.auth import authorize, authorize_staff
from web.http.bodies import Body, read_json
from web.http.commands import check_order_is_known, forwarded_to_owner, json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Identity, Role
from web.indexes.orders import OrderEntry

O = OrderStatus  # noqa: E741 - as in models/graphs.py

NEXT_STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    O.PENDING: ("accept", "reject"),
    O.CONFIRMED: ("start-preparing", "reject"),
    O.PREPARING: ("ready", "reject"),
    O.READY_FOR_PICKUP: (),
}
"""What a kitchen sees, and what it can do with it; the last is the courier's to move."""


class RejectBody(Body):
    """Why the kitchen can't take the order; reasons go into events, so nobody writes one freely."""

    reason: Literal["CLOSED", "OUT_OF_STOCK", "TOO_BUSY", "OTHER"] = Field(
        default="OTHER", description="CLOSED, OUT_OF_STOCK, TOO_BUSY or OTHER"
    )


class KitchenLine(Message):
    """So many of a dish."""

    name: str
    quantity: int


class KitchenOrder(Message):
    """An order that the kitchen has to do with. acceptBefore: then it is cancelled."""

    order_id: str
    reference: str
    restaurant_id: str
    status: str
    since: str
    accept_before: str | None = None
    items: tuple[KitchenLine, ...]
    next_steps: tuple[str, ...]


class KitchenOrders(Message):
    """The longest waiting first. incomplete: partitions whose orders are missing here."""

    orders: tuple[KitchenOrder, ...]
    incomplete: tuple[int, ...]


async def list_kitchen_orders(request: web.Request) -> web.StreamResponse:
    """A restaurant's open orders; an operator's list is of all, or of ?restaurantId=."""
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.KITCHEN, Role.OPERATOR)
    is_operator = identity.role is Role.OPERATOR
    restaurant_id = request.query.get("restaurantId") if is_operator else identity.restaurant_id
    shows_all = is_operator and restaurant_id is None

    async def share(partition: int) -> Any:
        if partition not in context.tables[ORDERS].open_partitions():
            raise NotOwnerError(ORDERS)
        return [
            _shown(entry)
            for entry in context.order_index.current(partition)
            if entry.status in NEXT_STEPS and (shows_all or entry.restaurant_id == restaurant_id)
        ]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        found = [KitchenOrder.model_validate(each) for share in shares.values() for each in share]
        found.sort(key=lambda order: (order.since, order.order_id))
        return json_response(KitchenOrders(orders=tuple(found), incomplete=missing))

    return await scatter_gather(request, ORDERS, share, merged)


def _shown(entry: OrderEntry) -> Any:
    accept_before_ms = entry.accept_before_ms
    order = KitchenOrder(
        order_id=entry.order_id,
        reference=ids.reference(entry.order_id),
        restaurant_id=entry.restaurant_id,
        status=entry.status,
        since=to_rfc3339(entry.since_ms),
        accept_before=to_rfc3339_or_none(accept_before_ms),
        items=tuple(KitchenLine(name=name, quantity=quantity) for name, quantity in entry.items),
        next_steps=NEXT_STEPS[entry.status],
    )
    return order.model_dump(mode="json", by_alias=True)


async def accept_order(request: web.Request) -> web.StreamResponse:
    """PENDING -> CONFIRMED."""
    return await _step(request, CommandType.ACCEPT_ORDER, steps.Nothing, lambda _: NoData())


async def reject_order(request: web.Request) -> web.StreamResponse:
    """Cancel an order that the kitchen can't make; its money goes back."""
    return await _step(
        request,
        CommandType.REJECT_ORDER,
        RejectBody,
        lambda body: RejectOrder(reason=body.reason),
    )


async def start_preparing(request: web.Request) -> web.StreamResponse:
    """CONFIRMED -> PREPARING."""
    return await _step(request, CommandType.START_PREPARING, steps.Nothing, lambda _: NoData())


async def mark_ready(request: web.Request) -> web.StreamResponse:
    """PREPARING -> READY_FOR_PICKUP."""
    return await _step(request, CommandType.MARK_READY, steps.Nothing, lambda _: NoData())


async def _step(
    request: web.Request,
    command_type: CommandType,
    kind: type[Body],
    data_of: Callable[[Any], Message],
) -> web.StreamResponse:
    context, order_id = request.app[CONTEXT], order_id_of(request)
    identity = await authorize(request, context.deps, order_id, Role.KITCHEN, Role.OPERATOR)
    body = await read_json(request, kind, context.deps.body_limit_bytes, may_be_empty=True)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    _check_restaurant(context, order_id, identity)
    return await steps.take(
        context,
        request,
        service=ORDERS,
        order_id=order_id,
        command_type=command_type,
        data=data_of(body),
        body=body,
        identity=identity,
    )


def _check_restaurant(context: Context, order_id: str, identity: Identity) -> None:
    """Refuse a kitchen the orders of another restaurant. Raises ProblemError (403, 404)."""
    check_order_is_known(context, order_id)
    record = context.record(ORDERS, order_id)
    known = record and (record.state.placed or record.state.order)
    if identity.role is Role.KITCHEN and (
        not known or known.restaurant_id != identity.restaurant_id
    ):
        raise ProblemError("WRONG_RESTAURANT")
