"""Notifications: which events customers are notified of, their states and their record."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import field

from models.commands import CommandType
from models.events import EventType
from models.messages import Message

E, C = EventType, CommandType


class Channel(StrEnum):
    """Ways to reach a customer."""

    EMAIL = "EMAIL"
    SMS = "SMS"


class NotificationStatus(StrEnum):
    """States of a notification; see NOTIFICATION_GRAPH."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    WAITING_FOR_OPERATOR = "WAITING_FOR_OPERATOR"
    HELD = "HELD"
    SUPERSEDED = "SUPERSEDED"


S = NotificationStatus
NOTIFICATION_GRAPH: Final[dict[NotificationStatus | None, frozenset[NotificationStatus]]] = {
    None: frozenset({S.PENDING, S.HELD, S.SUPERSEDED}),
    S.PENDING: frozenset({S.SENT, S.FAILED, S.WAITING_FOR_OPERATOR, S.HELD}),
    S.HELD: frozenset({S.PENDING, S.SENT, S.FAILED, S.WAITING_FOR_OPERATOR, S.SUPERSEDED}),
    S.SUPERSEDED: frozenset({S.PENDING, S.SENT}),
    # A provider that took it after all (a worker that was given up reports late) is believed.
    S.FAILED: frozenset({S.PENDING, S.SENT}),
    S.WAITING_FOR_OPERATOR: frozenset({S.PENDING, S.SENT}),
    S.SENT: frozenset(),
}
"""FAILED: no repetition can help (no such address). WAITING_FOR_OPERATOR: all tries are used up. HELD: sent
later, for the order or its contact has had as many messages as it may have. SUPERSEDED: it was held, and
what happened to the order since says all of it, and more."""

ENDED_STATUSES: Final = frozenset({S.SENT, S.FAILED, S.SUPERSEDED})
"""Nothing is left to be done, unless an operator says so."""
ALL_CHANNELS: Final = (Channel.EMAIL, Channel.SMS)

CHANNELS_BY_EVENT: Final[dict[EventType, tuple[Channel, ...]]] = {
    E.PAYMENT_COMPLETED: ALL_CHANNELS,
    E.PAYMENT_FAILED: ALL_CHANNELS,
    E.PAYMENT_REFUNDED: ALL_CHANNELS,
    E.PAYMENT_REFUND_PARTIAL: ALL_CHANNELS,
    E.ORDER_CONFIRMED: ALL_CHANNELS,
    E.ORDER_OUT_FOR_DELIVERY: ALL_CHANNELS,
    E.ORDER_DELIVERED: ALL_CHANNELS,
    E.ORDER_CANCELLED: ALL_CHANNELS,
}
"""Event -> the channels by which the customer is told of it."""


class Notification(Message):
    """One message about one event by one channel; times in milliseconds since the epoch.

    occurredAt: of the event. requestedAt: of the event, or of the operator's last retry.
    tries: made and reported so far. triesBefore: those made before the operator's last retry.
    heldUntil: it is not sent before. providerId: the receipt of the mail server or SMS provider.
    code: why the last try failed, or why it is held.
    """

    notification_id: str
    event_id: str
    event_type: EventType
    channel: Channel
    status: NotificationStatus = NotificationStatus.PENDING
    facts: dict[str, str | int] = field(default_factory=dict)
    occurred_at: int
    requested_at: int
    tries: int = 0
    tries_before: int = 0
    provider_id: str | None = None
    code: str | None = None
    held_until: int | None = None

    @property
    def due_at(self) -> int:
        """From when on it may be sent, in milliseconds since the epoch."""
        return max(self.requested_at, self.held_until or 0)

    @property
    def failures(self) -> int:
        """Tries that failed since it was requested (again)."""
        return self.tries - self.tries_before


class NotificationRecord(Message):
    """State of an order in the notifications table: notifications by id, the oldest first.

    removed: status -> number of earlier ones, of which nothing else is kept (models/retention.py).
    """

    notifications: dict[str, Notification] = field(default_factory=dict)
    removed: dict[NotificationStatus, int] = field(default_factory=dict)
    audit_sequence: int = 0
    occurred_at: int = 0
    correlation_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Nothing is left to be sent, unless an operator says so."""
        return all(each.status in ENDED_STATUSES for each in self.notifications.values())

    def with_status(self, *statuses: NotificationStatus) -> Iterator[Notification]:
        """Notifications with this status."""
        return (each for each in self.notifications.values() if each.status in statuses)
