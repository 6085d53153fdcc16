"""The command sender on real Kafka: what it says it sent is there, and an outage is told in time."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka.admin import AdminClient, NewTopic

from app.kafka.sender import KafkaCommandSender
from models import ids, topics
from models.commands import (
    CancelPayment,
    Command,
    CommandType,
    WebhookReceived,
    read_command,
    read_webhook,
)
from models.errors import KafkaUnavailableError
from models.stripe_facts import IntentFacts
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, free_port

PARTITIONS = 3


def make_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=MAX_WAIT_S).topics
    wanted = {topics.PAYMENT_COMMANDS, topics.WEBHOOKS} - set(known)
    if wanted:
        made = admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in wanted])
        for topic in made.values():
            topic.result(timeout=MAX_WAIT_S)


def command(order_id: str) -> Command:
    return Command(
        order_id=order_id,
        command_id=ids.command_id(uuid.uuid4()),
        command_type=CommandType.CANCEL_PAYMENT,
        issued_at="2026-01-01T00:00:00.000Z",
        issued_by="system:effects",
        data=CancelPayment(),
    )


async def read_all(bootstrap: str, topic: str) -> list[Any]:
    """All records of a topic, by a consumer that knows nothing of ours."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        records: list[Any] = []
        async with asyncio.timeout(MAX_WAIT_S):
            while len(records) < sum(ends.values()):
                records.append(await consumer.getone())
        return records
    finally:
        await consumer.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of this test alone, to be stopped and started."""
    with KafkaBroker(tmp_path / "kafka") as running:
        make_topics(running.bootstrap)
        yield running


async def test_a_record_is_there_once_send_has_returned(kafka: KafkaBroker) -> None:
    await asyncio.to_thread(make_topics, kafka.bootstrap)
    sender = KafkaCommandSender(kafka.bootstrap)
    sent = [command(ids.order_id("guest", str(uuid.uuid4()))) for _ in range(20)]
    webhook = WebhookReceived(
        order_id=sent[0].order_id,
        stripe_event_id=f"evt_{uuid.uuid4().hex}",
        stripe_event_type="payment_intent.canceled",
        created=1_790_000_000,
        intent=IntentFacts(
            intent_id="pi_1", status="canceled", amount=100, amount_received=0, currency="INR"
        ),
    )
    trace = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    try:
        with structlog.contextvars.bound_contextvars(traceparent=trace):
            await asyncio.gather(*map(sender.send, sent))
        await sender.send_webhook(webhook)
    finally:
        await sender.stop()
    keys = {one.order_id.encode() for one in sent}
    records = [r for r in await read_all(kafka.bootstrap, topics.PAYMENT_COMMANDS) if r.key in keys]
    got = {r.key: read_command(r.topic, r.key, r.value) for r in records}
    assert got == {one.order_id.encode(): one for one in sent}
    partition_of = DefaultPartitioner()
    for record in records:
        every = list(range(PARTITIONS))
        assert record.partition == partition_of(record.key, every, every)
        assert dict(record.headers) == {
            "traceparent": trace.encode(),
            "ce_id": got[record.key].command_id.encode(),
            "ce_type": b"CANCEL_PAYMENT",
            "ce_source": b"/tiffin/effects",
            "ce_specversion": b"1.0",
            "content-type": b"application/json",
            "ce_time": b"2026-01-01T00:00:00.000Z",
        }
    (record,) = [
        r
        for r in await read_all(kafka.bootstrap, topics.WEBHOOKS)
        if dict(r.headers)["ce_id"] == webhook.stripe_event_id.encode()
    ]
    assert read_webhook(record.key, record.value) == webhook
    assert dict(record.headers)["traceparent"].startswith(b"00-")


async def test_kafka_away_is_told_in_time_and_forgotten_when_it_is_back(
    broker: KafkaBroker,
) -> None:
    sender = KafkaCommandSender(broker.bootstrap, within_s=MAX_WAIT_S)
    order = ids.order_id("guest", "outage")
    before, during, after = command(order), command(order), command(order)
    try:
        await sender.send(before)
        sender._within_s = 1.0
        await asyncio.to_thread(broker.kill)
        for _ in range(2):
            with pytest.raises(KafkaUnavailableError):
                await sender.send(during)
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(MAX_WAIT_S):
            while True:
                try:
                    await sender.send(after)
                    break
                except KafkaUnavailableError:
                    continue
    finally:
        await sender.stop()
    records = await read_all(broker.bootstrap, topics.PAYMENT_COMMANDS)
    got = [read_command(r.topic, r.key, r.value).command_id for r in records]
    assert {before.command_id, after.command_id} <= set(got)
    # What was refused may have got there later; nothing else may.
    assert set(got) <= {before.command_id, during.command_id, after.command_id}
    assert got.count(before.command_id) == 1


async def test_a_producer_that_lost_its_place_is_replaced(kafka: KafkaBroker) -> None:
    await asyncio.to_thread(make_topics, kafka.bootstrap)
    sender = KafkaCommandSender(kafka.bootstrap)
    order = ids.order_id("guest", str(uuid.uuid4()))
    try:
        broken = await sender._connected()
        # What aiokafka does to itself when Kafka refuses a sequence number.
        broken._message_accumulator.fail_all(OutOfOrderSequenceNumber())
        with pytest.raises(KafkaUnavailableError, match="OutOfOrderSequenceNumber"):
            await sender.send(command(order))
        await sender.send(command(order))
        assert sender._producer is not broken
    finally:
        await sender.stop()


async def test_no_kafka_at_all() -> None:
    sender = KafkaCommandSender(f"127.0.0.1:{free_port()}", within_s=1.0)
    with pytest.raises(KafkaUnavailableError):
        await sender.send(command(ids.order_id("guest", "nowhere")))
    await sender.stop()
    with pytest.raises(KafkaUnavailableError):
        await sender.send(command(ids.order_id("guest", "nowhere")))
