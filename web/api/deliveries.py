"""Deliveries in lists: those that wait for a courier, a courier's own, and what a courier has taken."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from models import ids
from models.commands import Address, Contact
from models.graphs import DeliveryStatus, OrderStatus
from models.messages import Message
from models.order import OrderRecord
from models.times import to_rfc3339
from tables import NotReadyError
from web.api.order_views import RestaurantName
from web.http.context import DELIVERIES, ORDERS, Context
from web.http.params import Params, limit_param
from web.http.scatter_gather import Gather
from web.http.tokens import Identity, Role
from web.indexes.orders import DeliveryEntry

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


class DeliveriesShare(NamedTuple):
    """total: before the limit."""

    total: int
    rows: list[DeliveryRow]


class DeliveryParams(Params):
    """Of the list."""

    limit: int = limit_param(100, MAX_LISTED)


class ListDeliveries(Gather[DeliveriesShare, DeliveryRows]):
    """The deliveries that wait for a courier, and the courier's own; an operator's list is of all."""

    service, open_services, share_type = DELIVERIES, (DELIVERIES, ORDERS), DeliveriesShare

    async def share(self, partition: int) -> DeliveriesShare:
        """Of an owned partition."""
        identity, limit = self.call.identity, self.call.params.limit
        known = self.context.delivery_index.current(partition)
        entries = [entry for entry in known if _may_see(entry, identity)]
        entries.sort(key=lambda entry: _rank(entry.courier_id, entry.since_ms))
        rows = [_row(self.context, entry, identity) for entry in entries[:limit]]
        return DeliveriesShare(len(entries), rows)

    async def merged(
        self, shares: Mapping[int, DeliveriesShare], missing: tuple[int, ...]
    ) -> DeliveryRows:
        """The courier's own first, then the longest waiting."""
        rows = [row for share in shares.values() for row in share.rows]
        rows.sort(key=lambda row: _rank(row.courier_id, row.since))
        return DeliveryRows(
            deliveries=tuple(rows[: self.call.params.limit]),
            total=sum(share.total for share in shares.values()),
            incomplete=missing,
        )


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


class ShowCourierCapacity(Gather[list[str], CourierCapacity]):
    """What the courier who asks has, once all that was asked for until now is decided."""

    service, share_type = DELIVERIES, list[str]

    async def share(self, partition: int) -> list[str]:
        """Orders of an owned partition that the courier has."""
        if self.context.is_stopped((DELIVERIES, ORDERS), partition):
            return []  # nobody's limit may wait for an operator: this one's deliveries are not counted
        await _decided(self.context, partition)
        for service in (DELIVERIES, ORDERS):
            self.context.check_open(service, partition)
        entries = self.context.delivery_index.of_courier(partition, self.call.identity.subject)
        return [entry.order_id for entry in entries]

    async def merged(
        self, shares: Mapping[int, list[str]], missing: tuple[int, ...]
    ) -> CourierCapacity:
        """Of all partitions."""
        orders = tuple(order_id for share in shares.values() for order_id in share)
        limit = self.context.deps.courier_limit
        return CourierCapacity(orders=orders, limit=limit, incomplete=missing)


async def _decided(context: Context, partition: int) -> None:
    """Wait until the partition has decided what lay in its inputs. Raises NotReadyError."""
    if context.deps.caught_up is None:
        return
    try:
        async with asyncio.timeout(context.deps.bounds.gather_s * 0.8):
            await context.deps.caught_up((DELIVERIES,), partition)
    except TimeoutError:
        raise NotReadyError(DELIVERIES) from None
