"""Deliveries of owned partitions that have not ended: what couriers' lists are made of."""

from dataclasses import dataclass

from models.delivery import DeliveryRecord
from models.graphs import DeliveryStatus, OrderStatus
from tables import StoredRecord
from web.indexes.entries import EntryIndex


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
