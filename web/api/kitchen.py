"""The kitchen over HTTP: the orders of a restaurant, and the steps that it takes with one."""

from collections.abc import Mapping
from itertools import chain
from typing import Final, Literal

from pydantic import Field

from models import ids
from models.commands import CommandType, RejectOrder
from models.graphs import OrderStatus
from web.api.steps import step
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import Body, EmptyBody
from web.http.commands import CommandRequest
from web.http.context import ORDERS
from web.http.params import Params, param
from web.http.route import Call
from web.http.scatter_gather import Gather, Missing, Shares
from web.http.tokens import Role

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


class KitchenLine(ApiModel):
    """So many of a dish."""

    name: str
    quantity: int


class KitchenOrder(ApiModel):
    """An order that the kitchen has to do with. acceptBefore: then it is cancelled.

    notes, allergies: in the customer's words.
    """

    order_id: str
    reference: str
    restaurant_id: str
    status: str
    since: str
    accept_before: str | None = None
    items: tuple[KitchenLine, ...]
    notes: str | None = None
    allergies: str | None = None
    next_steps: tuple[str, ...]


class KitchenOrders(ApiModel):
    """The longest waiting first. incomplete: partitions whose orders are missing here."""

    orders: tuple[KitchenOrder, ...]
    incomplete: tuple[int, ...]


class KitchenParams(Params):
    """restaurant_id: a kitchen sees its own orders whatever it says."""

    restaurant_id: str | None = param(str, "of one restaurant, for an operator")


class ListKitchenOrders(Gather[list[KitchenOrder], KitchenOrders]):
    """A restaurant's open orders; an operator's list is of all, or of ?restaurantId=."""

    service, open_services, share_type = ORDERS, (ORDERS,), list[KitchenOrder]

    async def share(self, partition: int) -> list[KitchenOrder]:
        """Of an owned partition."""
        identity = self.call.identity
        is_operator = identity.role is Role.OPERATOR
        wanted = self.call.params.restaurant_id if is_operator else identity.restaurant_id
        shows_all = is_operator and wanted is None
        return [
            view_of(
                KitchenOrder,
                entry,
                reference=ids.reference(entry.order_id),
                items=tuple(KitchenLine(name=name, quantity=count) for name, count in entry.items),
                next_steps=NEXT_STEPS[entry.status],
            )
            for entry in self.context.order_index.current(partition)
            if entry.status in NEXT_STEPS and (shows_all or entry.restaurant_id == wanted)
        ]

    async def merged(self, shares: Shares[list[KitchenOrder]], missing: Missing) -> KitchenOrders:
        """The longest waiting first."""
        found = sorted(chain(*shares.values()), key=lambda order: (order.since, order.order_id))
        return KitchenOrders(orders=tuple(found), incomplete=missing)


def accept_order(call: Call[Params, EmptyBody]) -> CommandRequest:
    """PENDING -> CONFIRMED."""
    return step(call, ORDERS, CommandType.ACCEPT_ORDER)


def reject_order(call: Call[Params, RejectBody]) -> CommandRequest:
    """Cancel an order that the kitchen can't make; its money goes back."""
    return step(call, ORDERS, CommandType.REJECT_ORDER, RejectOrder(reason=call.body.reason))


def start_preparing(call: Call[Params, EmptyBody]) -> CommandRequest:
    """CONFIRMED -> PREPARING."""
    return step(call, ORDERS, CommandType.START_PREPARING)


def mark_ready(call: Call[Params, EmptyBody]) -> CommandRequest:
    """PREPARING -> READY_FOR_PICKUP."""
    return step(call, ORDERS, CommandType.MARK_READY)
