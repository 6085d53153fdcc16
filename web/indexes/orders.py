"""What lists of orders are made of: an in-memory index over the orders of owned partitions.

A listener of the table: it shows what is durable, holds compact entries and no personal data, and is
dropped with its partition. Orders that have ended are many: of each status the latest are kept, and
those of before this worker had the partition are read from the table when somebody first asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from models.order import OrderRecord
from tables import StateTable, StoredRecord
from web.indexes.ended import EndedRecordsReader

MAX_ENDED_KEPT: Final = 500
"""Orders that have ended: of each status and partition, at least the latest so many."""


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An order in lists. amount: minor units. since_ms, accept_before_ms: since the epoch.

    items: (name, quantity), of orders that have not ended.
    """

    order_id: str
    status: str
    amount: int
    currency: str
    restaurant_id: str
    since_ms: int
    accept_before_ms: int | None = None
    items: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class _PartitionOrders:
    """One partition. statuses: of the orders that `ended` holds."""

    current: dict[str, OrderEntry] = field(default_factory=dict)
    ended: dict[str, dict[str, OrderEntry]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)


class OrderIndex:
    """Orders by status; a listener of orders' table. All methods run on the worker's event loop."""

    def __init__(self, table: StateTable) -> None:
        self._ended = EndedRecordsReader(table, self._tell)
        self._partitions: dict[int, _PartitionOrders] = {}

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Put the order where it belongs now."""
        state: OrderRecord = record.state
        orders = self._partitions.setdefault(partition, _PartitionOrders())
        entry = order_entry(key, state)
        if (before := orders.statuses.pop(key, None)) is not None:
            orders.ended[before].pop(key, None)
        orders.current.pop(key, None)
        if entry is None:
            return
        if not state.has_ended:
            orders.current[key] = entry
            return
        same = orders.ended.setdefault(entry.status, {})
        same[key] = entry
        orders.statuses[key] = entry.status
        if len(same) > 2 * MAX_ENDED_KEPT:  # halved at once, so that sorting costs little an order
            latest = sorted(same.values(), key=lambda each: each.since_ms)[-MAX_ENDED_KEPT:]
            orders.ended[entry.status] = {each.order_id: each for each in latest}
            for order_id in same.keys() - orders.ended[entry.status].keys():
                del orders.statuses[order_id]
            orders.left_out.add(entry.status)

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._partitions.pop(partition, None)
        self._ended.closed(partition)

    def current(self, partition: int) -> Iterable[OrderEntry]:
        """Orders that have not ended."""
        return self._partitions.get(partition, _PartitionOrders()).current.values()

    def ended(self, partition: int, status: str | None) -> list[OrderEntry]:
        """The latest orders that have ended, of one status or all, as far as `read_ended` has read."""
        found = self._partitions.get(partition, _PartitionOrders()).ended
        return [
            entry
            for each, entries in found.items()
            if status in {None, each}
            for entry in entries.values()
        ]

    def left_out(self, partition: int, status: str | None) -> bool:
        """Whether there are older ones that are in the table alone."""
        found = self._partitions.get(partition, _PartitionOrders()).left_out
        return bool(found) if status is None else status in found

    async def read_ended(self, partition: int, within_s: float) -> None:
        """Once for each partition: learn of those that were left out when the index was built.

        Raises NotOwnerError, and NotReadyError also when it takes longer than that.
        """
        await self._ended.read(partition, within_s)

    def _tell(self, partition: int, record: StoredRecord) -> None:
        if record.state.has_ended:
            self.updated(partition, record.key, record)


def order_entry(order_id: str, state: OrderRecord) -> OrderEntry | None:
    """An order as it is in lists; None when there is none, placed or opened."""
    order, placed = state.order, state.placed
    known = order or placed
    if known is None:
        return None
    since_ms = order.reached[order.status] if order else state.work.occurred_at
    items = () if state.has_ended or placed is None else placed.items
    return OrderEntry(
        order_id=order_id,
        status=state.status_shown,
        amount=known.amount,
        currency=known.currency,
        restaurant_id=known.restaurant_id or (placed.restaurant_id if placed else ""),
        since_ms=since_ms,
        accept_before_ms=state.work.deadlines.get("KITCHEN"),
        items=tuple((item.name, item.quantity) for item in items),
    )
