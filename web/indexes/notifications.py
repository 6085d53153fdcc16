"""The messages to customers of owned partitions: compact entries, which lists are made of."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from models.index_entries import ENDED
from models.notification import Notification, NotificationRecord, NotificationStatus
from tables import StateTable, StoredRecord
from web.indexes.entries import EntryIndex, has_ended, latest_ended

ENDED_AS: Final = (NotificationStatus.FAILED, NotificationStatus.SENT)
MAX_ENDED_LISTED: Final = 500
"""Orders whose messages have all ended: of each partition, the latest so many with a failed one and without."""


@dataclass(frozen=True, slots=True)
class NotificationEntry:
    """One message in lists; see models.notification.Notification. Times in milliseconds since the epoch."""

    order_id: str
    notification_id: str
    event_id: str
    event_type: str
    channel: str
    status: NotificationStatus
    tries: int
    occurred_ms: int
    requested_ms: int
    provider_id: str | None
    code: str | None
    held_until_ms: int | None

    @classmethod
    def of(cls, order_id: str, notification: Notification) -> "NotificationEntry":
        """Of a stored one."""
        return cls(
            order_id=order_id,
            notification_id=notification.notification_id,
            event_id=notification.event_id,
            event_type=notification.event_type,
            channel=notification.channel,
            status=notification.status,
            tries=notification.tries,
            occurred_ms=notification.occurred_at,
            requested_ms=notification.requested_at,
            provider_id=notification.provider_id,
            code=notification.code,
            held_until_ms=notification.held_until,
        )


class NotificationIndex(EntryIndex[tuple[NotificationEntry, ...]]):
    """A listener of notifications' table: orders of which something is left to be sent, in memory."""

    def __init__(self, table: StateTable) -> None:
        super().__init__(_open_entries_of)
        self._table = table

    def entries(self, partition: int) -> Iterator[NotificationEntry]:
        """All messages of orders under way, and those of the latest MAX_ENDED_LISTED others of each kind.

        In no order. Raises NotOwnerError, NotReadyError.
        """
        yield from chain.from_iterable(self.current(partition))
        for status in ENDED_AS:
            prefix = f"{ENDED}{status}/"
            for record in latest_ended(self._table, partition, prefix, MAX_ENDED_LISTED):
                yield from _entries_of(record.key, record)

    def counts(self, partition: int) -> Counter[str]:
        """Status -> number of all messages. Raises NotOwnerError, NotReadyError."""
        return Counter(self._table.sums(partition))

    def is_bounded(self, partition: int) -> bool:
        """Whether there are more than `entries` gives. Raises NotOwnerError, NotReadyError."""
        return any(
            next(
                islice(self._table.entries(partition, f"{ENDED}{status}/"), MAX_ENDED_LISTED, None),
                None,
            )
            for status in ENDED_AS
        )


def _entries_of(order_id: str, record: StoredRecord) -> tuple[NotificationEntry, ...]:
    state: NotificationRecord = record.state
    return tuple(NotificationEntry.of(order_id, each) for each in state.notifications.values())


def _open_entries_of(order_id: str, record: StoredRecord) -> tuple[NotificationEntry, ...] | None:
    return None if has_ended(record) else _entries_of(order_id, record) or None
