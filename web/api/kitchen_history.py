"""A restaurant's orders of one day that have ended, the latest first, and what it took."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from models import ids
from models.graphs import OrderStatus
from models.index_entries import EndedOrder
from models.order import Order, OrderRecord
from models.times import from_rfc3339
from tables import BrokenRecordError
from web.api.kitchen import KitchenLine
from web.api.restaurant_day import DayParams, RestaurantDay
from web.api.takings import TAKINGS, DayTakingsView, ShowTakings
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS, state_of
from web.http.params import cursor_param, limit_param
from web.http.scatter_gather import Gather, Missing, Shares

O = OrderStatus  # noqa: E741 - as in models/graphs.py

ENDED_STATES: Final = (O.DELIVERED, O.CANCELLED, O.REFUNDED)
REJECTED, TIMED_OUT = "REJECTED", "NOT_ACCEPTED"
"""How a cancelled order is shown that the kitchen turned down, or did not answer in time."""
MAX_LISTED: Final = 100
MAX_LOOKED_AT: Final = 3_000
"""Keys of the index that are looked at for a page, in a state and partition: some ten milliseconds."""
MAX_READ: Final = 300
"""Records that are read for a page, likewise: those of orders that no kitchen was shown are left out."""


class HistoryRow(ApiModel):
    """An order that has ended. amount: minor units. status: an order's, REJECTED or NOT_ACCEPTED.

    endedAt: when it reached that status.
    """

    order_id: str
    reference: str
    restaurant_id: str
    status: str
    amount: int
    currency: str
    ended_at: str
    items: tuple[KitchenLine, ...]


class KitchenHistory(ApiModel):
    """A page of a day. day: in timeZone. next: the `before` of the next page.

    takings: None where all restaurants are asked for. incomplete: partitions whose orders are missing here.
    """

    day: str
    time_zone: str
    orders: tuple[HistoryRow, ...]
    takings: DayTakingsView | None = None
    next: str | None = None
    incomplete: tuple[int, ...]


class HistoryShare(ApiModel):
    """A partition's rows, one more than is shown. wholeFromMs: earlier orders were not looked at."""

    rows: tuple[HistoryRow, ...]
    whole_from_ms: int


class HistoryParams(DayParams):
    """before: where the page begins."""

    before: tuple[int, str] | None = cursor_param(r"(\d{1,15})\.([!-~]{1,255})")
    limit: int = limit_param(25, MAX_LISTED)


class ListKitchenHistory(Gather[HistoryShare, KitchenHistory]):
    """Orders that ended on a day, of a kitchen's restaurant; an operator's list is of all, or of one."""

    service, open_services, share_type = ORDERS, (ORDERS,), HistoryShare

    @cached_property
    def about(self) -> RestaurantDay:
        """Whose day."""
        return RestaurantDay.of(self.call)

    async def prepare(self) -> None:
        """The other workers are asked for the same day, also at midnight."""
        self.query = {**self.call.request.query, "day": self.about.day.isoformat()}

    async def share(self, partition: int) -> HistoryShare:
        """Costs what is looked at of the index of each state, and the page's records."""
        found, whole_from_ms = list[HistoryRow](), self.about.bounds_ms[0]
        for status in ENDED_STATES:
            rows, from_ms = self._of_status(partition, status)
            found += rows
            whole_from_ms = max(whole_from_ms, from_ms)
        self.context.check_open(ORDERS, partition)
        return HistoryShare(rows=tuple(found), whole_from_ms=whole_from_ms)

    async def merged(self, shares: Shares[HistoryShare], missing: Missing) -> KitchenHistory:
        """The latest first; of a partition that was not looked through to its end no later page is lost."""
        limit, begin_ms = self.call.params.limit, self.about.bounds_ms[0]
        whole_from_ms = max((s.whole_from_ms for s in shares.values()), default=begin_ms)
        rows = [
            row
            for share in shares.values()
            for row in share.rows
            if from_rfc3339(row.ended_at) >= whole_from_ms
        ]
        rows.sort(key=lambda row: (row.ended_at, row.order_id), reverse=True)
        following = f"{whole_from_ms}.!" if whole_from_ms > begin_ms else None
        if len(rows) > limit:
            following = f"{from_rfc3339(rows[limit - 1].ended_at)}.{rows[limit - 1].order_id}"
        has_takings = self.about.restaurant_id and TAKINGS in self.context.tables
        return KitchenHistory(
            day=self.about.day.isoformat(), time_zone=self.about.zone.key, orders=tuple(rows[:limit]),
            takings=await ShowTakings(self.call).collect() if has_takings else None,
            next=following, incomplete=missing,
        )  # fmt: skip

    def _of_status(self, partition: int, status: str) -> tuple[list[HistoryRow], int]:
        """Rows of a page, and since when no order of this status is missing among them."""
        (begin_ms, until_ms), before = self.about.bounds_ms, self.call.params.before
        if before is not None:
            until_ms = min(until_ms, before[0] + 1)
        found: list[HistoryRow] = []
        looked_at = read = last_ms = 0
        for order in self.context.order_index.ended(partition, status, until_ms):
            if order.since_ms < begin_ms:
                break
            is_enough = len(found) > self.call.params.limit or read >= MAX_READ
            # Orders of one millisecond are in no order in the index: all of them, or none.
            if (is_enough or looked_at >= MAX_LOOKED_AT) and order.since_ms < last_ms:
                return found, last_ms
            looked_at, last_ms = looked_at + 1, order.since_ms
            if self._is_wanted(order):
                read += 1
                found += self._row(order)
        return found, begin_ms

    def _is_wanted(self, order: EndedOrder) -> bool:
        before = self.call.params.before
        is_on_page = before is None or (order.since_ms, order.order_id) < before
        return is_on_page and self.about.restaurant_id in {None, order.restaurant_id}

    def _row(self, ended: EndedOrder) -> Iterator[HistoryRow]:
        try:
            record = state_of(self.context.record(ORDERS, ended.order_id), OrderRecord)
        except BrokenRecordError:
            return
        row = history_row(record)
        if row is not None:
            yield row


def history_row(record: OrderRecord) -> HistoryRow | None:
    """An order as a kitchen's history has it; None of one that was never paid, so that no kitchen saw it."""
    order = record.order
    if order is None or O.PENDING not in order.reached:
        return None
    items = record.placed.items if record.placed else ()
    return view_of(
        HistoryRow,
        order,
        reference=ids.reference(order.order_id),
        status=_status(order),
        ended_at=order.reached[order.status],
        items=tuple(KitchenLine(name=item.name, quantity=item.quantity) for item in items),
    )


def _status(order: Order) -> str:
    reason = order.cancel_reason or ""
    if order.status not in {O.CANCELLED, O.REFUNDED}:
        return order.status
    if reason.startswith("RESTAURANT_REJECTED"):
        return REJECTED
    return TIMED_OUT if reason == "RESTAURANT_TIMEOUT" else order.status
