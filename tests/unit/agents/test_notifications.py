"""Notifications' decide: any order, any repetition, and what each try leads to."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.notifications import (
    MAX_NOTIFICATIONS,
    NEVER_REPEATED,
    NotificationPolicy,
    notifications_service,
)
from models import ids, topics
from models.commands import Command, CommandType, NotificationResult, RetryNotification, SendResult
from models.events import (
    AUDIT_TYPES,
    EVENTS,
    Event,
    EventType,
    OrderCancelled,
    OrderMoved,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefund,
    read_event,
)
from models.graphs import RefundStatus
from models.messages import Message, encode, fields_of
from models.notification import (
    CHANNELS_BY_EVENT,
    NOTIFICATION_GRAPH,
    Channel,
    Notification,
    NotificationRecord,
    NotificationStatus,
)
from models.times import to_rfc3339
from models.transition import Decision, Input, Outcome

E, S = EventType, NotificationStatus
ORDER = ids.order_id("guest", "notified")
PAYMENT = ids.payment_id(ORDER)
NOW = 1_700_000_000_000
TRIES = 3


def data_of(kind: EventType) -> Message:
    common = {"payment_id": PAYMENT, "order_id": ORDER}
    match kind:
        case E.PAYMENT_COMPLETED:
            return PaymentCompleted(
                **common, amount=250_000, currency="INR", stripe_charge_id="ch_1",
                receipt_url="https://stripe.example/r", attempt=1,
            )  # fmt: skip
        case E.PAYMENT_FAILED:
            return PaymentFailed(**common, failure_reason="expired_card", attempt=1)
        case E.PAYMENT_REFUNDED | E.PAYMENT_REFUND_PARTIAL:
            return PaymentRefund(
                **common, refund_id="refund_1", stripe_refund_id="re_1", amount=250_000, currency="INR",
                status=RefundStatus.SUCCEEDED, reason="x", by="orders", refunded_total=250_000,
            )  # fmt: skip
        case E.ORDER_CANCELLED:
            return OrderCancelled(reason="CUSTOMER_REQUEST", by="customer:guest")
    return OrderMoved()


def event_of(kind: EventType, number: int = 1) -> Event:
    return Event(
        event_id=f"event-{kind}-{number}", event_type=kind, occurred_at=to_rfc3339(NOW + number),
        order_id=ORDER, payment_id=PAYMENT, sequence=number, causation_id="cause",
        correlation_id="first", producer="payments" if kind.startswith("PAYMENT") else "orders",
        data=data_of(kind),
    )  # fmt: skip


class NotificationHarness:
    """The service's record of one order; each input is decided twice and read back from JSON."""

    def __init__(self, policy: NotificationPolicy | None = None) -> None:
        self.service = notifications_service(policy or NotificationPolicy(max_tries=TRIES))
        self.state = self.service.load(None)
        self.audit: list[Event] = []
        self.number = 0

    @property
    def all(self) -> dict[str, Notification]:
        return self.state.notifications

    def take(self, topic: str, message: Any) -> Decision:
        self.number += 1
        header, read = self.service.parse(topic, ORDER.encode(), encode(message))
        record = Input(topic, ORDER, header, read, NOW + self.number)
        decision = self.service.decide(self.state, record, lambda _: None)
        assert self.service.decide(self.state, record, lambda _: None) == decision
        stored = orjson.loads(orjson.dumps(self.service.dump(decision.state)))
        self.state = self.service.load(stored)
        assert self.state == decision.state
        for output in decision.outputs:
            assert output.topic == topics.ORDER_AUDIT
            self.audit.append(read_event(ORDER.encode(), output.value))
        return decision

    def event(self, event: Event) -> Decision:
        return self.take(EVENTS[event.event_type].topics[-1], event)

    def command(
        self, kind: CommandType, data: Message, by: str = "operator:olga"
    ) -> Outcome | None:
        command = Command(
            command_id=f"cmd_{self.number}", command_type=kind, issued_at=to_rfc3339(NOW), issued_by=by,
            order_id=ORDER, data=data,
        )  # fmt: skip
        return self.take(topics.NOTIFICATION_COMMANDS, command).outcome

    def result(self, name: str, attempt: int, result: SendResult) -> None:
        code = None if result is SendResult.SENT else "SMTP_451"
        given_id = "Q1" if result is SendResult.SENT else None
        data = NotificationResult(
            notification_id=name, attempt=attempt, result=result, code=code, provider_id=given_id
        )
        assert self.command(CommandType.NOTIFICATION_RESULT, data, "system:notifier") is None

    def retry(self, name: str) -> Outcome:
        outcome = self.command(
            CommandType.RETRY_NOTIFICATION, RetryNotification(notification_id=name)
        )
        assert outcome is not None
        return outcome

    def one(self, kind: EventType = E.ORDER_CONFIRMED) -> Notification:
        """A fresh mail's notification."""
        event = event_of(kind)
        self.event(event)
        return self.all[ids.notification_id(event.event_id, Channel.EMAIL)]

    def types(self) -> list[EventType]:
        return [event.event_type for event in self.audit]


MADE_EVENTS = [event_of(kind, number) for kind in CHANNELS_BY_EVENT for number in (1, 2)]
FEW = [event_of(E.PAYMENT_FAILED, 1), event_of(E.PAYMENT_FAILED, 2), event_of(E.ORDER_PREPARING)]
NAMES = [ids.notification_id(e.event_id, Channel.EMAIL) for e in FEW[:2]]  # so few that acts meet
ACTS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(FEW)),
    st.tuples(
        st.just("result"),
        st.sampled_from(NAMES),
        st.integers(1, 5),
        st.sampled_from(SendResult),
    ),
    st.tuples(st.just("retry"), st.sampled_from(NAMES)),
)


@settings(deadline=None)
@given(st.lists(ACTS, max_size=60))
def test_whatever_comes_in_whatever_order(acts: list[tuple[Any, ...]]) -> None:
    world = NotificationHarness()
    told: set[str] = set()
    for act in acts:
        before = world.all
        if act[0] == "event":
            world.event(act[1])
            channels = CHANNELS_BY_EVENT.get(act[1].event_type, ())
            told |= {ids.notification_id(act[1].event_id, channel) for channel in channels}
        else:
            getattr(world, act[0])(*act[1:])
        assert set(world.all) == told, "one for each event and channel, whatever was repeated"
        for name, new in world.all.items():
            old = before.get(name)
            assert old is None or new.tries >= old.tries
            if old and old.status is S.SENT:
                assert new == old, "what is sent stays sent"
            if old is None or old.status is not new.status:
                assert new.status in NOTIFICATION_GRAPH[old.status if old else None]
            if new.status is S.PENDING:
                assert new.failures < TRIES
    sent = Counter(
        e.data.notification_id for e in world.audit if e.event_type is E.NOTIFICATION_SENT
    )
    assert sent == {n: 1 for n, each in world.all.items() if each.status is S.SENT}
    assert [event.sequence for event in world.audit] == list(range(1, len(world.audit) + 1))
    times = [event.occurred_at for event in world.audit]
    assert times == sorted(times)


@settings(deadline=None, max_examples=30)
@given(st.permutations(MADE_EVENTS))
def test_the_order_of_events_makes_no_difference_to_what_is_told(events: list[Event]) -> None:
    def told(order: list[Event]) -> dict[str, Any]:
        world = NotificationHarness()
        for event in order:
            world.event(event)
        return {name: fields_of(each, but={"requested_at"}) for name, each in world.all.items()}

    assert told(events) == told(MADE_EVENTS)


def test_every_event_that_is_told_is_read_and_the_audit_is_not() -> None:
    service = notifications_service()
    for kind in CHANNELS_BY_EVENT:
        assert [t for t in EVENTS[kind].topics if t in service.inputs], f"nobody reads {kind}"
        assert len([t for t in EVENTS[kind].topics if t in service.inputs]) == 1, "each only once"
    assert not CHANNELS_BY_EVENT.keys() & AUDIT_TYPES


def test_events_that_nobody_is_told_of_change_nothing() -> None:
    world = NotificationHarness()
    decision = world.event(event_of(E.ORDER_PREPARING))
    assert not world.all
    assert not decision.outputs


def test_a_channel_that_is_not_set_up_gets_nothing() -> None:
    world = NotificationHarness(NotificationPolicy(channels=frozenset({Channel.SMS})))
    world.event(event_of(E.ORDER_CONFIRMED))
    assert {each.channel for each in world.all.values()} == {Channel.SMS}


def test_facts_are_those_of_the_event_and_no_more() -> None:
    notification = NotificationHarness().one(E.PAYMENT_COMPLETED)
    assert notification.facts == {
        "amount": 250_000, "currency": "INR", "receipt_url": "https://stripe.example/r"
    }  # fmt: skip
    assert notification.occurred_at == NOW + 1


def test_failures_are_counted_then_an_operator_is_waited_for_then_a_retry_begins_anew() -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    for attempt in range(1, TRIES + 1):
        assert world.all[name].status is S.PENDING
        world.result(name, attempt, SendResult.DEFERRED)
    assert world.all[name].status is S.WAITING_FOR_OPERATOR
    assert world.types() == [E.NOTIFICATION_FAILED]
    assert world.audit[0].data.status == "WAITING_FOR_OPERATOR"
    requested_at = world.all[name].requested_at
    assert world.retry(name).accepted
    again = world.all[name]
    assert (again.status, again.tries, again.failures) == (S.PENDING, TRIES, 0)
    assert again.requested_at > requested_at
    world.result(name, TRIES + 1, SendResult.DEFERRED)
    assert world.all[name].status is S.PENDING, "all tries are there anew"
    for _ in range(2):
        world.result(name, TRIES + 2, SendResult.SENT)
    assert world.all[name].status is S.SENT
    assert world.types()[1:] == [E.NOTIFICATION_RETRIED, E.NOTIFICATION_SENT]
    assert world.audit[1].data.by == "operator:olga"


def test_a_refusal_ends_it_at_once() -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    world.result(name, 1, SendResult.REFUSED)
    assert world.all[name].status is S.FAILED
    told = world.audit[0].data
    assert told.code == "SMTP_451"
    assert (told.about, told.about_event_id) == (E.ORDER_CONFIRMED, "event-ORDER_CONFIRMED-1")


def test_a_late_success_of_a_worker_that_was_given_up_wins() -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    world.result(name, 1, SendResult.REFUSED)
    world.result(name, 1, SendResult.SENT)
    assert world.all[name].status is S.SENT


def test_a_result_that_was_noted_before_counts_once() -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    for _ in range(TRIES):
        world.result(name, 1, SendResult.DEFERRED)
    assert (world.all[name].status, world.all[name].tries) == (S.PENDING, 1)


@pytest.mark.parametrize(
    ("result", "code"), [(None, "NOTIFICATION_PENDING"), (SendResult.SENT, "NOTIFICATION_SENT")]
)
def test_a_retry_of_what_needs_none_is_refused(result: SendResult | None, code: str) -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    if result:
        world.result(name, 1, result)
    before = world.all[name]
    outcome = world.retry(name)
    assert (outcome.accepted, outcome.code) == (False, code)
    assert world.all[name] == before
    assert world.types()[-1] is E.COMMAND_REFUSED


def test_a_retry_of_what_is_not_there_is_refused() -> None:
    assert NotificationHarness().retry("notif_x").code == "NOTIFICATION_UNKNOWN"


def test_a_record_stays_small_however_often_a_card_is_declined() -> None:
    world = NotificationHarness()
    for number in range(1, MAX_NOTIFICATIONS + 1):
        event = event_of(E.PAYMENT_FAILED, number)
        world.event(event)
        for channel in Channel:
            world.result(ids.notification_id(event.event_id, channel), 1, SendResult.SENT)
    assert len(world.all) <= MAX_NOTIFICATIONS
    assert ids.notification_id(event.event_id, Channel.EMAIL) in world.all


def test_terminal_means_that_nothing_is_left_to_be_sent() -> None:
    world = NotificationHarness()
    assert world.service.has_ended(NotificationRecord())
    world.one()
    first, second = world.all
    assert not world.service.has_ended(world.state)
    world.result(first, 1, SendResult.SENT)
    for attempt in range(1, TRIES + 1):
        world.result(second, attempt, SendResult.DEFERRED)
    assert not world.service.has_ended(world.state), "it waits for an operator"
    world.result(second, TRIES + 1, SendResult.SENT)
    assert world.service.has_ended(world.state)


# -- how often

PAUSE_MS = 1_000


def declining(world: NotificationHarness, number: int, at_ms: int) -> Notification:
    """A decline that is read at that time; gives its mail."""
    world.number = at_ms - 1
    event = event_of(E.PAYMENT_FAILED, number)
    world.event(event)
    return world.all[ids.notification_id(event.event_id, Channel.EMAIL)]


def limited() -> NotificationHarness:
    return NotificationHarness(NotificationPolicy(max_tries=TRIES, repeat_after_ms=PAUSE_MS))


def of_channel(
    world: NotificationHarness, channel: Channel = Channel.EMAIL
) -> Counter[NotificationStatus]:
    return Counter(each.status for each in world.all.values() if each.channel is channel)


def test_twenty_declines_are_one_message_and_later_the_last_one() -> None:
    world = limited()
    mails = [declining(world, number, 10 * number) for number in range(1, 21)]
    for channel in Channel:
        assert of_channel(world, channel) == {S.PENDING: 1, S.HELD: 1, S.SUPERSEDED: 18}
    last = world.all[mails[-1].notification_id]
    assert (last.status, last.code, last.held_until) == (S.HELD, "REPEATED", NOW + 10 + PAUSE_MS)
    held = [event for event in world.audit if event.event_type is E.NOTIFICATION_HELD]
    assert len(held) == 19 * len(Channel), "each is recorded"
    assert {event.data.code for event in held} == {"REPEATED"}
    assert not world.service.has_ended(world.state)
    world.result(last.notification_id, 1, SendResult.SENT)
    assert world.all[last.notification_id].status is S.SENT


def test_after_the_pause_the_next_one_is_told_at_once_and_the_pause_begins_anew() -> None:
    world = limited()
    assert declining(world, 1, 1).status is S.PENDING
    assert declining(world, 2, PAUSE_MS).status is S.HELD
    # The second one goes at 1 + PAUSE_MS; a third would be the next after it.
    world.result(ids.notification_id("event-PAYMENT_FAILED-2", Channel.EMAIL), 1, SendResult.SENT)
    third = declining(world, 3, PAUSE_MS + 100)
    assert (third.status, third.held_until) == (S.HELD, NOW + 1 + 2 * PAUSE_MS)
    assert declining(world, 4, 2 * PAUSE_MS).status is S.HELD
    assert declining(world, 5, 1 + 2 * PAUSE_MS).status is S.PENDING, "in the place of the fourth"
    assert of_channel(world) == {S.PENDING: 2, S.SENT: 1, S.SUPERSEDED: 2}


@pytest.mark.parametrize("kind", [E.PAYMENT_COMPLETED, E.ORDER_CANCELLED])
def test_what_ends_it_is_told_and_the_declines_before_are_not_any_more(kind: EventType) -> None:
    world = limited()
    for number in (1, 2):
        declining(world, number, number)
    world.number = 3
    world.event(event_of(kind, 3))
    end = world.all[ids.notification_id(f"event-{kind}-3", Channel.EMAIL)]
    assert end.status is S.PENDING
    assert of_channel(world) == {S.PENDING: 2, S.SUPERSEDED: 1}
    late = declining(world, 2, 4)
    assert late.status is S.SUPERSEDED


def test_a_decline_that_is_read_after_the_success_that_followed_it_is_not_held_for_later() -> None:
    world = limited()
    declining(world, 1, 1)
    world.event(event_of(E.PAYMENT_COMPLETED, 9))
    assert declining(world, 2, 5).status is S.SUPERSEDED


def test_each_part_of_a_refund_is_told_at_once() -> None:
    world = limited()
    for number in (1, 2, 3):
        world.event(event_of(E.PAYMENT_REFUND_PARTIAL, number))
    world.event(event_of(E.ORDER_DELIVERED, 4))
    assert of_channel(world) == {S.PENDING: 4}


def test_a_contact_that_has_had_enough_holds_a_message_back_and_an_operator_may_send_it() -> None:
    world = NotificationHarness()
    name = world.one().notification_id
    for until in (NOW + 5_000, NOW + 9_000):
        data = NotificationResult(
            notification_id=name, attempt=1, result=SendResult.HELD, code="CONTACT_LIMIT",
            held_until=until,
        )  # fmt: skip
        world.command(CommandType.NOTIFICATION_RESULT, data, "system:notifier")
        held = world.all[name]
        assert (held.status, held.code, held.held_until) == (S.HELD, "CONTACT_LIMIT", until)
        assert held.tries == 0, "nothing was tried"
    assert world.types() == [E.NOTIFICATION_HELD] * 2
    assert world.retry(name).accepted
    assert (world.all[name].status, world.all[name].held_until) == (S.PENDING, None)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(CHANNELS_BY_EVENT)), st.integers(0, 3 * PAUSE_MS)),
        max_size=30,
    )
)
def test_whatever_happens_the_last_word_is_told_and_no_kind_too_often(
    given_events: list[tuple[EventType, int]],
) -> None:
    """Events in their own order; what is held goes out when it may."""
    world, at_ms = limited(), 1
    for number, (kind, pause_ms) in enumerate(given_events, 1):
        at_ms += pause_ms
        world.number = at_ms
        world.event(structs.replace(event_of(kind, number), occurred_at=to_rfc3339(NOW + at_ms)))
    for channel in Channel:
        mine = [each for each in world.all.values() if each.channel is channel]
        told = [each for each in mine if each.status is not S.SUPERSEDED]
        for kind in CHANNELS_BY_EVENT.keys() - NEVER_REPEATED:
            times = sorted(each.due_at for each in told if each.event_type is kind)
            assert all(b - a >= PAUSE_MS for a, b in pairwise(times))
        assert not mine or mine[-1] in told, "the last state is told"
        assert all(each.code == "OUTDATED" for each in mine if each.status is S.SUPERSEDED)


def test_a_failure_that_ends_a_cancelled_payment_asks_nobody_to_pay_again() -> None:
    world = NotificationHarness()
    failed = event_of(E.PAYMENT_FAILED)
    data = structs.replace(failed.data, cancel_requested="PAYMENT_EXPIRED")
    world.event(structs.replace(failed, data=data))
    assert world.all == {}


def test_money_that_goes_back_is_told_as_such() -> None:
    world = NotificationHarness()
    paid = event_of(E.PAYMENT_COMPLETED)
    data = structs.replace(paid.data, cancel_requested="PAID_TOO_LATE")
    world.event(structs.replace(paid, data=data))
    facts = [each.facts for each in world.all.values()]
    assert facts
    assert {each["cancel_requested"] for each in facts} == {"PAID_TOO_LATE"}
