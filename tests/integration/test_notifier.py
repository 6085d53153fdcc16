"""The notifier with the real service, SMTP and Twilio's SDK against the sandbox's mailbox; no Kafka."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from msgspec import structs

from agents.notifications import NotificationPolicy, notifications_service
from agents.service import Service
from app.notifications.channels import MessageChannel
from app.notifications.contact_limit import ContactLimit
from app.notifications.mail import Mailer, sender_address
from app.notifications.notifier import Notifier
from app.notifications.rendering import MessageRenderer, order_link
from app.notifications.sms import TwilioSms
from app.task_runner import Backoff
from models import ids, topics
from models.commands import (
    Address,
    Command,
    CommandType,
    Contact,
    Item,
    NotificationResult,
    RetryNotification,
)
from models.errors import KafkaUnavailableError
from models.events import Event, EventType, OrderMoved, PaymentFailed, read_event
from models.messages import encode
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from models.order import OrderRecord, Placed
from models.times import to_rfc3339
from models.transition import Input
from sandbox.mailbox.faults import MailboxFault
from sandbox.mailbox.server import Mailbox, StoredMessage
from sandbox.processes import MAX_WAIT_S, free_port
from tables import NotReadyError, StoredRecord
from tests.support.ids import without_ids
from tests.support.senders import NoSender
from web.catalogue import load_catalogue
from web.http.tokens import OrderTokens

E, S = EventType, NotificationStatus
ORDER = ids.order_id("guest", "notifier")
LINK = order_link(OrderTokens("k" * 32).link, "https://eat.example")
RENDERER = MessageRenderer(load_catalogue().restaurants.values(), LINK)
CONTACT = Contact(name="Asha Rao", email="asha@example.com", phone="+91 98000-00000")
PLACED = Placed(
    restaurant_id="annapurna-bengaluru", restaurant_name="Annapurna",
    items=(Item(dish_id="d", name="Thali", quantity=1, unit_price=250_000),),
    amount=250_000, currency="INR", user_id="guest", contact=CONTACT,
    address=Address(line1="12 MG Road", city="Bengaluru", postal_code="560001"), placed_at=0,
)  # fmt: skip
TRIES = 3


@dataclass
class NotifierHarness(NoSender):
    """One order's notifications. It takes the place of Kafka, the engine and the orders table."""

    mailbox: Mailbox
    placed: Placed | None = PLACED
    orders_open: bool = True
    kafka_fails: int = 0
    loses_results: bool = False
    service: Service[NotificationRecord] = field(
        default_factory=lambda: notifications_service(NotificationPolicy(max_tries=TRIES))
    )
    state: Any = None
    version: int = 0
    notifiers: list[Notifier] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    audit: list[Event] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    now_ahead_s: float = 0.0

    def now_s(self) -> float:
        return time.time() + self.now_ahead_s

    def get(self, key: str) -> StoredRecord | None:
        """As the orders table."""
        assert key == ORDER
        if not self.orders_open:
            raise NotReadyError("orders")
        return StoredRecord(ORDER, 1, OrderRecord(placed=self.placed), {}, {}, None)

    async def send(self, command: Command) -> None:
        """As the command sender."""
        await asyncio.sleep(0)
        if self.kafka_fails:
            self.kafka_fails -= 1
            raise KafkaUnavailableError("Kafka is away")
        self.commands.append(command)
        if not self.loses_results:
            self.take(topics.NOTIFICATION_COMMANDS, encode(command))

    def take(self, topic: str, value: bytes) -> None:
        header, message = self.service.parse(topic, ORDER.encode(), value)
        if header.id in self.seen:
            return
        self.seen.add(header.id)
        record = Input(topic, ORDER, header, message, round(self.now_s() * 1000))
        decision = self.service.decide(
            self.state or self.service.load(None), record, lambda _: None
        )
        raw = orjson.dumps(self.service.dump(decision.state))
        self.state = self.service.load(orjson.loads(raw))
        self.version += 1
        self.audit += [read_event(ORDER.encode(), output.value) for output in decision.outputs]
        for notifier in self.notifiers:
            self.tell(notifier)

    def tell(self, notifier: Notifier) -> None:
        if self.state is not None:
            notifier.updated(0, ORDER, StoredRecord(ORDER, self.version, self.state, {}, {}, None))

    def start(self, **options: Any) -> Notifier:
        """A worker that begins now."""
        options.setdefault("backoff", Backoff(0.01, 0.05))
        options = {"concurrency": 8, "max_age_s": 86_400.0, "session_s": 60.0, **options}
        channels = options.pop("channels", None) or self.channels()
        notifier = Notifier(
            channels, options.pop("letters", None) or RENDERER, self.get, self,
            now_s=self.now_s, **options,
        )  # fmt: skip
        self.notifiers.append(notifier)
        self.tell(notifier)
        return notifier

    def channels(
        self, *, smtp_port: int | None = None, timeout_s: float = 10.0, **more: Any
    ) -> dict[Channel, MessageChannel]:
        return {
            Channel.EMAIL: Mailer(
                "127.0.0.1", smtp_port or self.mailbox.smtp_port, security="none", user=None,
                password=None, sender="Tiffin <orders@tiffin.example>", timeout_s=timeout_s, **more,
            ),
            Channel.SMS: TwilioSms(
                "ACx", "token", sender="+15005550006", timeout_s=timeout_s, api_url=self.mailbox.url
            ),
        }  # fmt: skip

    async def crash(self, notifier: Notifier) -> None:
        self.notifiers.remove(notifier)
        await notifier.stop()

    def event(self, kind: EventType = E.ORDER_CONFIRMED, number: int = 1) -> None:
        is_decline = kind is E.PAYMENT_FAILED
        declined = PaymentFailed(
            payment_id="p", order_id=ORDER, failure_reason="expired_card", attempt=number
        )
        event = Event(
            event_id=f"event-{kind}-{number}", event_type=kind, order_id=ORDER, payment_id=None,
            occurred_at=to_rfc3339(round(self.now_s() * 1000)), sequence=number,
            causation_id="cause", correlation_id="first",
            producer="payments" if is_decline else "orders",
            data=declined if is_decline else OrderMoved(),
        )  # fmt: skip
        self.take("payment-failed" if is_decline else topics.ORDER_EVENTS, encode(event))

    def retry(self, notification: Notification) -> None:
        command = Command(
            order_id=ORDER, command_id=f"retry-{self.version}", issued_at="2026-01-01T00:00:00.000Z",
            command_type=CommandType.RETRY_NOTIFICATION, issued_by="operator:olga",
            data=RetryNotification(notification_id=notification.notification_id),
        )  # fmt: skip
        self.take(topics.NOTIFICATION_COMMANDS, encode(command))

    def fault(self, channel: Channel, kind: str, times: int = 1, **more: Any) -> None:
        self.mailbox.faults.append(
            MailboxFault.model_validate({"channel": channel, "kind": kind, "times": times, **more})
        )

    def of(self, channel: Channel) -> Notification:
        return next(n for n in self.state.notifications.values() if n.channel is channel)

    def kept(self, channel: Channel) -> list[StoredMessage]:
        return self.mailbox.of_order(ORDER, channel)

    def results(self, channel: Channel) -> list[tuple[str, str | None]]:
        name = self.of(channel).notification_id
        return [
            (command.data.result, command.data.code)
            for command in self.commands
            if isinstance(command.data, NotificationResult) and command.data.notification_id == name
        ]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(MAX_WAIT_S):
            while not condition():  # noqa: ASYNC110 - sockets set no event
                await asyncio.sleep(0.005)

    async def until_status(self, status: NotificationStatus, *channels: Channel) -> None:
        await self.until(
            lambda: all(self.of(c).status is status for c in channels or tuple(Channel))
        )


@pytest.fixture
async def world() -> AsyncIterator[NotifierHarness]:
    async with Mailbox() as mailbox:
        world = NotifierHarness(mailbox)
        yield world
        for notifier in world.notifiers:
            await notifier.stop()


async def test_each_event_is_told_once_by_each_channel(world: NotifierHarness) -> None:
    notifier = world.start()
    world.event(E.ORDER_CONFIRMED)
    world.event(E.ORDER_DELIVERED, 2)
    world.event(E.ORDER_CONFIRMED)
    await world.until(lambda: all(n.status is S.SENT for n in world.state.notifications.values()))
    mails, messages = world.kept(Channel.EMAIL), world.kept(Channel.SMS)
    assert {mail.subject for mail in mails} == {
        "Annapurna has confirmed your order", "Your order from Annapurna has been delivered"
    }  # fmt: skip
    assert (len(mails), len(messages)) == (2, 2)
    ids_ = {n.notification_id for n in world.state.notifications.values()}
    assert {m.message_id for m in mails} <= {f"<{name}@tiffin.example>" for name in ids_}
    assert {mail.to for mail in mails} == {"asha@example.com"}
    assert {message.to for message in messages} == {"+919800000000"}
    assert [event.event_type for event in world.audit] == [E.NOTIFICATION_SENT] * 4
    assert {event.data.provider_id for event in world.audit} == {
        *(str(mail.number) for mail in mails), *(message.message_id for message in messages)
    }  # fmt: skip
    assert (notifier.pending, notifier.waiting) == (0, 0)


async def test_what_is_deferred_is_tried_again_then_left_to_an_operator(
    world: NotifierHarness,
) -> None:
    notifier = world.start()
    world.fault(Channel.EMAIL, "refuse", times=TRIES)
    world.fault(Channel.SMS, "refuse", times=TRIES, code=503)
    world.event()
    await world.until_status(S.WAITING_FOR_OPERATOR)
    assert world.results(Channel.EMAIL) == [("DEFERRED", "SMTP_451")] * TRIES
    assert world.results(Channel.SMS) == [("DEFERRED", "TWILIO_503")] * TRIES
    assert (notifier.pending, notifier.waiting) == (0, 2)
    assert not world.mailbox.messages
    for channel in Channel:
        world.retry(world.of(channel))
    await world.until_status(S.SENT)
    assert [len(world.kept(channel)) for channel in Channel] == [1, 1]
    assert world.of(Channel.EMAIL).tries == TRIES + 1
    assert notifier.waiting == 0


async def test_a_refusal_for_good_is_not_repeated_until_an_operator_says_so(
    world: NotifierHarness,
) -> None:
    world.start()
    world.fault(Channel.EMAIL, "refuse", code=550)
    world.fault(Channel.SMS, "refuse", code=400)
    world.event()
    await world.until_status(S.FAILED)
    assert world.results(Channel.EMAIL) == [("REFUSED", "SMTP_550")]
    assert world.results(Channel.SMS) == [("REFUSED", "TWILIO_21211")]
    world.retry(world.of(Channel.EMAIL))
    await world.until_status(S.SENT, Channel.EMAIL)


async def test_a_mail_without_an_answer_is_repeated_with_the_same_message_id(
    world: NotifierHarness,
) -> None:
    world.start()
    world.fault(Channel.EMAIL, "drop", times=2)
    world.event()
    await world.until_status(S.SENT)
    assert [code for _, code in world.results(Channel.EMAIL)] == ["SMTP_BROKEN_OFF"] * 2 + [None]
    mails = world.kept(Channel.EMAIL)
    assert len(mails) == 3
    assert len({mail.message_id for mail in mails}) == 1
    assert len({(mail.subject, mail.text, mail.html) for mail in mails}) == 1


async def test_a_short_message_without_an_answer_is_looked_for_and_not_repeated(
    world: NotifierHarness,
) -> None:
    world.start()
    world.fault(Channel.SMS, "drop")
    world.event()
    await world.until_status(S.SENT)
    assert [code for _, code in world.results(Channel.SMS)] == ["SMS_UNREACHABLE", None]
    (message,) = world.kept(Channel.SMS)
    assert world.of(Channel.SMS).provider_id == message.message_id


async def test_servers_that_are_slow_or_away(world: NotifierHarness) -> None:
    world.start(channels=world.channels(timeout_s=0.3))
    world.fault(Channel.EMAIL, "delay", seconds=60)
    world.fault(Channel.SMS, "delay", seconds=60)
    world.event()
    await world.until_status(S.SENT)
    assert ("DEFERRED", "SMTP_TIMEOUT") in world.results(Channel.EMAIL)
    assert ("DEFERRED", "SMS_TIMEOUT") in world.results(Channel.SMS)
    assert len({mail.message_id for mail in world.kept(Channel.EMAIL)}) == 1
    assert len(world.kept(Channel.SMS)) == 1


async def test_a_mail_server_that_is_away(world: NotifierHarness) -> None:
    world.start(channels=world.channels(smtp_port=free_port()))
    world.event()
    await world.until_status(S.WAITING_FOR_OPERATOR, Channel.EMAIL)
    await world.until_status(S.SENT, Channel.SMS)
    assert world.results(Channel.EMAIL) == [("DEFERRED", "SMTP_UNREACHABLE")] * TRIES


async def test_a_crash_before_the_result_is_recorded(world: NotifierHarness) -> None:
    world.loses_results = True
    first = world.start()
    world.event()
    await world.until(lambda: len(world.commands) == 2)
    await world.crash(first)
    world.loses_results = False
    world.start()
    await world.until_status(S.SENT)
    mails = world.kept(Channel.EMAIL)
    assert len(mails) == 2
    assert len({mail.message_id for mail in mails}) == 1
    assert len(world.kept(Channel.SMS)) == 1, "found at the provider, not sent again"
    assert world.commands[0].command_id in {c.command_id for c in world.commands[2:]}


async def test_a_worker_that_hung_asks_before_it_sends_what_another_one_has_sent(
    world: NotifierHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all that its table says, this is the first try."""
    hung = world.start(session_s=10.0)
    world.event(number=1)
    await world.until_status(S.SENT)
    world.orders_open = False
    world.event(number=2)
    await world.until(lambda: hung.counters.in_flight == 2)
    order = StoredRecord(ORDER, 1, OrderRecord(placed=PLACED), {}, {}, None)
    monkeypatch.setattr(world, "get", lambda _: order)
    world.loses_results = True
    other = world.start()
    await world.until(lambda: len(world.commands) == 4)
    await world.crash(other)
    world.loses_results = False
    world.now_ahead_s = 60.0
    world.orders_open = True
    await world.until(lambda: all(n.status is S.SENT for n in world.state.notifications.values()))
    assert len(world.kept(Channel.SMS)) == 2, "found at the provider, not sent again"
    assert len({mail.message_id for mail in world.kept(Channel.EMAIL)}) == 2


async def test_what_was_sent_is_not_taken_for_another_message_of_the_same_words(
    world: NotifierHarness,
) -> None:
    world.loses_results = True
    first = world.start()
    world.event(number=1)
    await world.until(lambda: len(world.kept(Channel.SMS)) == 1)
    await world.crash(first)
    world.loses_results = False
    world.event(number=2)
    world.start()
    await world.until(lambda: all(n.status is S.SENT for n in world.state.notifications.values()))
    assert len(world.kept(Channel.SMS)) == 2
    assert len({message.text for message in world.kept(Channel.SMS)}) == 2


async def test_with_kafka_away_the_result_is_reported_later_and_nothing_is_sent_again(
    world: NotifierHarness,
) -> None:
    world.kafka_fails = 6
    world.start()
    world.event()
    await world.until_status(S.SENT)
    assert world.kafka_fails == 0
    assert [len(world.kept(channel)) for channel in Channel] == [1, 1]


async def test_contact_that_is_not_there_or_not_usable(world: NotifierHarness) -> None:
    world.placed = None
    world.start()
    world.event()
    await world.until_status(S.FAILED)
    assert {code for _, code in world.results(Channel.EMAIL)} == {"NO_CONTACT"}
    bad = Contact(name="A", email="a b@@example", phone="98000 00000")
    world.placed = structs.replace(PLACED, contact=bad)
    for channel in Channel:
        world.retry(world.of(channel))
    await world.until(lambda: all(len(world.results(c)) == 2 for c in Channel))
    assert world.results(Channel.EMAIL)[1] == ("REFUSED", "ADDRESS_INVALID")
    assert world.results(Channel.SMS)[1] == ("REFUSED", "NUMBER_WITHOUT_COUNTRY")


async def test_the_orders_partition_is_waited_for(world: NotifierHarness) -> None:
    world.orders_open = False
    notifier = world.start()
    world.event()
    await world.until(lambda: notifier.counters.in_flight == 2)
    assert not world.commands
    world.orders_open = True
    await world.until_status(S.SENT)
    assert world.results(Channel.EMAIL) == [("SENT", None)]


async def test_what_happened_long_ago_is_not_told_any_more(world: NotifierHarness) -> None:
    world.event()
    world.now_ahead_s = 3600
    world.start(max_age_s=1800)
    await world.until_status(S.FAILED)
    assert {code for _, code in world.results(Channel.SMS)} == {"TOO_OLD"}
    world.retry(world.of(Channel.EMAIL))
    await world.until_status(S.SENT, Channel.EMAIL)


async def test_a_bug_is_deferred_and_its_log_line_names_nobody(
    world: NotifierHarness, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MessageRenderer):
        def write(self, order_id: str, notification: Notification, placed: Placed) -> Any:
            if notification.channel is Channel.EMAIL:
                raise ZeroDivisionError(placed.contact.email)
            return super().write(order_id, notification, placed)

    with caplog.at_level(logging.DEBUG):
        world.start(letters=Broken(load_catalogue().restaurants.values(), LINK))
        world.event()
        await world.until_status(S.WAITING_FOR_OPERATOR, Channel.EMAIL)
        await world.until_status(S.SENT, Channel.SMS)
    assert ("DEFERRED", "BUG_ZeroDivisionError") in world.results(Channel.EMAIL)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("app.")]
    assert not [line for line in ours if "asha" in line or "98000" in line]


async def test_a_partition_that_leaves_stops_its_tries(world: NotifierHarness) -> None:
    notifier = world.start(channels=world.channels(timeout_s=3 * MAX_WAIT_S))
    world.fault(Channel.EMAIL, "delay", seconds=3 * MAX_WAIT_S)
    world.fault(Channel.SMS, "delay", seconds=3 * MAX_WAIT_S)
    world.event()
    await world.until(lambda: len(world.mailbox.messages) == 2)
    notifier.closed(0)
    await world.until(lambda: notifier.counters.in_flight == 0)
    assert notifier.pending == 0
    assert not world.commands


@pytest.mark.parametrize("text", ["", "orders", "a@example.com, b@example.com", "orders@localhost"])
def test_a_sender_that_is_no_address_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="one address"):
        sender_address(text)


async def test_no_more_are_sent_at_one_time_than_are_allowed(world: NotifierHarness) -> None:
    notifier = world.start(concurrency=1)
    most = 0

    class Counting:
        def __init__(self, inner: MessageChannel) -> None:
            self.inner = inner

        async def send(self, letter: Any, *, maybe_sent: bool) -> str | None:
            nonlocal most
            most = max(most, notifier.counters.in_flight)
            return await self.inner.send(letter, maybe_sent=maybe_sent)

        async def close(self) -> None:
            await self.inner.close()

    counting = {channel: Counting(each) for channel, each in notifier._channels.items()}
    notifier._channels = counting
    for number in range(1, 6):
        world.event(number=number)
    await world.until(lambda: all(n.status is S.SENT for n in world.state.notifications.values()))
    assert (len(world.mailbox.messages), most) == (10, 1)


async def test_letters_of_people_with_other_alphabets_arrive_as_they_were_written(
    world: NotifierHarness,
) -> None:
    contact = Contact(name="आशा, “Rao” <x y>", email="asha@example.com", phone="+919800000000")
    world.placed = structs.replace(PLACED, contact=contact, restaurant_name="日の出")
    world.start()
    world.event()
    await world.until_status(S.SENT)
    (mail,) = world.kept(Channel.EMAIL)
    assert mail.to == "asha@example.com"
    assert mail.subject == "日の出 has confirmed your order"
    assert mail.text.startswith("Hello आशा, “Rao” <x y>,")
    assert "आशा, “Rao” &lt;x y&gt;" in mail.html


# -- how often


async def test_twenty_declines_are_told_once_and_the_last_one_when_the_pause_is_over(
    world: NotifierHarness,
) -> None:
    world.service = notifications_service(
        NotificationPolicy(max_tries=TRIES, repeat_after_ms=3_600_000)
    )
    notifier = world.start()
    for number in range(1, 21):
        world.event(E.PAYMENT_FAILED, number)
    await world.until(lambda: len(world.mailbox.messages) == 2 and not notifier.pending)
    assert notifier.held == 2
    await world.crash(notifier)
    world.now_ahead_s = 3601
    world.start()
    await world.until(lambda: len(world.mailbox.messages) == 4)
    held = [event.data for event in world.audit if event.event_type is E.NOTIFICATION_HELD]
    assert len(held) == 38
    assert {each.code for each in held} == {"REPEATED"}


async def test_an_address_gets_a_few_messages_an_hour_and_the_rest_later(
    world: NotifierHarness,
) -> None:
    steady_s = 0.0
    contacts = ContactLimit(2, steady_s=lambda: steady_s)
    notifier = world.start(contacts=contacts)
    for number in range(1, 5):
        world.event(number=number)
    await world.until(lambda: notifier.held == 4 and not notifier.pending)
    assert [len(world.kept(channel)) for channel in Channel] == [2, 2]
    held = [each for each in world.state.notifications.values() if each.status is S.HELD]
    assert {each.code for each in held} == {"CONTACT_LIMIT"}
    assert {each.tries for each in held} == {0}
    assert [event.event_type for event in world.audit].count(E.NOTIFICATION_HELD) == 4
    text = str([encode(command) for command in world.commands]) + str(world.audit)
    assert "asha" not in text
    assert "98000" not in without_ids(text)
    # The mailbox is the same with other letters and a tag; another's is another.
    same = structs.replace(CONTACT, email="ASHA+x@Example.com", phone="+91 (98000) 00000")
    other = structs.replace(CONTACT, email="rao@example.com", phone="+91 98000 00001")
    for channel in Channel:
        assert contacts.take(channel, same, "n") > 0
        assert contacts.take(channel, other, "n") == 0
    # An hour later the rest goes; the worker has changed meanwhile.
    await world.crash(notifier)
    steady_s, world.now_ahead_s = 3601, 3601
    world.start(contacts=contacts)
    await world.until(lambda: all(n.status is S.SENT for n in world.state.notifications.values()))
    assert [len(world.kept(channel)) for channel in Channel] == [4, 4]


async def test_a_second_try_takes_no_second_place_and_a_refusal_gives_its_place_back(
    world: NotifierHarness,
) -> None:
    contacts = ContactLimit(1)
    world.start(contacts=contacts)
    world.fault(Channel.EMAIL, "refuse", times=2)
    world.fault(Channel.SMS, "refuse", code=400)
    world.event(number=1)
    await world.until_status(S.SENT, Channel.EMAIL)
    await world.until_status(S.FAILED, Channel.SMS)
    world.event(number=2)
    sent = ids.notification_id("event-ORDER_CONFIRMED-2", Channel.SMS)
    await world.until(lambda: world.state.notifications[sent].status is S.SENT)


async def test_what_is_held_goes_at_once_when_an_operator_says_so(world: NotifierHarness) -> None:
    world.service = notifications_service(
        NotificationPolicy(max_tries=TRIES, repeat_after_ms=3_600_000)
    )
    notifier = world.start()
    for number in (1, 2):
        world.event(number=number)
    name = ids.notification_id("event-ORDER_CONFIRMED-2", Channel.EMAIL)
    await world.until(lambda: notifier.held == 2)
    world.retry(world.state.notifications[name])
    await world.until(lambda: world.state.notifications[name].status is S.SENT)
    assert notifier.held == 1


def test_what_is_remembered_of_contacts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.notifications.contact_limit.MAX_CONTACTS", 10)
    contacts = ContactLimit(1)
    for number in range(30):
        each = structs.replace(CONTACT, email=f"a{number}@example.com")
        assert contacts.take(Channel.EMAIL, each, "n") == 0
        assert contacts.take(Channel.EMAIL, each, "m") > 0
    assert len(contacts._slots) == 10
    assert "example" not in str(contacts._slots)
