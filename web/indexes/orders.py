"""What lists of orders and of deliveries are made of: compact entries, of owned partitions."""

from collections.abc import Iterator
from dataclasses import dataclass

from models.delivery import DeliveryRecord
from models.graphs import DeliveryStatus, OrderStatus
from models.index_entries import ENDED, EndedOrder, ended_order, latest_first
from models.order import OrderRecord
from tables import BrokenRecordError, StateTable, StoredRecord
from web.indexes.entries import EntryIndex, has_ended


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An order in lists. amount: minor units. since_ms, accept_before_ms: since the epoch.

    items: (name, quantity); notes and allergies for the kitchen: of orders that have not ended.
    """

    order_id: str
    status: str
    amount: int
    currency: str
    restaurant_id: str
    since_ms: int
    accept_before_ms: int | None = None
    items: tuple[tuple[str, int], ...] = ()
    notes: str | None = None
    allergies: str | None = None


class OrderIndex(EntryIndex[OrderEntry]):
    """A listener of orders' table: those that have not ended, in memory; the others are in its index."""

    def __init__(self, table: StateTable) -> None:
        super().__init__(_open_order_entry)
        self._table = table

    def ended(self, partition: int, status: str, until_ms: int | None) -> Iterator[EndedOrder]:
        """Those that ended in a status, the latest first. until_ms: only those that did before.

        Nothing may be awaited while it is read. Raises NotOwnerError, NotReadyError.
        """
        if until_ms is not None and until_ms <= 0:
            return  # no time is before the epoch
        start = "" if until_ms is None else latest_first(until_ms - 1)
        for entry in self._table.entries(partition, f"{ENDED}{status}/", start):
            yield ended_order(status, entry)

    def number(self, partition: int, status: str) -> int:
        """How many orders have a status. Raises NotOwnerError, NotReadyError."""
        return self._table.sums(partition).get(status, 0)

    def entry_of(self, order: EndedOrder) -> OrderEntry | None:
        """What lists show of an order that has ended; None when its record can't be read."""
        try:
            record = self._table.get(order.order_id)
        except BrokenRecordError:
            return None
        return order_entry(order.order_id, record) if record else None


def _open_order_entry(order_id: str, record: StoredRecord) -> OrderEntry | None:
    return None if has_ended(record) else order_entry(order_id, record)


def order_entry(order_id: str, record: StoredRecord) -> OrderEntry | None:
    """An order as it is in lists; None when there is none, placed or opened."""
    state: OrderRecord = record.state
    order, placed = state.order, state.placed
    known = order or placed
    if known is None:
        return None
    to_make = None if state.has_ended else placed
    return OrderEntry(
        order_id=order_id,
        status=state.status_shown,
        amount=known.amount,
        currency=known.currency,
        restaurant_id=known.restaurant_id or (placed.restaurant_id if placed else ""),
        since_ms=order.reached[order.status] if order else state.work.occurred_at,
        accept_before_ms=state.work.deadlines.get("KITCHEN"),
        items=tuple((item.name, item.quantity) for item in (to_make.items if to_make else ())),
        notes=to_make.notes if to_make else None,
        allergies=to_make.allergies if to_make else None,
    )


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """A delivery that has not ended, in lists."""

    order_id: str
    status: DeliveryStatus
    courier_id: str | None
    since_ms: int
    order_status: OrderStatus | None


class DeliveryIndex(EntryIndex[DeliveryEntry]):
    """Deliveries that have not ended; a listener of deliveries' table."""

    def __init__(self) -> None:
        super().__init__(_delivery_entry)

    def of_courier(self, partition: int, courier_id: str) -> list[DeliveryEntry]:
        """What a courier has taken and not delivered."""
        return [entry for entry in self.current(partition) if entry.courier_id == courier_id]


def _delivery_entry(order_id: str, record: StoredRecord) -> DeliveryEntry | None:
    state: DeliveryRecord = record.state
    delivery = state.delivery
    if delivery is None or state.has_ended:
        return None
    return DeliveryEntry(
        order_id=order_id,
        status=delivery.status,
        courier_id=delivery.courier_id,
        since_ms=delivery.reached[delivery.status],
        order_status=state.order_status,
    )
