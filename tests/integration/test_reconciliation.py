"""The reconciliation's parts on real Kafka and Stripe's stand-in: windows, both accounts, missing webhooks."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import structs

from app.kafka.reader import KafkaReader
from app.reconciliation import runner
from app.reconciliation.accounts import (
    MAX_LOOK_UPS,
    KafkaAccount,
    StripeAccount,
    load_accounts,
)
from app.reconciliation.missing_webhooks import SLICE_MS, MissingWebhooks
from app.reconciliation.runner import Reconciliation, ReconciliationSchedule
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.stripe.owner_mark import OwnerMark
from app.stripe.webhooks import reduce_webhook
from models import ids
from models.commands import WebhookReceived
from models.dead_letter import RecordLocation
from models.errors import KafkaUnavailableError
from models.events import Event, EventType, PaymentCompleted, PaymentInitiated, PaymentRefund
from models.graphs import RefundStatus
from models.messages import Message, encode
from models.reconciliation import (
    Account,
    DayTotals,
    MissingEvent,
    MoneyDifference,
    MovementKind,
    ReconciliationReport,
    compare,
)
from models.stripe_facts import IntentFacts
from models.times import to_rfc3339
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S
from sandbox.stripe import StripeSandbox, refunds
from tests.support.kafka_topics import put_odd_header_name
from tests.support.senders import NoSender

PARTITIONS = 3
AMOUNT = 250_000
NOW_MS = round(time.time() * 1000)
E = EventType


class Topic:
    """A topic of its own."""

    def __init__(self, broker: KafkaBroker, partitions: int = PARTITIONS) -> None:
        self.name = f"window-{uuid.uuid4()}"
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic(self.name, partitions, 1)])[self.name].result(
            timeout=MAX_WAIT_S
        )
        while self.name not in admin.list_topics(timeout=MAX_WAIT_S).topics:
            time.sleep(0.05)  # the broker serves metadata a moment after it has made a topic
        self.reader = KafkaReader(broker.bootstrap)
        self._producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})

    def put(self, value: bytes, at_ms: int = NOW_MS, key: str = "k", **headers: str) -> None:
        self.produce(value, [(n, text.encode()) for n, text in headers.items()], at_ms, key)

    def produce(
        self, value: bytes, headers: Any, at_ms: int = NOW_MS, key: str | None = "k"
    ) -> None:
        self._producer.produce(self.name, value, key, headers=headers, timestamp=at_ms)
        assert self._producer.flush(30) == 0


@pytest.fixture
async def stripe() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running


@pytest.fixture
async def gateway(stripe: StripeSandbox) -> AsyncIterator[StripeGateway]:
    made = StripeGateway("sk_test_x", base_url=stripe.base_url, rate_per_s=1000)
    yield made
    await made.close()


def values(found: list[bytes]) -> Callable[[Any], None]:
    return lambda message: found.append(message.value)


# -- windows


async def test_a_window_gives_what_is_younger_and_goes_on_where_it_ended(
    kafka: KafkaBroker,
) -> None:
    topic = Topic(kafka)
    for n in range(60):
        topic.put(b"%d" % n, NOW_MS + n * 1000, key=str(n))
    found: list[bytes] = []
    reached, _ = await topic.reader.since(topic.name, NOW_MS + 20_000, values(found))
    assert {int(value) for value in found} == set(range(20, 60))
    assert sum(reached.values()) == 60
    again: list[bytes] = []
    assert (await topic.reader.onwards(topic.name, reached, values(again))).offsets == reached
    topic.put(b"new")
    await topic.reader.onwards(topic.name, reached, values(again))
    assert again == [b"new"]
    late: list[bytes] = []
    assert (
        sum((await topic.reader.since(topic.name, NOW_MS + 10**9, values(late))).offsets.values())
        == 61
    )
    assert late == []


async def test_the_last_record_of_a_topic_and_of_an_empty_one(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, partitions=1)
    assert await topic.reader.newest(topic.name, 1) == []
    for value in (b"first", b"second"):
        topic.put(value)
    assert await topic.reader.newest(topic.name, 1) == [b"second"]
    assert await topic.reader.newest(topic.name, 5) == [b"second", b"first"]


async def test_a_topic_that_is_not_there_is_told(kafka: KafkaBroker) -> None:
    with pytest.raises(KafkaUnavailableError):
        await KafkaReader(kafka.bootstrap).newest("there-is-no-such-topic", 1)


async def test_places_that_do_not_exist_hide_no_others(kafka: KafkaBroker) -> None:
    """A dead letter's origin may be of a topic that was deleted, or that its sender made up."""
    topic = Topic(kafka, partitions=1)
    topic.put(b"kept")
    kept = RecordLocation(topic.name, 0, 0)
    odd = [
        RecordLocation("there-is-no-such-topic", 0, 0),
        RecordLocation(topic.name, 99, 0),
        RecordLocation(topic.name, 0, 10**6),
    ]
    found = await topic.reader.records([*odd, kept])
    assert {place: record.value for place, record in found.items()} == {kept: b"kept"}
    assert await topic.reader.records(odd) == {}


async def test_a_record_that_can_t_be_used_is_skipped_and_counted(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(kafka, partitions=1)
    topic.produce(b"1", [("ce_id", b"evt_1")])
    for headers in ([("ce_id", None)], [("ce_id", b"\xff\xfe")], [("ce_id", b"")], [], None):
        topic.produce(b"foreign", headers)
    await put_odd_header_name(kafka.bootstrap, topic.name, monkeypatch)
    topic.produce(b"2", [("other", None), ("ce_id", b"evt_2")])
    search: Any = MissingWebhooks(None, None, None, topic.reader, topic.name)
    assert await search._ids_in_kafka(0) == {"evt_1", "evt_2", "evt_odd"}
    assert search.unusable == 5
    account = KafkaAccount(topic.reader, 0, topic=topic.name)
    topic.produce(b"[" * 900, [("ce_type", b"PAYMENT_COMPLETED")])
    await account.read()
    await account.read()
    assert (account.moved, account.unusable) == ({}, 1)  # the value that is no JSON


async def test_a_window_ends_where_a_transactions_marker_is_the_last(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, partitions=1)
    topic.put(b"before")
    sender = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": topic.name, "log_level": 0}
    )
    sender.init_transactions(30)
    for value, end in (
        (b"aborted", sender.abort_transaction),
        (b"kept", sender.commit_transaction),
    ):
        sender.begin_transaction()
        sender.produce(topic.name, value)
        end(30)
    found: list[bytes] = []
    reached, _ = await topic.reader.since(topic.name, 0, values(found))
    async with asyncio.timeout(60):
        while len(found) < 2:  # the broker ends a transaction a moment after it has said so
            reached, _ = await topic.reader.onwards(topic.name, reached, values(found))
    assert found == [b"before", b"kept"]
    topic.put(b"after")
    await topic.reader.onwards(topic.name, reached, values(found))
    assert found == [b"before", b"kept", b"after"]
    reads = topic.reader
    (window,) = await reads.windows([topic.name], [0], {}, 500)
    assert [record.value for record in window.records] == [b"before", b"kept", b"after"]
    gone = await reads.records([RecordLocation(topic.name, 0, 2), RecordLocation(topic.name, 0, 0)])
    assert [message.value for message in gone.values()] == [b"before"]


async def test_reports_that_are_none_of_ours_hide_none_before_them(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(kafka, partitions=1)
    ours = ReconciliationReport(
        run_at=to_rfc3339(NOW_MS), cursor=to_rfc3339(NOW_MS - 60_000), listed=7
    )
    topic.put(encode(ours))
    in_99 = structs.replace(ours, cursor="2099-01-01T00:00:00.000Z")
    foreign = encode(ours).replace(to_rfc3339(NOW_MS - 60_000).encode(), b"not a time")
    for value in (b"", b"\xff\xfe", b"[" * 900, b"{}", foreign, encode(in_99)):
        topic.put(value)
    none: Any = None
    made = Reconciliation(
        none, EventIntake(none, none), none, topic.reader, is_runner=lambda: True, schedule=none,
        take_back=none,
    )  # fmt: skip
    monkeypatch.setattr(runner, "RECONCILIATION", topic.name)
    assert (await made._resumed(NOW_MS)).listed == 7


async def test_a_lost_platform_id_is_taken_back_and_news_is_looked_for_again(
    stripe: StripeSandbox, kafka: KafkaBroker
) -> None:
    """What was passed over as another platform's: the search begins where the comparison does."""
    known = ["platform_lost"]
    mark = OwnerMark("tiffin", lambda: tuple(known))
    gateway = StripeGateway("sk_test_x", base_url=stripe.base_url, rate_per_s=1000, mark=mark)
    books = Books(gateway, Topic(kafka))
    order_id, paid = await books.pay()
    initiated = PaymentInitiated(
        order_id=order_id, user_id="u", amount=AMOUNT, currency="INR",
        stripe_intent_id=paid.intent_id,
    )  # fmt: skip
    books.tell(order_id, E.PAYMENT_INITIATED, initiated)
    known[:] = ["platform_new"]
    assert await books.stripe.moved(NOW_MS - 60_000) == {}, "it passes for another platform's"

    async def take_back(lost: Collection[str]) -> None:
        known.extend(lost)

    none: Any = None
    schedule = ReconciliationSchedule(
        interval_s=60, grace_s=0, totals_interval_s=60, orphan_grace_s=0, days=1
    )
    made = Reconciliation(
        gateway, EventIntake(gateway, none), none, books.topic.reader, is_runner=lambda: True,
        schedule=schedule, take_back=take_back,
    )  # fmt: skip
    since_ms, now_ms = NOW_MS - 2 * 3600 * 1000, NOW_MS + 3600 * 1000
    made._kafka = KafkaAccount(books.topic.reader, since_ms, topic=books.topic.name)
    made.report = ReconciliationReport(run_at=to_rfc3339(now_ms), cursor=to_rfc3339(NOW_MS))
    made._missing.done["evt_passed_over"] = 1
    await made._kafka.read()
    await made._cancel_orphans(since_ms, now_ms)
    assert known == ["platform_new", "platform_lost"]
    assert (made.report.cursor, made._missing.done) == (to_rfc3339(since_ms), {})
    moved = await books.stripe.moved(NOW_MS - 60_000)
    assert set(moved) == {(MovementKind.CHARGE, paid.charge_id)}
    await gateway.close()


# -- both accounts of the money


def both_compared(theirs: Account, ours: Account) -> tuple[list[MoneyDifference], list[DayTotals]]:
    now = to_rfc3339(NOW_MS)
    return compare(theirs, ours, since={}, now=now, until_ms=NOW_MS + 10**8)


class Books:
    """Paid orders at Stripe, and what payment-events say of them."""

    def __init__(self, gateway: StripeGateway, topic: Topic, first: int = 0) -> None:
        self.gateway, self.topic = gateway, topic
        self.stripe = StripeAccount(gateway)
        self._number = first

    async def pay(self, metadata: dict[str, str] | None = None) -> tuple[str, IntentFacts]:
        """A paid payment intent; of a new order, unless its metadata say else."""
        self._number += 1
        order_id = ids.order_id("books", str(self._number))
        ours = {"orderId": order_id, "paymentId": ids.payment_id(order_id)}
        body = {
            "amount": AMOUNT, "currency": "inr", "automatic_payment_methods": {"enabled": True},
            "metadata": ours if metadata is None else metadata,
        }  # fmt: skip
        intent = await self.gateway.create_intent(body, f"pi:{self._number}")
        method = {"payment_method": "pm_card_visa", "return_url": "http://localhost/"}
        return order_id, await self.gateway.confirm(
            intent.intent_id, method, f"confirm:{self._number}"
        )

    def tell(self, order_id: str, kind: EventType, data: Message, at_ms: int = NOW_MS) -> None:
        """Put an event into the topic, twice, as after a crash."""
        self._number += 1
        event = Event(
            event_id=str(self._number), event_type=kind, occurred_at=to_rfc3339(at_ms),
            order_id=order_id, payment_id=ids.payment_id(order_id), sequence=self._number,
            causation_id="c", correlation_id="c", producer="payments", data=data,
        )  # fmt: skip
        for _ in range(2):
            self.topic.put(encode(event), at_ms, order_id, ce_type=kind)

    def tell_paid(
        self, order_id: str, charge: str | None, amount: int = AMOUNT, at_ms: int = NOW_MS
    ) -> None:
        data = PaymentCompleted(
            payment_id="p", order_id=order_id, amount=amount, currency="INR",
            stripe_charge_id=charge, receipt_url=None, attempt=1,
        )  # fmt: skip
        self.tell(order_id, E.PAYMENT_COMPLETED, data, at_ms)

    def tell_refunded(self, order_id: str, refund: str, amount: int) -> None:
        data = PaymentRefund(
            payment_id="p", order_id=order_id, refund_id="r", stripe_refund_id=refund,
            amount=amount, currency="INR", status=RefundStatus.SUCCEEDED, reason="LATE",
            by="stripe", refunded_total=amount,
        )  # fmt: skip
        self.tell(order_id, E.PAYMENT_REFUND_PARTIAL, data)

    async def compared(
        self, since_ms: int = NOW_MS - 60_000
    ) -> dict[str, tuple[int | None, int | None]]:
        """Object -> Stripe's amount and ours, where they differ."""
        account = KafkaAccount(self.topic.reader, since_ms, topic=self.topic.name)
        theirs, ours, unchecked = await load_accounts(self.stripe, account)
        assert unchecked == 0
        found, _ = both_compared(theirs, ours)
        return {each.id: (each.stripe, each.tiffin) for each in found}


@pytest.fixture
def books(gateway: StripeGateway, kafka: KafkaBroker) -> Books:
    return Books(gateway, Topic(kafka))


async def test_what_both_know_agrees_and_what_is_not_ours_does_not_count(
    books: Books, stripe: StripeSandbox
) -> None:
    order_id, paid = await books.pay()
    books.tell_paid(order_id, paid.charge_id)
    refund = refunds.create(stripe.state, {"payment_intent": paid.intent_id, "amount": 700})
    books.tell_refunded(order_id, refund["id"], 700)
    await books.pay({})
    await books.pay({"orderId": "1017"})
    another = StripeGateway("sk_test_x", base_url=stripe.base_url, mark=OwnerMark("another"))
    await Books(another, books.topic, first=100).pay()
    await another.close()
    assert await books.compared() == {}
    account = KafkaAccount(books.topic.reader, NOW_MS - 60_000, topic=books.topic.name)
    theirs, ours, _ = await load_accounts(books.stripe, account)
    _, (day,) = both_compared(theirs, ours)
    assert (day.charged.stripe, day.charged.tiffin) == (AMOUNT, AMOUNT)
    assert (day.refunded.stripe, day.refunded.tiffin) == (700, 700)


async def test_each_side_may_lack_what_the_other_has(books: Books, stripe: StripeSandbox) -> None:
    _, unknown = await books.pay()
    order_id, paid = await books.pay()
    books.tell_paid(order_id, paid.charge_id, AMOUNT - 1)
    forged, _ = await books.pay()
    books.tell_paid(forged, "ch_forged")
    refund = refunds.create(stripe.state, {"payment_intent": paid.intent_id, "amount": 300})
    found = await books.compared()
    third = next(
        charge["id"]
        for charge in stripe.state.charges.values()
        if charge["metadata"].get("orderId") == forged
    )
    assert found == {
        unknown.charge_id: (AMOUNT, None),
        paid.charge_id: (AMOUNT, AMOUNT - 1),
        "ch_forged": (None, AMOUNT),
        third: (AMOUNT, None),
        refund["id"]: (300, None),
    }


async def test_what_stripe_made_before_the_window_is_looked_up(books: Books) -> None:
    later_ms = NOW_MS + 60_000
    order_id, paid = await books.pay()
    books.tell_paid(order_id, paid.charge_id, at_ms=later_ms)
    assert await books.compared(later_ms) == {}
    other, second = await books.pay()
    books.tell_paid(other, second.charge_id, AMOUNT + 5, at_ms=later_ms)
    assert await books.compared(later_ms) == {second.charge_id: (AMOUNT, AMOUNT + 5)}


async def test_too_many_to_look_up_are_counted_not_accused(books: Books) -> None:
    for n in range(MAX_LOOK_UPS + 3):
        books.tell_paid(ids.order_id("books", f"x{n}"), f"ch_{n}")
    account = KafkaAccount(books.topic.reader, NOW_MS - 60_000, topic=books.topic.name)
    theirs, ours, unchecked = await load_accounts(books.stripe, account)
    assert (len(theirs), len(ours), unchecked) == (0, MAX_LOOK_UPS, 3)


async def test_an_account_is_folded_on_and_forgets(books: Books) -> None:
    account = KafkaAccount(books.topic.reader, NOW_MS - 60_000, topic=books.topic.name)
    order_id = ids.order_id("books", "folded")
    initiated = PaymentInitiated(
        order_id=order_id, user_id="u", amount=AMOUNT, currency="INR", stripe_intent_id="pi_1"
    )
    books.tell(order_id, E.PAYMENT_INITIATED, initiated)
    await account.read()
    assert (set(account.intents), account.moved) == ({"pi_1"}, {})
    books.tell_paid(order_id, "ch_1")
    books.topic.put(b"no event", ce_type=E.PAYMENT_COMPLETED)
    await account.read()
    assert set(account.moved) == {(MovementKind.CHARGE, "ch_1")}
    account.forget(NOW_MS + 2 * 3600 * 1000)
    assert (account.moved, account.intents) == ({}, {})


# -- webhooks that never came


class Search(NoSender):
    """A search for missing webhooks; what it sent, and what it told."""

    def __init__(self, gateway: StripeGateway, topic: Topic) -> None:
        self.topic, self.asked = topic, 0
        self.sent: list[WebhookReceived] = []
        self.told: list[MissingEvent] = []
        self.ends: list[int] = []
        self.listed = 0
        self._received = partial(reduce_webhook, gateway)
        self.missing = MissingWebhooks(gateway, self, self._reduce, topic.reader, topic.name)

    async def _reduce(self, event: Any) -> WebhookReceived | None:
        self.asked += 1
        return await self._received(event)

    async def send_webhook(self, webhook: WebhookReceived) -> None:
        self.sent.append(webhook)

    async def run(self, cursor_ms: int, until_ms: int, most: int = 10**6) -> None:
        self.ends.clear()
        search = self.missing.search(
            cursor_ms, until_ms, is_runner=lambda: len(self.sent) < most, found=self.told.append
        )
        async for end_ms, listed in search:
            self.ends.append(end_ms)
            self.listed += listed


async def three_hours(books: Books, stripe: StripeSandbox) -> list[dict[str, Any]]:
    """Succeeded events of eight orders, one each half hour, the last one now."""
    for _ in range(8):
        await books.pay()
    events = [e for e in stripe.state.events.values() if e["type"] == "payment_intent.succeeded"]
    others = [e for e in stripe.state.events.values() if e not in events]
    for event in others:
        del stripe.state.events[event["id"]]
    for age, event in enumerate(reversed(events)):
        event["created"] = NOW_MS // 1000 - age * 1800
    return events


async def test_exactly_what_kafka_lacks_is_sent_oldest_first(
    books: Books, stripe: StripeSandbox, gateway: StripeGateway, kafka: KafkaBroker
) -> None:
    events = await three_hours(books, stripe)
    topic = Topic(kafka)
    for event in events[::2]:
        topic.put(b"{}", event["created"] * 1000 + 400, ce_id=event["id"])
    search = Search(gateway, topic)
    cursor_ms, until_ms = NOW_MS - 3 * SLICE_MS, NOW_MS - 60_000
    await search.run(cursor_ms, until_ms)
    wanted = [event["id"] for event in events[1:-1:2]]
    assert [sent.stripe_event_id for sent in search.sent] == wanted
    assert [told.stripe_event_id for told in search.told] == wanted
    assert search.ends == [*range(cursor_ms, until_ms, SLICE_MS), until_ms]
    assert search.listed >= 7, "an event of now is too young to be missed"
    await search.run(until_ms, NOW_MS + 60_000)
    assert [sent.stripe_event_id for sent in search.sent] == [*wanted, events[-1]["id"]]


async def test_a_search_ends_where_it_is_told_to_and_another_goes_on(
    books: Books, stripe: StripeSandbox, gateway: StripeGateway, kafka: KafkaBroker
) -> None:
    events = await three_hours(books, stripe)
    search = Search(gateway, Topic(kafka))
    cursor_ms = NOW_MS - 3 * SLICE_MS
    await search.run(cursor_ms, NOW_MS, most=3)
    assert len(search.sent) == 3
    assert max(search.ends) < events[3]["created"] * 1000
    await search.run(cursor_ms, NOW_MS + 1000)
    assert [sent.stripe_event_id for sent in search.sent] == [event["id"] for event in events]


async def test_what_is_not_ours_is_asked_about_once_and_what_is_odd_is_told(
    books: Books, stripe: StripeSandbox, gateway: StripeGateway, kafka: KafkaBroker
) -> None:
    began_ms = round(time.time() * 1000) - 5_000
    await books.pay({"orderId": "1017"})
    await books.pay()
    odd = next(
        event
        for event in reversed(stripe.state.events.values())
        if event["type"] == "payment_intent.succeeded"
    )
    del odd["data"]["object"]["status"]
    search = Search(gateway, Topic(kafka))
    for _ in range(2):
        await search.run(began_ms, began_ms + 600_000)
    assert [(told.stripe_event_id, told.result) for told in search.told] == [
        (odd["id"], "UNREADABLE")
    ]
    assert search.sent == []
    assert search.asked == 2, "one not ours, one odd"
