"""The notifications of an order, for operators, and the retry of one."""

from collections.abc import Mapping
from typing import Final, Self

from models.commands import CommandType, RetryNotification
from models.messages import Message
from models.notification import Notification, NotificationRecord, NotificationStatus
from models.times import to_rfc3339, to_rfc3339_or_none
from tables import StoredRecord
from web.api.notification_errors import send_error_text
from web.http.bodies import EmptyBody
from web.http.commands import CommandRequest, CommandResult
from web.http.context import NOTIFICATIONS, Context, state_of
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.tokens import Identity
from web.indexes.notifications import NotificationEntry

S = NotificationStatus
RETRIABLE: Final = frozenset({S.WAITING_FOR_OPERATOR, S.FAILED, S.HELD, S.SUPERSEDED})


class NotificationView(Message):
    """One message about one event; whom it went to is left out. tries: made so far.

    occurredAt: of the event. requestedAt: of the event, or of the operator's last retry. code, reason:
    why the last try failed, or why it is held back, the latter in words. heldUntil: it is not sent
    before. canRetry: a retry would be accepted.
    """

    order_id: str
    notification_id: str
    event_id: str
    event_type: str
    channel: str
    status: str
    tries: int
    occurred_at: str
    requested_at: str
    provider_id: str | None = None
    code: str | None = None
    reason: str | None = None
    held_until: str | None = None
    can_retry: bool

    @classmethod
    def of(cls, entry: NotificationEntry) -> Self:
        """Show a notification."""
        return cls(
            order_id=entry.order_id,
            notification_id=entry.notification_id,
            event_id=entry.event_id,
            event_type=entry.event_type,
            channel=entry.channel,
            status=entry.status,
            tries=entry.tries,
            occurred_at=to_rfc3339(entry.occurred_ms),
            requested_at=to_rfc3339(entry.requested_ms),
            provider_id=entry.provider_id,
            code=entry.code,
            reason=send_error_text(entry.code),
            held_until=to_rfc3339_or_none(entry.held_until_ms if entry.status is S.HELD else None),
            can_retry=entry.status in RETRIABLE,
        )


class Retried(Message):
    """The message as the retry left it."""

    order_id: str
    notification: NotificationView
    consistency_token: str


def entries_of(context: Context, order_id: str) -> list[NotificationEntry]:
    """The messages of an order of this worker, the oldest first. Raises NotOwnerError, NotReadyError."""
    messages = _notifications(context.record(NOTIFICATIONS, order_id)).values()
    return [NotificationEntry.of(order_id, message) for message in messages]


def shown_of(context: Context, order_id: str) -> tuple[NotificationView, ...]:
    """The same, as they are shown."""
    return tuple(map(NotificationView.of, entries_of(context, order_id)))


def retry_notification(call: Call[Params, EmptyBody]) -> CommandRequest:
    """Try a message once more that was given up or refused."""
    name = call.id_of("notification_id")
    return retry_command(call.context, call.order_id, name, call.key, call.identity)


def retry_command(
    context: Context, order_id: str, name: str, key: str, identity: Identity
) -> CommandRequest:
    """The command that tries a message once more. At the order's owner. Raises ProblemError (404)."""
    if name not in _notifications(context.record(NOTIFICATIONS, order_id)):
        raise ProblemError("NOTIFICATION_UNKNOWN")

    async def answer(settled: CommandResult) -> Retried:
        made = NotificationEntry.of(order_id, _notifications(settled.record)[name])
        return Retried(
            order_id=order_id,
            notification=NotificationView.of(made),
            consistency_token=settled.token.text(),
        )

    return CommandRequest(
        order_id=order_id, service=NOTIFICATIONS, command_type=CommandType.RETRY_NOTIFICATION,
        data=RetryNotification(notification_id=name), action=f"retry-{name}", key=key,
        body=EmptyBody(), identity=identity, answer=answer,
    )  # fmt: skip


def _notifications(record: StoredRecord | None) -> Mapping[str, Notification]:
    return state_of(record, NotificationRecord).notifications
