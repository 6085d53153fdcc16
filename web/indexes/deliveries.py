"""Deliveries of owned partitions that have not ended, in memory: what couriers' lists are made of."""

from collections.abc import Iterable
from dataclasses import dataclass

from models.delivery import DeliveryRecord
from models.graphs import DeliveryStatus, OrderStatus
from tables import StoredRecord


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """A delivery that has not ended, in lists."""

    order_id: str
    status: DeliveryStatus
    courier_id: str | None
    since_ms: int
    order_status: OrderStatus | None


class DeliveryIndex:
    """Deliveries that have not ended; a listener of deliveries' table."""

    def __init__(self) -> None:
        self._partitions: dict[int, dict[str, DeliveryEntry]] = {}

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Put the delivery in, or out when it has ended."""
        state: DeliveryRecord = record.state
        deliveries, delivery = self._partitions.setdefault(partition, {}), state.delivery
        if delivery is None or state.has_ended:
            deliveries.pop(key, None)
            return
        deliveries[key] = DeliveryEntry(
            order_id=key,
            status=delivery.status,
            courier_id=delivery.courier_id,
            since_ms=delivery.reached[delivery.status],
            order_status=state.order_status,
        )

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._partitions.pop(partition, None)

    def open(self, partition: int) -> Iterable[DeliveryEntry]:
        """All of a partition."""
        return self._partitions.get(partition, {}).values()

    def of_courier(self, partition: int, courier_id: str) -> list[DeliveryEntry]:
        """What a courier has taken and not delivered."""
        return [entry for entry in self.open(partition) if entry.courier_id == courier_id]
