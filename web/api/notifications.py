"""The notifications of an order, for operators: why one was not taken, in words, and its retry."""

from collections.abc import Mapping
from typing import Final

from models.commands import CommandType, RetryNotification
from models.notification import Notification, NotificationRecord, NotificationStatus
from tables import StoredRecord
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import EmptyBody
from web.http.commands import CommandRequest, CommandResult
from web.http.context import NOTIFICATIONS, Context, state_of
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call
from web.indexes.notifications import NotificationEntry

S = NotificationStatus
RETRIABLE: Final = frozenset({S.WAITING_FOR_OPERATOR, S.FAILED, S.HELD, S.SUPERSEDED})


WORDS: Final[dict[str, str]] = {
    "REPEATED": "The order has had such a message just now; the latest goes out when the pause is over.",
    "CONTACT_LIMIT": "This address has had as many messages as it may have in an hour; it goes out later.",
    "OUTDATED": "It was held back, and what happened since says more.",
    "TOO_OLD": "It is too old: nobody wants to read it any more.",
    "CHANNEL_OFF": "This way of sending is not set up.",
    "NO_CONTACT": "The order has nobody to write to.",
    "ADDRESS_INVALID": "The customer's mail address can't be used.",
    "NUMBER_WITHOUT_COUNTRY": "The customer's number lacks its country, such as +91.",
    "SMTP_NOT_SUPPORTED": "The mail server can't take such an address.",
    "SMTP_TIMEOUT": "The mail server took too long to answer.",
    "SMTP_BROKEN_OFF": "The mail server broke off in the middle.",
    "SMTP_UNREACHABLE": "The mail server can't be reached.",
    "SMTP_421": "The mail server is closing or too busy.",
    "SMTP_450": "The mailbox can't be written to at the moment.",
    "SMTP_451": "The mail server had a fault of its own.",
    "SMTP_452": "The mailbox is full at the moment.",
    "SMTP_530": "The mail server wants a user and password: look at the settings.",
    "SMTP_535": "The mail server refuses our user or password: look at the settings.",
    "SMTP_550": "There is no such mailbox, or it takes nothing from us.",
    "SMTP_551": "There is no such mailbox.",
    "SMTP_552": "The mailbox is full.",
    "SMTP_553": "There is no such mailbox.",
    "SMTP_554": "The mail server refused the message.",
    "SMS_UNREACHABLE": "The SMS provider can't be reached.",
    "SMS_TIMEOUT": "The SMS provider took too long to answer.",
    "TWILIO_NO_ANSWER": "The SMS provider can't be reached.",
    "TWILIO_20003": "The SMS provider refuses our account: look at the settings.",
    "TWILIO_20429": "The SMS provider is asked too often at the moment.",
    "TWILIO_21211": "There is no such number.",
    "TWILIO_21408": "Our account may not send to the number's country.",
    "TWILIO_21606": "Our own number can't send short messages: look at the settings.",
    "TWILIO_21608": "Our account is on trial, and the number is not verified with it.",
    "TWILIO_21610": "The customer has unsubscribed from short messages.",
    "TWILIO_21612": "The number can't be reached from ours.",
    "TWILIO_21614": "The number can't take short messages.",
    "TWILIO_30003": "The customer's phone is off or out of reach.",
}  # fmt: skip
"""Code of a failed try -> words. Codes of SMTP are the server's replies (RFC 5321), those of Twilio its
error codes (twilio.com/docs/api/errors), or HTTP's status where it gave none."""

FAMILIES: Final = (
    ("BUG_", "It could not be written or sent because of a fault of ours; the log has more."),
    ("SMTP_4", "The mail server refused it for now."),
    ("SMTP_5", "The mail server refused it."),
    ("TWILIO_5", "The SMS provider had a fault of its own."),
    ("TWILIO_", "The SMS provider refused it."),
)
"""Beginning of a code that is not among the words -> words."""


class NotificationView(ApiModel):
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


class Retried(ApiModel):
    """The message as the retry left it."""

    order_id: str
    notification: NotificationView
    consistency_token: str


def entries_of(context: Context, order_id: str) -> list[NotificationEntry]:
    """The messages of an order of this worker, the oldest first. Raises NotOwnerError, NotReadyError."""
    messages = _notifications(context.record(NOTIFICATIONS, order_id)).values()
    return [NotificationEntry.of(order_id, message) for message in messages]


def notification_view(entry: NotificationEntry) -> NotificationView:
    """Show a notification."""
    return view_of(
        NotificationView,
        entry,
        occurred_at=entry.occurred_ms,
        requested_at=entry.requested_ms,
        reason=send_error_text(entry.code),
        held_until=entry.held_until_ms if entry.status is S.HELD else None,
        can_retry=entry.status in RETRIABLE,
    )


def shown_of(context: Context, order_id: str) -> tuple[NotificationView, ...]:
    """The same, as they are shown."""
    return tuple(map(notification_view, entries_of(context, order_id)))


def retry_notification(call: Call[Params, EmptyBody]) -> CommandRequest:
    """Try a message once more that was given up or refused."""
    return retry_command(call, call.id_of("notification_id"))


def retry_command(call: Call[Params, EmptyBody], name: str) -> CommandRequest:
    """The command that tries a message once more. At the order's owner. Raises ProblemError (404)."""
    order_id = call.order_id
    if name not in _notifications(call.context.record(NOTIFICATIONS, order_id)):
        raise ProblemError("NOTIFICATION_UNKNOWN")

    async def answer(settled: CommandResult) -> Retried:
        made = NotificationEntry.of(order_id, _notifications(settled.record)[name])
        shown, token = notification_view(made), settled.token.text()
        return Retried(order_id=order_id, notification=shown, consistency_token=token)

    return CommandRequest(
        order_id=order_id, service=NOTIFICATIONS, command_type=CommandType.RETRY_NOTIFICATION,
        data=RetryNotification(notification_id=name), action=f"retry-{name}", key=call.key,
        body=call.body, identity=call.identity, answer=answer,
    )  # fmt: skip


def send_error_text(code: str | None) -> str | None:
    """The words for a code; None for none."""
    if code is None:
        return None
    found = (words for begin, words in FAMILIES if code.startswith(begin))
    return WORDS.get(code) or next(found, "It was not taken.")


def _notifications(record: StoredRecord | None) -> Mapping[str, Notification]:
    return state_of(record, NotificationRecord).notifications
