"""Two platforms with one app id on one Stripe account: each acts on its own payments alone."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import structlog
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.kafka.reader import KafkaReader
from app.kafka.sender import KafkaCommandSender
from app.platform_identity import PlatformIdentity
from app.reconciliation.accounts import StripeAccount
from app.stripe.errors import InvalidError
from app.stripe.gateway import Listing, StripeGateway
from app.stripe.owner_mark import OwnerMark
from app.stripe.webhooks import reduce_webhook
from models import ids
from models.errors import StripeUnavailableError
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, free_port
from sandbox.stripe import StripeSandbox, refunds

APP_ID = "tiffin"
HOUR_MS = 3600 * 1000


def new_topic(broker: KafkaBroker) -> str:
    """The topic of a platform, as if it had a Kafka of its own."""
    name = f"platform-identity-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(timeout=MAX_WAIT_S)
    while name not in admin.list_topics(timeout=MAX_WAIT_S).topics:
        time.sleep(0.05)
    return name


@pytest.fixture
async def sender(kafka: KafkaBroker) -> AsyncIterator[KafkaCommandSender]:
    made = KafkaCommandSender(kafka.bootstrap)
    yield made
    await made.stop()


async def known_id(kafka: KafkaBroker, sender: KafkaCommandSender, topic: str) -> str:
    """What a worker that starts gets to know."""
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=topic)
    identity.start()
    async with asyncio.timeout(MAX_WAIT_S):
        await identity.known.wait()
    await identity.stop()
    return identity.ids[0]


async def test_all_workers_of_a_platform_agree_and_a_restart_changes_nothing(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic, other = new_topic(kafka), new_topic(kafka)
    at_once = await asyncio.gather(*(known_id(kafka, sender, topic) for _ in range(5)))
    assert len(set(at_once)) == 1
    assert await known_id(kafka, sender, topic) == at_once[0]
    assert await known_id(kafka, sender, other) != at_once[0]


async def test_a_former_id_that_is_put_back_is_the_platforms_too(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    """So a topic that was lost loses no news of old payments; what is made is marked with one id."""
    topic = new_topic(kafka)
    first = await known_id(kafka, sender, topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    former = b'{"platformId":"platform_former","createdAt":"2026-11-26T07:00:00Z"}'
    producer.produce(topic, former)
    assert producer.flush(MAX_WAIT_S) == 0
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=topic)
    assert await identity.read()
    assert identity.ids == (first, "platform_former")


async def test_a_record_that_is_none_is_passed_over(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic = new_topic(kafka)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for value in (b"", b"{}", b'{"platformId":"with blanks","createdAt":"now"}', b"\xff"):
        producer.produce(topic, value)
    assert producer.flush(MAX_WAIT_S) == 0
    assert await known_id(kafka, sender, topic) == await known_id(kafka, sender, topic)


async def test_an_id_that_is_put_back_by_hand_with_a_typo_beside_it_is_taken(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic = new_topic(kafka)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for value in (b'{"platformId":"platform_former","createdAt":"yesterday"}', b"{'platformId'}"):
        producer.produce(topic, value)
    assert producer.flush(MAX_WAIT_S) == 0
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=topic)
    with structlog.testing.capture_logs() as logged:
        assert await identity.read()
    assert identity.ids == ("platform_former",)
    assert [entry["records"] for entry in logged] == [1], "what can't be used is told"


async def test_a_worker_puts_its_id_back_into_a_topic_that_was_lost(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic = new_topic(kafka)
    reader = KafkaReader(kafka.bootstrap)
    running = PlatformIdentity(sender, reader, topic=topic)
    assert await running.read()
    (id,) = running.ids
    running._topic = made_again = new_topic(kafka)
    assert await running.read()
    assert running.ids == (id,)
    later = PlatformIdentity(sender, reader, topic=made_again)
    assert await later.read()
    assert later.ids == (id,)


async def test_a_lost_id_is_taken_back_for_all_workers_and_told(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic, reader = new_topic(kafka), KafkaReader(kafka.bootstrap)
    one = PlatformIdentity(sender, reader, topic=topic)
    two = PlatformIdentity(sender, reader, topic=topic)
    assert await one.read()
    (new,) = one.ids
    await one.take_back(["platform_former"])
    await one.take_back(["platform_former"])
    assert "platform_former" in one.problem()
    assert await two.read()
    assert one.ids == two.ids == (new, "platform_former")


async def test_while_kafka_is_away_it_is_not_said_that_it_can_not_tell(
    sender: KafkaCommandSender,
) -> None:
    away = PlatformIdentity(sender, KafkaReader(f"127.0.0.1:{free_port()}"))
    assert not await away.read()
    assert not away.was_asked()
    assert away.problem()


async def test_a_missing_topic_is_waited_for(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    name = f"platform-identity-{uuid.uuid4()}"
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=name)
    assert not identity.was_asked()
    assert not await identity.read()
    assert identity.was_asked()
    assert identity.problem().startswith(f"{name} can't be read")


async def test_news_with_a_platforms_id_waits_until_ours_is_known(make: Make) -> None:
    """Nothing of another's is taken for ours meanwhile, nor remembered as ours."""
    known: list[str] = []
    starting = make(OwnerMark(APP_ID, lambda: tuple(known), lambda: not known))
    other = make(mark("platform_other"))
    intent_id, order_id = await other.new_intent()
    with pytest.raises(StripeUnavailableError):
        await starting.gateway.order_of(intent_id)
    metadata = {"app": APP_ID, "platform": "platform_other", "orderId": order_id}
    with pytest.raises(StripeUnavailableError):
        await starting.gateway.order_id_of({"metadata": metadata})
    known.append("platform_ours")
    assert await starting.gateway.order_of(intent_id) is None
    assert await starting.gateway.order_id_of({"metadata": metadata}) is None
    known.append("platform_other")
    assert await starting.gateway.order_of(intent_id) == order_id, (
        "what is remembered is by the ids"
    )


async def test_what_is_not_ours_is_remembered(stripe: StripeSandbox, make: Make) -> None:
    intent_id, _ = await make(mark("platform_other")).new_intent()
    ours = make(mark("platform_ours"))
    for _ in range(3):
        assert await ours.gateway.order_of(intent_id) is None
    reads = [each for each in stripe.api.log if intent_id in each["path"]]
    assert len(reads) == 1


async def test_an_order_of_ours_whose_intent_bears_another_id_proves_that_the_id_was_lost(
    make: Make,
) -> None:
    before, now = make(mark("platform_lost")), make(mark("platform_new"))
    ours, _ = await before.new_intent()
    theirs, _ = await make(mark("platform_other")).new_intent()
    now_ms = round(time.time() * 1000)
    window = now_ms - HOUR_MS, now_ms + HOUR_MS
    found = await StripeAccount(now.gateway).intents(*window, {ours: now_ms})
    assert (found.orphans, found.lost_ids) == ([], {"platform_lost"})
    assert theirs
    for same in (before, make(mark(None))):
        found = await StripeAccount(same.gateway).intents(*window, {ours: now_ms})
        assert found.lost_ids == set()


# -- what the id is for


@dataclass
class Platform:
    """One platform's side of the account."""

    gateway: StripeGateway
    number: int = 0

    async def new_intent(self) -> tuple[str, str]:
        """A payment intent that can be paid: its id and its order's."""
        self.number += 1
        order_id = ids.order_id("guest", str(uuid.uuid4()))
        body = {
            "amount": 250_000, "currency": "inr", "automatic_payment_methods": {"enabled": True},
            "metadata": {"orderId": order_id, "paymentId": ids.payment_id(order_id)},
        }  # fmt: skip
        intent = await self.gateway.create_intent(body, f"pi:{order_id}:1")
        return intent.intent_id, order_id

    async def paid(self) -> str:
        """A paid one."""
        intent_id, _ = await self.new_intent()
        method = {"payment_method": "pm_card_visa", "return_url": "http://localhost/"}
        await self.gateway.confirm(intent_id, method, f"confirm:{intent_id}")
        return intent_id

    async def orphans(self) -> set[str]:
        """What the reconciliation would cancel, if this platform's Kafka knew of no intent."""
        now_ms = round(time.time() * 1000)
        account = StripeAccount(self.gateway)
        return {
            intent["id"]
            for intent in (await account.intents(now_ms - HOUR_MS, now_ms + HOUR_MS, {})).orphans
        }

    async def money(self) -> set[str]:
        """Ids of what Stripe's lists say that this platform took, gave back and lost."""
        found = await StripeAccount(self.gateway).moved(round(time.time() * 1000) - HOUR_MS)
        return {id for _, id in found}


@pytest.fixture
async def stripe() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running


Make = Callable[[OwnerMark], Platform]


@pytest.fixture
async def make(stripe: StripeSandbox) -> AsyncIterator[Make]:
    made: list[StripeGateway] = []

    def platform(mark: OwnerMark) -> Platform:
        made.append(
            StripeGateway("sk_test_x", base_url=stripe.base_url, rate_per_s=1000, mark=mark)
        )
        return Platform(made[-1])

    yield platform
    for gateway in made:
        await gateway.close()


def mark(platform_id: str | None) -> OwnerMark:
    return OwnerMark(APP_ID, lambda: (platform_id,) if platform_id else ())


async def test_two_platforms_with_one_app_id_never_touch_each_others_payments(
    kafka: KafkaBroker, sender: KafkaCommandSender, stripe: StripeSandbox, make: Make
) -> None:
    one = make(mark(await known_id(kafka, sender, new_topic(kafka))))
    two = make(mark(await known_id(kafka, sender, new_topic(kafka))))
    payable, _ = await one.new_intent()
    assert await two.orphans() == set(), "the other's intents are not cancelled"
    assert await one.orphans() == {payable}
    paid = await one.paid()
    refunds.create(stripe.state, {"payment_intent": paid, "amount": 700})
    assert len(await one.money()) == 2
    assert await two.money() == set(), "the other's money is no difference"
    told = [event async for page in _events(one) for event in page]
    ours = [await reduce_webhook(one.gateway, event) for event in told]
    theirs = [await reduce_webhook(two.gateway, event) for event in told]
    assert any(ours)
    assert not any(theirs), "each event of the account comes to both endpoints"


async def test_one_order_id_on_two_platforms_is_two_orders(make: Make) -> None:
    """A customer's name and key may be the same on both: the other's intent is not taken for ours."""
    one, two = make(mark("platform_1")), make(mark("platform_2"))
    order_id = ids.order_id("customer-1", "1")
    payment = ids.payment_id(order_id)
    body = {
        "amount": 250_000, "currency": "inr", "automatic_payment_methods": {"enabled": True},
        "metadata": {"orderId": order_id, "paymentId": payment},
    }  # fmt: skip
    made = await one.gateway.create_intent(body, "pi:same:1")
    with pytest.raises(InvalidError, match="idempotency_error"):
        await two.gateway.create_intent(body, "pi:same:1")
    at = {"created_after_s": time.time(), "created_before_s": time.time()}
    assert await two.gateway.find_intent(payment, **at) is None
    found = await one.gateway.find_intent(payment, **at)
    assert found
    assert found.intent_id == made.intent_id


def _events(platform: Platform) -> AsyncIterator[list[dict[str, object]]]:
    wanted = {"types": ["payment_intent.succeeded", "refund.created"]}
    return platform.gateway.pages(Listing.EVENTS, wanted)


async def test_what_was_marked_before_there_were_ids_stays_ours(make: Make) -> None:
    """Its news and its money are taken; it is not surely ours alone, so it is not cancelled."""
    before = make(mark(None))
    payable, _ = await before.new_intent()
    await before.paid()
    now = make(mark("platform_now"))
    assert await now.money() == await before.money() != set()
    assert await now.gateway.order_of(payable)
    assert await now.orphans() == set()


async def test_a_write_that_an_earlier_worker_began_is_not_made_twice(
    stripe: StripeSandbox, make: Make
) -> None:
    """Its key belongs to a body without the id, or with none yet: Stripe refuses another body."""
    order_id = ids.order_id("guest", "begun")
    body = {
        "amount": 250_000, "currency": "inr", "automatic_payment_methods": {"enabled": True},
        "metadata": {"orderId": order_id, "paymentId": ids.payment_id(order_id)},
    }  # fmt: skip
    before, now = make(mark(None)), make(mark("platform_now"))
    begun = await before.gateway.create_intent(body, "pi:begun:1")
    again = await now.gateway.create_intent(body, "pi:begun:1")
    assert (again.intent_id, len(stripe.state.payment_intents)) == (begun.intent_id, 1)
    method = {"payment_method": "pm_card_visa", "return_url": "http://localhost/"}
    await now.gateway.confirm(begun.intent_id, method, "confirm:begun")
    other = make(OwnerMark(APP_ID, lambda: ("platform_first", "platform_now")))
    again = await other.gateway.create_intent(body, "pi:begun:1")
    assert again.intent_id == begun.intent_id
    after = await now.gateway.create_intent(body, "pi:begun:2")
    assert (await other.gateway.create_intent(body, "pi:begun:2")).intent_id == after.intent_id
    refund = {"payment_intent": begun.intent_id, "amount": 700, "metadata": {"refundId": "r"}}
    first = await before.gateway.refund(refund, "refund:begun:1")
    second = await now.gateway.refund(refund, "refund:begun:1")
    assert (second.stripe_refund_id, len(stripe.state.refunds)) == (first.stripe_refund_id, 1)
