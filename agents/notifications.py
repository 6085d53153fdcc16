"""The notifications service: which events customers are notified of, and how each message ended."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from agents.decision import DecisionBuilder
from agents.dictionaries import dictionaries_of
from agents.service import GATHERED_S, Service, commands, events
from models import ids, topics
from models.commands import Command, NotificationResult, RetryNotification, SendResult
from models.events import (
    Event,
    EventType,
    NotificationFailed,
    NotificationHeld,
    NotificationRetried,
    NotificationSent,
    PaymentFailed,
)
from models.index_entries import index_of_notifications
from models.messages import fields_of
from models.notification import (
    ALL_CHANNELS,
    CHANNELS_BY_EVENT,
    ENDED_STATUSES,
    NOTIFICATION_GRAPH,
    Channel,
    E,
    Notification,
    NotificationRecord,
    NotificationStatus,
    S,
)
from models.retention import DEFAULT_RETENTION, Retention, retained_notifications
from models.times import to_rfc3339
from models.transition import Decision, Input, Outcome, ReadRow

MAX_NOTIFICATIONS: Final = 200
"""Of one order: a card that is declined all day must not make its record grow without bound."""
REPEATED, CONTACT_LIMIT, OUTDATED = "REPEATED", "CONTACT_LIMIT", "OUTDATED"
"""Codes of what is held back, by which limit, and of what was superseded."""

SUPERSEDES: Final[dict[EventType, frozenset[EventType]]] = {
    E.PAYMENT_FAILED: frozenset({E.PAYMENT_FAILED}),
    E.PAYMENT_COMPLETED: frozenset({E.PAYMENT_FAILED}),
    E.ORDER_OUT_FOR_DELIVERY: frozenset({E.ORDER_CONFIRMED}),
    E.ORDER_DELIVERED: frozenset({E.ORDER_CONFIRMED, E.ORDER_OUT_FOR_DELIVERY}),
    E.ORDER_CANCELLED: frozenset({E.PAYMENT_FAILED, E.ORDER_CONFIRMED, E.ORDER_OUT_FOR_DELIVERY}),
}
"""Event -> earlier ones whose messages are pointless after it. Messages about money are always sent."""
NEVER_REPEATED: Final = frozenset({E.PAYMENT_REFUND_PARTIAL})
"""Types whose messages are never held back as repeated: each partial refund is another one."""
FACTS: Final = {
    "amount", "currency", "receipt_url", "failure_reason", "reason", "refunded_total", "cancel_requested",
}  # fmt: skip
"""What a notification keeps of its event's data; contact data is in no event, nor here."""


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """Which notifications are made and when they are given up.

    channels: those that are set up. max_tries: so many failures are left to an operator.
    repeat_after_ms: between two messages of a kind about one order; 0: none is held back.
    """

    channels: frozenset[Channel] = frozenset(ALL_CHANNELS)
    max_tries: int = 8
    repeat_after_ms: int = 0


DEFAULT_POLICY: Final = NotificationPolicy()


class NotificationDecisionBuilder(DecisionBuilder):
    """One decision about an order's notifications."""

    def __init__(
        self, state: NotificationRecord, record: Input, policy: NotificationPolicy
    ) -> None:
        self.policy = policy
        self.notifications, self.removed = dict(state.notifications), state.removed
        super().__init__("notifications", record, state)

    def next_state(self) -> NotificationRecord:
        """The record as it is to be stored."""
        return NotificationRecord(
            notifications=self._kept(),
            removed=self.removed,
            audit_sequence=self.audit_sequence,
            occurred_at=self.at_ms,
            correlation_id=self.correlation_id,
        )

    def _kept(self) -> dict[str, Notification]:
        """All, or without the oldest ended ones; the engine drops repeated events by itself."""
        too_many = len(self.notifications) - MAX_NOTIFICATIONS
        if too_many <= 0:
            return self.notifications
        ended = [key for key, each in self.notifications.items() if each.status in ENDED_STATUSES]
        gone = frozenset(ended[:too_many])
        return {key: each for key, each in self.notifications.items() if key not in gone}

    def change(self, old: Notification, status: NotificationStatus, **changes: Any) -> Notification:
        """Take an edge of the graph, or stay where it is with other facts."""
        assert status is old.status or status in NOTIFICATION_GRAPH[old.status]
        new = replace(old, status=status, **changes)
        self.notifications[old.notification_id] = new
        return new


def decide(
    state: NotificationRecord, record: Input, _read: ReadRow, policy: NotificationPolicy
) -> Decision:
    """Decide one input of an order's notifications."""
    builder = NotificationDecisionBuilder(state, record, policy)
    outcome: Outcome | None = None
    match record.message:
        case Command(data=NotificationResult() as result):
            _result(builder, result)
        case Command(data=RetryNotification() as retried):
            outcome = _retry(builder, retried)
        case event:
            _request(builder, event)
    return Decision(builder.next_state(), builder.outputs, outcome=outcome)


def _request(builder: NotificationDecisionBuilder, event: Event) -> None:
    """Make the event's notifications durable; they are sent from the table."""
    if isinstance(event.data, PaymentFailed) and event.data.cancel_requested:
        return  # nobody is asked to pay again; what becomes of the order, ORDER_CANCELLED tells
    for channel in CHANNELS_BY_EVENT.get(event.event_type, ()):
        key = ids.notification_id(event.event_id, channel)
        if channel not in builder.policy.channels or key in builder.notifications:
            continue
        data = {name: value for name, value in fields_of(event.data).items() if value is not None}
        new = Notification(
            notification_id=key,
            event_id=event.event_id,
            event_type=event.event_type,
            channel=channel,
            facts={name: data[name] for name in sorted(FACTS & data.keys())},
            occurred_at=event.occurred_at_ms,
            requested_at=builder.at_ms,
        )
        _supersede_held(builder, new)
        builder.notifications[key] = _hold_if_repeated(builder, new)


def _supersede_held(builder: NotificationDecisionBuilder, new: Notification) -> None:
    """Held messages that the new one makes pointless are not sent."""
    outdated = SUPERSEDES.get(new.event_type, frozenset())
    for old in list(builder.notifications.values()):
        is_its = old.channel is new.channel and old.event_type in outdated
        if is_its and old.status is S.HELD and old.occurred_at <= new.occurred_at:
            builder.change(old, S.SUPERSEDED, code=OUTDATED)


def _hold_if_repeated(builder: NotificationDecisionBuilder, new: Notification) -> Notification:
    """The message, held if the order had one of the same kind a short time ago."""
    if new.event_type in NEVER_REPEATED:
        return new
    others = [each for each in builder.notifications.values() if each.channel is new.channel]
    same = [
        each.due_at
        for each in others
        if each.event_type is new.event_type and each.status is not S.SUPERSEDED
    ]
    until_ms = max(same, default=0) + builder.policy.repeat_after_ms
    if not same or until_ms <= builder.at_ms:
        return new
    # Topics are read side by side: what outdates it may have come first.
    is_outdated = any(
        new.event_type in SUPERSEDES.get(each.event_type, ()) and each.occurred_at > new.occurred_at
        for each in others
    )
    if is_outdated:
        return replace(new, status=S.SUPERSEDED, code=OUTDATED)
    held = replace(new, status=S.HELD, code=REPEATED, held_until=until_ms)
    _emit_held(builder, held)
    return held


def _emit_held(builder: NotificationDecisionBuilder, held: Notification) -> None:
    until = to_rfc3339(held.due_at)
    data = NotificationHeld(**_about(held), code=held.code or CONTACT_LIMIT, held_until=until)
    builder.emit(E.NOTIFICATION_HELD, data)


def _result(builder: NotificationDecisionBuilder, data: NotificationResult) -> None:
    """Record how a try ended; a repeated or unexpected result changes nothing."""
    old = builder.notifications.get(data.notification_id)
    if old is None or old.status is S.SENT:
        return
    if data.result is SendResult.SENT:
        tries = max(old.tries, data.attempt)
        new = builder.change(old, S.SENT, tries=tries, provider_id=data.provider_id, code=None)
        sent = NotificationSent(**_about(new), tries=new.tries, provider_id=new.provider_id)
        builder.emit(E.NOTIFICATION_SENT, sent)
        return
    if old.status not in {S.PENDING, S.HELD} or data.attempt != old.tries + 1:
        return
    if data.result is SendResult.HELD:
        until_ms = max(data.held_until or 0, builder.at_ms)
        _emit_held(builder, builder.change(old, S.HELD, code=data.code, held_until=until_ms))
        return
    status = S.PENDING
    if data.result is SendResult.REFUSED:
        status = S.FAILED
    elif old.failures + 1 >= builder.policy.max_tries:
        status = S.WAITING_FOR_OPERATOR
    new = builder.change(old, status, tries=data.attempt, code=data.code)
    if status is not S.PENDING:
        failed = NotificationFailed(
            **_about(new), tries=new.tries, status=status.value, code=data.code or "UNKNOWN"
        )
        builder.emit(E.NOTIFICATION_FAILED, failed)


def _retry(builder: NotificationDecisionBuilder, data: RetryNotification) -> Outcome:
    old = builder.notifications.get(data.notification_id)
    if old is None:
        return builder.refuse("NOTIFICATION_UNKNOWN", "This order has no such notification.")
    if old.status in {S.SENT, S.PENDING}:
        return builder.refuse(
            f"NOTIFICATION_{old.status}", f"It is {old.status}; there is nothing to retry."
        )
    new = builder.change(
        old,
        S.PENDING,
        requested_at=builder.at_ms,
        tries_before=old.tries,
        code=None,
        held_until=None,
    )
    builder.emit(
        E.NOTIFICATION_RETRIED, NotificationRetried(**_about(new), by=builder.command.issued_by)
    )
    return builder.accept()


def _about(notification: Notification) -> dict[str, Any]:
    return {
        "notification_id": notification.notification_id,
        "channel": notification.channel.value,
        "about": notification.event_type,
        "about_event_id": notification.event_id,
    }


def notifications_service(
    policy: NotificationPolicy = DEFAULT_POLICY, retention: Retention = DEFAULT_RETENTION
) -> Service[NotificationRecord]:
    """The service with its policy. The notifier (app/notifications/) sends what its table holds."""
    return Service(
        name="notifications",
        about="Decides what customers are told of, by mail and SMS, and keeps how that ended.",
        inputs={
            **dict.fromkeys(
                (topics.PAYMENT_COMPLETED, topics.PAYMENT_FAILED, topics.PAYMENT_REFUNDED,
                 topics.PAYMENT_REFUND_PARTIAL, topics.ORDER_EVENTS),
                events,
            ),
            topics.NOTIFICATION_COMMANDS: commands,
        },
        state=NotificationRecord,
        initial=NotificationRecord(),
        decide=partial(decide, policy=policy),
        has_ended=lambda state: state.has_ended,
        index_of=index_of_notifications,
        retain_by=partial(retained_notifications, retention=retention),
        retention=str(retention.details_ms),
        dictionaries=dictionaries_of("notifications"),
        gather_s=GATHERED_S,
    )  # fmt: skip
