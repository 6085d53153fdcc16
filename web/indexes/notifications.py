"""The messages to customers of owned partitions, in memory: what the list of all of them is made of.

A listener of notifications' table: it shows what is durable, holds compact entries and no contact data,
and is dropped with its partition. Orders of whose messages nothing is left to be sent are many: the
latest are kept, and those of before this worker had the partition are read when somebody first asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from models.notification import ENDED_STATUSES, Notification, NotificationRecord, NotificationStatus
from tables import StateTable, StoredRecord
from web.indexes.ended import EndedRecordsReader

MAX_ENDED_KEPT: Final = 500
"""Orders whose messages have ended: of each partition, at least the latest so many; as many again of
which a message was given up."""

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


@dataclass(slots=True)
class _PartitionNotifications:
    """ended: orders of whose messages nothing is left to be sent, by what became of them."""

    orders: dict[str, tuple[NotificationEntry, ...]] = field(default_factory=dict)
    ended: dict[NotificationStatus, dict[str, None]] = field(
        default_factory=lambda: {S.SENT: {}, S.FAILED: {}}
    )
    is_bounded: bool = False


class NotificationIndex:
    """All methods run on the worker's event loop."""

    def __init__(self, table: StateTable) -> None:
        self._partitions: dict[int, _PartitionNotifications] = {}
        self._ended = EndedRecordsReader(table, self._tell)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in an order's messages."""
        state: NotificationRecord = record.state
        known = self._partitions.setdefault(partition, _PartitionNotifications())
        for ended in known.ended.values():
            ended.pop(key, None)
        if not state.notifications:
            known.orders.pop(key, None)
            return
        entries = tuple(NotificationEntry.of(key, each) for each in state.notifications.values())
        known.orders[key] = entries
        statuses = {entry.status for entry in entries}
        if statuses <= ENDED_STATUSES:
            self._put_ended(known, S.FAILED if S.FAILED in statuses else S.SENT, key)

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._partitions.pop(partition, None)
        self._ended.closed(partition)

    def entries(self, partition: int) -> Iterator[NotificationEntry]:
        """All that are known, in no order."""
        for entries in self._partitions.get(partition, _PartitionNotifications()).orders.values():
            yield from entries

    def is_bounded(self, partition: int) -> bool:
        """Whether there are older ones, which are in the table alone."""
        return self._partitions.get(partition, _PartitionNotifications()).is_bounded

    async def read_ended(self, partition: int, within_s: float) -> None:
        """Once for each partition: learn of those that were left out when the index was built.

        Raises NotOwnerError, and NotReadyError also when it takes longer than that.
        """
        await self._ended.read(partition, within_s)

    def _tell(self, partition: int, record: StoredRecord) -> None:
        self.updated(partition, record.key, record)

    def _put_ended(
        self, known: _PartitionNotifications, status: NotificationStatus, key: str
    ) -> None:
        ended = known.ended[status]
        ended[key] = None
        if len(ended) <= 2 * MAX_ENDED_KEPT:
            return
        # Halved at once, so that sorting costs little an order.
        by_age = sorted(ended, key=lambda order_id: known.orders[order_id][-1].occurred_ms)
        for order_id in by_age[:-MAX_ENDED_KEPT]:
            del ended[order_id], known.orders[order_id]
        known.is_bounded = True
