"""What customers were told of an order, for operators: its messages, and another try."""

from typing import Final, Self

from aiohttp import web

from models.commands import CommandType, RetryNotification
from models.messages import Message
from models.notification import NotificationRecord, NotificationStatus
from models.times import to_rfc3339, to_rfc3339_or_none
from tables import StoredRecord
from web.api.notification_errors import send_error_text
from web.http import auth
from web.http.bodies import Body, read_json
from web.http.commands import (
    CommandRequest,
    CommandResult,
    answered,
    check_order_is_known,
    forwarded_to_owner,
)
from web.http.context import CONTEXT, NOTIFICATIONS, Context
from web.http.params import idempotency_key, order_id_of
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.indexes.notifications import NotificationEntry

S = NotificationStatus
RETRIABLE: Final = frozenset({S.WAITING_FOR_OPERATOR, S.FAILED, S.HELD, S.SUPERSEDED})


class NotificationView(Message):
    """One message about one event; whom it went to is not told. tries: made so far.

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


class RetryBody(Body):
    """Nothing needs to be said."""


class Retried(Message):
    """The message as the retry left it."""

    order_id: str
    notification: NotificationView
    consistency_token: str


def entries_of(context: Context, order_id: str) -> list[NotificationEntry]:
    """The messages of an order of this worker, the oldest first. Raises NotOwnerError, NotReadyError."""
    messages = _state(context.record(NOTIFICATIONS, order_id)).notifications.values()
    return [NotificationEntry.of(order_id, message) for message in messages]


def shown_of(context: Context, order_id: str) -> tuple[NotificationView, ...]:
    """The same, as they are shown."""
    return tuple(map(NotificationView.of, entries_of(context, order_id)))


async def retry_notification(request: web.Request) -> web.StreamResponse:
    """Try a message once more that was given up or refused."""
    context = request.app[CONTEXT]
    order_id = order_id_of(request)
    name = request.match_info["notification_id"]
    key = idempotency_key(request)
    identity = await auth.authorize(request, context.deps, order_id, Role.OPERATOR)
    body = await read_json(request, RetryBody, context.deps.body_limit_bytes, may_be_empty=True)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    if name not in _state(context.record(NOTIFICATIONS, order_id)).notifications:
        raise ProblemError("NOTIFICATION_UNKNOWN")
    write = CommandRequest(
        order_id=order_id, service=NOTIFICATIONS, command_type=CommandType.RETRY_NOTIFICATION,
        data=RetryNotification(notification_id=name), action=f"retry-{name}", key=key, body=body,
        identity=identity,
    )  # fmt: skip

    def answer(settled: CommandResult, token: str) -> Retried:
        made = NotificationEntry.of(order_id, _state(settled.record).notifications[name])
        shown = NotificationView.of(made)
        return Retried(order_id=order_id, notification=shown, consistency_token=token)

    return await answered(context, write, answer)


def _state(record: StoredRecord | None) -> NotificationRecord:
    state = record.state if record else None
    return state if isinstance(state, NotificationRecord) else NotificationRecord()
