"""What customers were told of an order, for operators: the list of its messages, and another try."""

from typing import Final

from aiohttp import web

from models import ids
from models.commands import CommandType, RetryNotification
from models.messages import Message, to_rfc3339
from models.notification import Notification, NotificationRecord
from tables import StoredRecord
from web import auth, consistency
from web.bodies import Body, read_json
from web.context import CONTEXT, Context
from web.params import idempotency_key, order_id_of
from web.problems import ProblemError
from web.tokens import Role
from web.writes import (
    LateError,
    Write,
    accepted_later,
    at_owner,
    check_order_is_known,
    first_of_its_key,
    json_response,
    settle,
    with_token,
)

NOTIFICATIONS: Final = "notifications"


class NotificationView(Message):
    """One message about one event; whom it went to is not told. tries: made so far."""

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

    @classmethod
    def of(cls, notification: Notification) -> "NotificationView":
        """Show a notification."""
        return cls(
            notification_id=notification.notification_id,
            event_id=notification.event_id,
            event_type=notification.event_type,
            channel=notification.channel,
            status=notification.status,
            tries=notification.tries,
            occurred_at=to_rfc3339(notification.occurred_at),
            requested_at=to_rfc3339(notification.requested_at),
            provider_id=notification.provider_id,
            code=notification.code,
        )


class NotificationList(Message):
    """An order's messages, the oldest first."""

    order_id: str
    notifications: tuple[NotificationView, ...]


class RetryBody(Body):
    """Nothing needs to be said."""


class Retried(Message):
    """The message as the retry left it."""

    order_id: str
    notification: NotificationView
    consistency_token: str


async def list_notifications(request: web.Request) -> web.StreamResponse:
    """The messages to the customer of an order, and how they ended."""
    context = request.app[CONTEXT]
    order_id = request.query.get("order", "")
    await auth.authorize(request, context.deps, order_id, Role.OPERATOR)
    if not ids.is_order_id(order_id):
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("order", "accepted: an id of ours, order_...")]
        )
    token = consistency.token_of_request(request, order_id)
    forwarded = await at_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    await consistency.hold(context, order_id, token, [NOTIFICATIONS])
    check_order_is_known(context, order_id)
    shown = shown_of(context, order_id)
    return json_response(NotificationList(order_id=order_id, notifications=shown))


def shown_of(context: Context, order_id: str) -> tuple[NotificationView, ...]:
    """The messages of an order of this worker. Raises NotOwnerError, NotReadyError."""
    state = _state(context.record(NOTIFICATIONS, order_id))
    return tuple(NotificationView.of(each) for each in state.notifications.values())


async def retry_notification(request: web.Request) -> web.StreamResponse:
    """Try a message once more that was given up or refused."""
    context = request.app[CONTEXT]
    order_id = order_id_of(request)
    name = request.match_info["notification_id"]
    key = idempotency_key(request)
    body = await read_json(request, RetryBody, context.deps.body_limit_bytes, may_be_empty=True)
    identity = await auth.authorize(request, context.deps, order_id, Role.OPERATOR)
    forwarded = await at_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    if name not in _state(context.record(NOTIFICATIONS, order_id)).notifications:
        raise ProblemError("NOTIFICATION_UNKNOWN")
    write = Write(
        order_id=order_id, service=NOTIFICATIONS, command_type=CommandType.RETRY_NOTIFICATION,
        data=RetryNotification(notification_id=name), action=f"retry-{name}", key=key, body=body,
        identity=identity,
    )  # fmt: skip
    with first_of_its_key(context, write):
        try:
            settled = await settle(context, write)
        except LateError:
            return accepted_later(order_id)
    token = consistency.token_of(order_id, NOTIFICATIONS, settled.record, settled.outcome)
    answer = Retried(
        order_id=order_id,
        notification=NotificationView.of(_state(settled.record).notifications[name]),
        consistency_token=token.text(),
    )
    return with_token(json_response(answer), token)


def _state(record: StoredRecord | None) -> NotificationRecord:
    state = record.state if record else None
    return state if isinstance(state, NotificationRecord) else NotificationRecord()
