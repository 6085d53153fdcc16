"""Orders by state, for operators: from the indexes of all workers, the latest first."""

import heapq
from itertools import chain
from typing import Final

from models import ids
from models.graphs import OrderStatus
from models.order import PLACED
from models.times import from_rfc3339
from tables import NotReadyError
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS
from web.http.params import Params, choice_param, cursor_param, limit_param, param, time_ms, up_to
from web.http.scatter_gather import Gather, Missing, Shares
from web.indexes.orders import OrderEntry

MAX_LISTED: Final = 1000
STATES: Final = (PLACED, *OrderStatus)
STATES_WITH_ENDED: Final = frozenset(
    {OrderStatus.DELIVERED, OrderStatus.REFUNDED, OrderStatus.CANCELLED, None}
)
MAX_RESTAURANT_CHARS: Final = 500
ENDED_READ_SHARE: Final = 0.8
"""Of the time that a worker has to answer, at most to read what has ended."""
TIME: Final = time_ms(
    "a time with its zone, such as 2026-11-20T18:30:00Z, or a date (UTC)", years=range(1970, 2100)
)


class OrderRow(ApiModel):
    """amount: minor units. since: when the state was reached."""

    order_id: str
    reference: str
    status: str
    amount: int
    currency: str
    restaurant_id: str
    since: str


class OrderRows(ApiModel):
    """total: how many are known in these lists, on all pages. next: the `before` of the next page.

    isBounded: of orders that have ended only the latest are listed and counted, so there are more.
    incomplete: partitions whose orders are missing here, or those that have ended, which are being read.
    """

    orders: tuple[OrderRow, ...]
    total: int
    next: str | None = None
    is_bounded: bool
    incomplete: tuple[int, ...]


class OrdersShare(ApiModel):
    """is_read: whether those that have ended are all known by now."""

    total: int
    is_bounded: bool
    is_read: bool
    rows: tuple[OrderRow, ...]


class OrderListParams(Params):
    """Times in milliseconds since the epoch. before: where the page begins."""

    state: str | None = choice_param(STATES)
    restaurant: str | None = param(
        up_to(MAX_RESTAURANT_CHARS), "only orders of the restaurant with this id"
    )
    since_ms: int | None = param(
        TIME, "only those whose state was reached then or later: a time with its zone, or a date (UTC)",
        name="since",
    )  # fmt: skip
    until_ms: int | None = param(
        TIME, "only those whose state was reached before: likewise", name="until"
    )
    before: tuple[int, str] | None = cursor_param(r"(\d{1,15})\.([!-~]{1,255})")
    limit: int = limit_param(50, MAX_LISTED)

    def wants(self, entry: OrderEntry) -> bool:
        """Whether an order belongs to the list."""
        return (
            self.state in {None, entry.status}
            and self.restaurant in {None, entry.restaurant_id}
            and (self.since_ms is None or entry.since_ms >= self.since_ms)
            and (self.until_ms is None or entry.since_ms < self.until_ms)
        )


class ListOrders(Gather[OrdersShare, OrderRows]):
    """Orders of one state or all, the latest first."""

    service, open_services, share_type = ORDERS, (ORDERS,), OrdersShare

    async def share(self, partition: int) -> OrdersShare:
        """Costs what the index holds: what has not ended, and the latest of what has."""
        params: OrderListParams = self.call.params
        context, index = self.context, self.context.order_index
        is_read = True
        if params.state in STATES_WITH_ENDED:
            try:
                await index.read_ended(partition, context.deps.bounds.gather_s * ENDED_READ_SHARE)
            except NotReadyError:
                is_read = False  # a large table is read on; what is known is shown meanwhile
            context.check_open(ORDERS, partition)
        known = chain(index.current(partition), index.ended(partition, params.state))
        wanted = [entry for entry in known if params.wants(entry)]
        left = [e for e in wanted if params.before is None or _place(e) < params.before]
        page = heapq.nlargest(params.limit + 1, left, key=_place)
        return OrdersShare(
            total=len(wanted),
            is_bounded=index.left_out(partition, params.state),
            is_read=is_read,
            rows=tuple(view_of(OrderRow, e, reference=ids.reference(e.order_id)) for e in page),
        )

    async def merged(self, shares: Shares[OrdersShare], missing: Missing) -> OrderRows:
        """The latest first."""
        limit = self.call.params.limit
        rows = [row for share in shares.values() for row in share.rows]
        rows.sort(key=lambda row: (row.since, row.order_id), reverse=True)
        unread = [partition for partition, share in shares.items() if not share.is_read]
        return OrderRows(
            orders=tuple(rows[:limit]),
            total=sum(share.total for share in shares.values()),
            next=_cursor(rows[limit - 1]) if len(rows) > limit else None,
            is_bounded=any(share.is_bounded for share in shares.values()),
            incomplete=tuple(sorted([*missing, *unread])),
        )


def _place(entry: OrderEntry) -> tuple[int, str]:
    return entry.since_ms, entry.order_id


def _cursor(row: OrderRow) -> str:
    return f"{from_rfc3339(row.since)}.{row.order_id}"
