"""Orders by state, for operators: from the indexes of all workers, the latest first."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models import ids
from models.graphs import OrderStatus
from models.messages import Message, to_rfc3339
from tables import NotOwnerError
from web.auth import authorize_staff
from web.context import CONTEXT, ORDERS, Context
from web.fanout import over_partitions
from web.indexes import OrderEntry
from web.order_views import PLACED
from web.params import limit_of, one_of
from web.tokens import Role
from web.writes import json_response

MOST_LISTED: Final = 1000
STATES: Final = (PLACED, *OrderStatus)
CAN_HAVE_ENDED: Final = frozenset(
    {OrderStatus.DELIVERED, OrderStatus.REFUNDED, OrderStatus.CANCELLED, None}
)
ENDED_PART: Final = 0.8
"""Of the time that a worker has to answer, at most to read what has ended."""
QUERY: Final = {
    "state": f"one of {', '.join(STATES)}; all by default",
    "limit": f"at most so many, 1 to {MOST_LISTED}; 50 by default",
}


class OrderRow(Message):
    """amount: minor units. since: when the state was reached."""

    order_id: str
    reference: str
    status: str
    amount: int
    currency: str
    restaurant_id: str
    since: str


class OrderRows(Message):
    """total: how many are known in these lists, before the limit.

    isBounded: of orders that have ended only the latest are listed and counted, so there are more.
    incomplete: partitions whose orders are missing here.
    """

    orders: tuple[OrderRow, ...]
    total: int
    is_bounded: bool
    incomplete: tuple[int, ...]


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders of one state or all, the latest first."""
    context = request.app[CONTEXT]
    await authorize_staff(request, context.deps, Role.OPERATOR)
    limit, state = limit_of(request, 50, MOST_LISTED), one_of(request, "state", STATES)

    async def share(partition: int) -> Any:
        entries = await _entries(context, partition, state)
        entries.sort(key=lambda entry: entry.since_ms, reverse=True)
        rows = [_row(entry).model_dump(mode="json", by_alias=True) for entry in entries[:limit]]
        return [len(entries), context.order_index.left_out(partition, state), rows]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = [OrderRow.model_validate(row) for _, _, found in shares.values() for row in found]
        rows.sort(key=lambda row: (row.since, row.order_id), reverse=True)
        answer = OrderRows(
            orders=tuple(rows[:limit]),
            total=sum(count for count, _, _ in shares.values()),
            is_bounded=any(is_bounded for _, is_bounded, _ in shares.values()),
            incomplete=missing,
        )
        return json_response(answer)

    return await over_partitions(request, ORDERS, share, merged)


async def _entries(context: Context, partition: int, state: str | None) -> list[OrderEntry]:
    """Raises NotOwnerError and NotReadyError, that also while what has ended is being read."""
    index = context.order_index
    if state in CAN_HAVE_ENDED:
        await index.read_ended(partition, context.deps.bounds.gather_s * ENDED_PART)
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    current = [entry for entry in index.current(partition) if state in {None, entry.status}]
    return current + index.ended(partition, state)


def _row(entry: OrderEntry) -> OrderRow:
    return OrderRow(
        order_id=entry.order_id,
        reference=ids.reference(entry.order_id),
        status=entry.status,
        amount=entry.amount,
        currency=entry.currency,
        restaurant_id=entry.restaurant_id,
        since=to_rfc3339(entry.since_ms),
    )
