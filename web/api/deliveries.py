"""Deliveries in lists: those that wait for a courier, a courier's own, and what a courier has taken."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from models import ids
from models.commands import Address, Contact
from models.graphs import DeliveryStatus, OrderStatus
from models.messages import Message
from models.order import OrderRecord
from models.times import to_rfc3339
from tables import NotOwnerError, NotReadyError
from web.api.order_views import RestaurantName
from web.http.auth import authorize_staff
from web.http.commands import json_response
from web.http.context import (
    CONTEXT,
    DELIVERIES,
    ORDERS,
    Context,
)
from web.http.params import limit_of
from web.http.problems import ProblemError
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Identity, Role
from web.indexes.orders import DeliveryEntry
from web.ops.stopped import is_stopped

MAX_LISTED: Final = 500


class DeliveryRow(Message):
    """A delivery in a courier's list. contact and address: of the courier's own ones, for the door."""

    order_id: str
    reference: str
    status: str
    since: str
    order_status: str | None = None
    can_pick_up: bool
    courier_id: str | None = None
    restaurant: RestaurantName | None = None
    contact: Contact | None = None
    address: Address | None = None


class DeliveryRows(Message):
    """The courier's own first, then the longest waiting. total: before the limit.

    incomplete: partitions whose deliveries are missing here.
    """

    deliveries: tuple[DeliveryRow, ...]
    total: int
    incomplete: tuple[int, ...]


class CourierCapacity(Message):
    """What a courier has, and may have at a time. incomplete: partitions that did not answer."""

    orders: tuple[str, ...]
    limit: int
    incomplete: tuple[int, ...]


async def list_deliveries(request: web.Request) -> web.StreamResponse:
    """The deliveries that wait for a courier, and the courier's own; an operator's list is of all."""
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.COURIER, Role.OPERATOR)
    limit = limit_of(request, 100, MAX_LISTED)

    async def share(partition: int) -> Any:
        _check_open(context, partition)
        entries = [
            entry for entry in context.delivery_index.open(partition) if _may_see(entry, identity)
        ]
        entries.sort(key=lambda entry: _rank(entry.courier_id, entry.since_ms))
        rows = [_row(context, entry, identity) for entry in entries[:limit]]
        return [len(entries), [row.model_dump(mode="json", by_alias=True) for row in rows]]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = [DeliveryRow.model_validate(row) for _, share in shares.values() for row in share]
        rows.sort(key=lambda row: _rank(row.courier_id, row.since))
        total = sum(count for count, _ in shares.values())
        answer = DeliveryRows(deliveries=tuple(rows[:limit]), total=total, incomplete=missing)
        return json_response(answer)

    return await scatter_gather(request, DELIVERIES, share, merged)


def _may_see(entry: DeliveryEntry, identity: Identity) -> bool:
    return identity.role is Role.OPERATOR or entry.courier_id in {None, identity.subject}


def _rank(courier_id: str | None, since: Any) -> tuple[bool, Any]:
    return courier_id is None, since


def _row(context: Context, entry: DeliveryEntry, identity: Identity) -> DeliveryRow:
    record = context.record(ORDERS, entry.order_id)
    placed = record.state.placed if record and isinstance(record.state, OrderRecord) else None
    is_own = identity.role is Role.COURIER and entry.courier_id == identity.subject
    is_ready = entry.order_status is OrderStatus.READY_FOR_PICKUP
    return DeliveryRow(
        order_id=entry.order_id,
        reference=ids.reference(entry.order_id),
        status=entry.status,
        since=to_rfc3339(entry.since_ms),
        order_status=entry.order_status,
        can_pick_up=is_ready and entry.status is DeliveryStatus.ASSIGNED,
        courier_id=entry.courier_id,
        restaurant=RestaurantName(id=placed.restaurant_id, name=placed.restaurant_name)
        if placed
        else None,
        contact=placed.contact if placed and is_own else None,
        address=placed.address if placed and is_own else None,
    )


async def show_courier_capacity(request: web.Request) -> web.StreamResponse:
    """What the courier who asks has, once all that was asked for until now is decided."""
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.COURIER)
    return await _gather_capacity(request, identity.subject, json_response)


async def courier_capacity(request: web.Request, courier_id: str) -> CourierCapacity:
    """The same, for a request that goes on from there; the others are asked on its own path.

    Raises ProblemError (400) when the request was made to look like another worker's question.
    """
    found: list[CourierCapacity] = []

    def keep(room: CourierCapacity) -> web.Response:
        found.append(room)
        return web.Response()

    await _gather_capacity(request, courier_id, keep)
    if not found:
        raise ProblemError("BAD_REQUEST")
    return found[0]


async def _gather_capacity(
    request: web.Request, courier_id: str, shown: Callable[[CourierCapacity], web.Response]
) -> web.StreamResponse:
    context = request.app[CONTEXT]

    async def share(partition: int) -> Any:
        if is_stopped(context, (DELIVERIES, ORDERS), partition):
            return []  # nobody's limit may wait for an operator: this one's deliveries are not counted
        await _decided(context, partition)
        _check_open(context, partition)
        entries = context.delivery_index.of_courier(partition, courier_id)
        return [entry.order_id for entry in entries]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        orders = tuple(order_id for share in shares.values() for order_id in share)
        return shown(
            CourierCapacity(orders=orders, limit=context.deps.courier_limit, incomplete=missing)
        )

    return await scatter_gather(request, DELIVERIES, share, merged)


async def _decided(context: Context, partition: int) -> None:
    """Wait until the partition has decided what lay in its inputs. Raises NotReadyError."""
    if context.deps.caught_up is None:
        return
    try:
        async with asyncio.timeout(context.deps.bounds.gather_s * 0.8):
            await context.deps.caught_up((DELIVERIES,), partition)
    except TimeoutError:
        raise NotReadyError(DELIVERIES) from None


def _check_open(context: Context, partition: int) -> None:
    """An index shows nothing of a partition that is not ours, which must not be taken for empty."""
    for service in (DELIVERIES, ORDERS):
        if partition not in context.tables[service].open_partitions():
            raise NotOwnerError(service)
