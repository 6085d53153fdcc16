"""The messages to customers of owned partitions: compact entries, which lists are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from models.notification import ENDED_STATUSES, Notification, NotificationRecord, NotificationStatus
from tables import StateTable, StoredRecord
from web.indexes.entries import LatestEndedIndex

S = NotificationStatus


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


class NotificationIndex(LatestEndedIndex[tuple[NotificationEntry, ...]]):
    """Orders' messages, as ended once nothing is left to be sent; a listener of notifications' table."""

    def __init__(self, table: StateTable) -> None:
        super().__init__(table, _entries_of, _ended_as, lambda entries: entries[-1].occurred_ms)

    def entries(self, partition: int) -> Iterator[NotificationEntry]:
        """All messages that are known, in no order."""
        return chain.from_iterable([*self.current(partition), *self.ended(partition)])


def _entries_of(order_id: str, record: StoredRecord) -> tuple[NotificationEntry, ...] | None:
    state: NotificationRecord = record.state
    messages = state.notifications.values()
    return tuple(NotificationEntry.of(order_id, each) for each in messages) or None


def _ended_as(record: StoredRecord) -> NotificationStatus | None:
    """FAILED where a message was given up: so many of these are kept beside those that were sent."""
    state: NotificationRecord = record.state
    statuses = {each.status for each in state.notifications.values()}
    if not statuses <= ENDED_STATUSES:
        return None
    return S.FAILED if S.FAILED in statuses else S.SENT
