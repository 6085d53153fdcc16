"""What the orders of owned partitions wait for, in memory: the base of the list of what is stuck."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from models.stuck import Waiting, quarantined, waiting
from tables import StoredRecord
from web.indexes.entries import EntryIndex

WAITING_SERVICES: Final = frozenset({"orders", "payments", "deliveries", "notifications"})
"""Services whose records say what an order waits for."""

Row = tuple[str, str, Waiting]
"""Order, service, and what is waited for."""


class WaitingIndex:
    """By service. Orders that wait for nothing take no room."""

    def __init__(self) -> None:
        self._services = {
            name: EntryIndex(partial(_rows_of, name)) for name in sorted(WAITING_SERVICES)
        }

    def of(self, service: str) -> EntryIndex[tuple[Row, ...]]:
        """The listener of a service's table."""
        return self._services[service]

    def partitions(self) -> set[int]:
        """Those that this worker has."""
        return {p for index in self._services.values() for p in index.partitions()}

    def stuck(self, partition: int, now_ms: int) -> Iterator[Row]:
        """What is due by now."""
        for index in self._services.values():
            for rows in index.current(partition):
                for row in rows:
                    if row[2].due_ms <= now_ms and not row[2].is_over(now_ms):
                        yield row


def _rows_of(service: str, order_id: str, record: StoredRecord) -> tuple[Row, ...] | None:
    return tuple((order_id, service, each) for each in waiting_of(service, record)) or None


def waiting_of(service: str, record: StoredRecord) -> tuple[Waiting, ...]:
    """What a stored record says that its order waits for."""
    found = waiting(record.state)
    if record.quarantine is None:
        return found
    return (quarantined(service, record.quarantine.since_ms), *found)
