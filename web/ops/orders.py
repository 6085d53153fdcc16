"""Orders by state, for operators: from the indexes of all workers, the latest first."""

import heapq
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web

from models import ids
from models.graphs import OrderStatus
from models.messages import Message
from models.order import PLACED
from models.times import from_rfc3339, to_rfc3339
from tables import NotOwnerError, NotReadyError
from web.http.auth import authorize_staff
from web.http.commands import json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.params import limit_of, one_of, time_of
from web.http.problems import ProblemError
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.indexes.orders import OrderEntry

MAX_LISTED: Final = 1000
STATES: Final = (PLACED, *OrderStatus)
STATES_WITH_ENDED: Final = frozenset(
    {OrderStatus.DELIVERED, OrderStatus.REFUNDED, OrderStatus.CANCELLED, None}
)
MAX_RESTAURANT_CHARS: Final = 500
_CURSOR: Final = re.compile(r"(\d{1,15})\.([!-~]{1,255})", re.ASCII)
ENDED_READ_SHARE: Final = 0.8
"""Of the time that a worker has to answer, at most to read what has ended."""
QUERY: Final = {
    "state": f"one of {', '.join(STATES)}; all by default",
    "restaurant": "only orders of the restaurant with this id",
    "since": "only those whose state was reached then or later: a time with its zone, or a date (UTC)",
    "until": "only those whose state was reached before: likewise",
    "before": "`next` of the page before",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 50 by default",
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
    """total: how many are known in these lists, on all pages. next: the `before` of the next page.

    isBounded: of orders that have ended only the latest are listed and counted, so there are more.
    incomplete: partitions whose orders are missing here, or those that have ended, which are being read.
    """

    orders: tuple[OrderRow, ...]
    total: int
    next: str | None = None
    is_bounded: bool
    incomplete: tuple[int, ...]


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders of one state or all, the latest first."""
    context = request.app[CONTEXT]
    await authorize_staff(request, context.deps, Role.OPERATOR)
    limit, asked = limit_of(request, 50, MAX_LISTED), OrderListQuery.of(request)

    async def share(partition: int) -> Any:
        """Costs what the index holds: what has not ended, and the latest of what has."""
        entries, is_read = await _entries(context, partition, asked.state)
        wanted = [entry for entry in entries if asked.wants(entry)]
        left = [entry for entry in wanted if asked.before is None or _place(entry) < asked.before]
        page = heapq.nlargest(limit + 1, left, key=_place)
        rows = [_row(entry).model_dump(mode="json", by_alias=True) for entry in page]
        is_bounded = context.order_index.left_out(partition, asked.state)
        return {"total": len(wanted), "isBounded": is_bounded, "isRead": is_read, "rows": rows}

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = [OrderRow.model_validate(row) for each in shares.values() for row in each["rows"]]
        rows.sort(key=lambda row: (row.since, row.order_id), reverse=True)
        unread = [partition for partition, each in shares.items() if not each["isRead"]]
        answer = OrderRows(
            orders=tuple(rows[:limit]),
            total=sum(each["total"] for each in shares.values()),
            next=_cursor(rows[limit - 1]) if len(rows) > limit else None,
            is_bounded=any(each["isBounded"] for each in shares.values()),
            incomplete=tuple(sorted([*missing, *unread])),
        )
        return json_response(answer)

    return await scatter_gather(request, ORDERS, share, merged)


@dataclass(frozen=True, slots=True)
class OrderListQuery:
    """What a list is to show; times in milliseconds since the epoch. before: where the page begins."""

    state: str | None
    restaurant: str | None
    since_ms: int | None
    until_ms: int | None
    before: tuple[int, str] | None

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """Read the query. Raises ProblemError (400)."""
        restaurant, before = request.query.get("restaurant"), request.query.get("before")
        place = _CURSOR.fullmatch(before) if before is not None else None
        wrong = []
        if before is not None and place is None:
            wrong.append(("before", f"accepted: {QUERY['before']}"))
        if restaurant is not None and len(restaurant) > MAX_RESTAURANT_CHARS:
            wrong.append(("restaurant", f"accepted: at most {MAX_RESTAURANT_CHARS} characters"))
        if wrong:
            raise ProblemError("VALIDATION_FAILED", errors=wrong)
        return cls(
            state=one_of(request, "state", STATES),
            restaurant=restaurant,
            since_ms=time_of(request, "since"),
            until_ms=time_of(request, "until"),
            before=(int(place[1]), place[2]) if place else None,
        )

    def wants(self, entry: OrderEntry) -> bool:
        """Whether an order of that state belongs to the list."""
        return (
            self.restaurant in {None, entry.restaurant_id}
            and (self.since_ms is None or entry.since_ms >= self.since_ms)
            and (self.until_ms is None or entry.since_ms < self.until_ms)
        )


def _place(entry: OrderEntry) -> tuple[int, str]:
    return entry.since_ms, entry.order_id


def _cursor(row: OrderRow) -> str:
    return f"{from_rfc3339(row.since)}.{row.order_id}"


async def _entries(
    context: Context, partition: int, state: str | None
) -> tuple[list[OrderEntry], bool]:
    """A partition's orders, and whether those that have ended are all known by now.

    Raises NotOwnerError, NotReadyError.
    """
    index, is_read = context.order_index, True
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    if state in STATES_WITH_ENDED:
        try:
            await index.read_ended(partition, context.deps.bounds.gather_s * ENDED_READ_SHARE)
        except NotReadyError:
            is_read = False  # a large table: it is read on, and what is known is shown meanwhile
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    current = [entry for entry in index.current(partition) if state in {None, entry.status}]
    return current + index.ended(partition, state), is_read


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
