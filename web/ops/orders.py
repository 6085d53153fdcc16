"""Orders by state, for operators: from the indexes of all workers, the latest first."""

import heapq
from itertools import islice
from typing import Final

from models import ids
from models.graphs import OrderStatus
from models.index_entries import EndedOrder
from models.order import PLACED
from models.times import from_rfc3339
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS
from web.http.params import Params, choice_param, cursor_param, limit_param, param, time_ms, up_to
from web.http.scatter_gather import Gather, Missing, Shares
from web.indexes.orders import OrderEntry

MAX_LISTED: Final = 1000
STATES: Final = (PLACED, *OrderStatus)
ENDED_STATES: Final = frozenset(
    {OrderStatus.DELIVERED, OrderStatus.REFUNDED, OrderStatus.CANCELLED}
)
MAX_LOOKED_AT: Final = 3_000
"""Of the orders that ended in a status, in a partition: some ten milliseconds."""
MAX_RESTAURANT_CHARS: Final = 500
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
    """total: how many there are, on all pages. next: the `before` of the next page.

    isBounded: so many orders have ended that not all were looked at with these filters, so there may be more.
    incomplete: partitions whose orders are missing here.
    """

    orders: tuple[OrderRow, ...]
    total: int
    next: str | None = None
    is_bounded: bool
    incomplete: tuple[int, ...]


class OrdersShare(ApiModel):
    """One row more than is shown, so that it is known if there is more."""

    total: int
    is_bounded: bool
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

    @property
    def is_filtered(self) -> bool:
        """By more than the state."""
        return not (self.restaurant is None and self.since_ms is None and self.until_ms is None)

    @property
    def page_until_ms(self) -> int | None:
        """All of the page reached their state before."""
        ends = [self.until_ms, self.before[0] + 1 if self.before else None]
        return min((end for end in ends if end is not None), default=None)

    def is_on_page(self, entry: OrderEntry | EndedOrder) -> bool:
        """Whether an order of the list is behind the page before."""
        return self.before is None or _place(entry) < self.before

    def wants(self, entry: OrderEntry | EndedOrder) -> bool:
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
        """Costs what has not ended, and of what has the page: of those counted only keys are read."""
        params: OrderListParams = self.call.params
        context, index = self.context, self.context.order_index
        current = [entry for entry in index.current(partition) if params.wants(entry)]
        total, is_bounded = self._total(partition, len(current))
        ended = [
            entry
            for status in ENDED_STATES
            if params.state in {None, status}
            for order in self._page_of_ended(partition, status)
            if (entry := index.entry_of(order)) is not None
        ]
        context.check_open(ORDERS, partition)
        shown = [entry for entry in [*current, *ended] if params.is_on_page(entry)]
        page = heapq.nlargest(params.limit + 1, shown, key=_place)
        rows = tuple(view_of(OrderRow, e, reference=ids.reference(e.order_id)) for e in page)
        return OrdersShare(total=total, is_bounded=is_bounded, rows=rows)

    def _total(self, partition: int, current: int) -> tuple[int, bool]:
        """How many orders the filters leave, and whether there may be more."""
        params, index = self.call.params, self.context.order_index
        if not params.is_filtered:
            states = STATES if params.state is None else (params.state,)
            return sum(index.number(partition, state) for state in states), False
        total, is_bounded = current, False
        for status in ENDED_STATES if params.state is None else {params.state} & ENDED_STATES:
            seen = list(islice(index.ended(partition, status, params.until_ms), MAX_LOOKED_AT))
            total += sum(map(params.wants, seen))
            is_bounded |= len(seen) == MAX_LOOKED_AT
        return total, is_bounded

    def _page_of_ended(self, partition: int, status: str) -> list[EndedOrder]:
        """Of one status, a page; with all of the moment at which it ends, for keys do not order these."""
        params: OrderListParams = self.call.params
        found: list[EndedOrder] = []
        seen = self.context.order_index.ended(partition, status, params.page_until_ms)
        for order in islice(seen, MAX_LOOKED_AT):
            is_before_all = params.since_ms is not None and order.since_ms < params.since_ms
            is_full = len(found) > params.limit and order.since_ms < found[-1].since_ms
            if is_before_all or is_full:
                break
            if params.wants(order) and params.is_on_page(order):
                found.append(order)
        return found

    async def merged(self, shares: Shares[OrdersShare], missing: Missing) -> OrderRows:
        """The latest first."""
        limit = self.call.params.limit
        rows = [row for share in shares.values() for row in share.rows]
        rows.sort(key=lambda row: (row.since, row.order_id), reverse=True)
        return OrderRows(
            orders=tuple(rows[:limit]),
            total=sum(share.total for share in shares.values()),
            next=_cursor(rows[limit - 1]) if len(rows) > limit else None,
            is_bounded=any(share.is_bounded for share in shares.values()),
            incomplete=missing,
        )


def _place(entry: OrderEntry | EndedOrder) -> tuple[int, str]:
    return entry.since_ms, entry.order_id


def _cursor(row: OrderRow) -> str:
    return f"{from_rfc3339(row.since)}.{row.order_id}"
