"""What the orders of owned partitions wait for, in memory: the base of the list of what is stuck."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from models.stuck import Waiting, quarantined, waiting
from tables import StoredRecord

WAITING_SERVICES: Final = frozenset({"orders", "payments", "deliveries", "notifications"})
"""Services whose records say what an order waits for."""


@dataclass(slots=True)
class ServiceWaitIndex:
    """A listener of one service's table. Orders that wait for nothing take no room."""

    service: str
    partitions: dict[int, dict[str, tuple[Waiting, ...]]] = field(default_factory=dict)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record."""
        found, orders = waiting_of(self.service, record), self.partitions.setdefault(partition, {})
        if found:
            orders[key] = found
        else:
            orders.pop(key, None)

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self.partitions.pop(partition, None)


class WaitingIndex:
    """By service. It shows what is durable and is dropped with its partition."""

    def __init__(self) -> None:
        self._services = {name: ServiceWaitIndex(name) for name in sorted(WAITING_SERVICES)}

    def of(self, service: str) -> ServiceWaitIndex:
        """The listener of a service's table."""
        return self._services[service]

    def partitions(self) -> set[int]:
        """Those that this worker has."""
        return {p for service in self._services.values() for p in service.partitions}

    def stuck(self, partition: int, now_ms: int) -> Iterator[tuple[str, str, Waiting]]:
        """Order, service and what is due by now."""
        for name, service in self._services.items():
            for order_id, found in service.partitions.get(partition, {}).items():
                for each in found:
                    if each.due_ms <= now_ms:
                        yield order_id, name, each


def waiting_of(service: str, record: StoredRecord) -> tuple[Waiting, ...]:
    """What a stored record says that its order waits for."""
    found = waiting(record.state)
    if record.quarantine is None:
        return found
    return (quarantined(service, record.quarantine.since_ms), *found)
