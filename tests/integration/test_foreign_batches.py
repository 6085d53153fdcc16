"""What a real broker takes of what is made byte by byte, and what it turns away: the tables are true."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import KafkaBroker
from tests.foreign import java_producer
from tests.foreign.kinds import LARGE, MARKED, ODD, ODD_BATCHES, REFUSED, STOPPING
from tests.foreign.raw_producer import RawProducer
from tests.foreign.record_batches import CODECS, Batch, Record

ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1)}


@pytest.fixture
def producer(kafka: KafkaBroker) -> Iterator[RawProducer]:
    """To a topic of its own, of one partition, that takes records of the future."""
    with RawProducer(kafka.bootstrap, _made(kafka, ANY_TIME)) as producer:
        yield producer


def _made(kafka: KafkaBroker, config: dict[str, str]) -> str:
    topic = f"foreign-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(20)
    return topic


def test_odd_batches_are_taken(producer: RawProducer) -> None:
    batches = {
        **{name: Batch([record]) for name, record in (ODD | MARKED).items()},
        **{f"all, {name}": Batch(list(ODD.values()), codec) for name, codec in CODECS.items()},
        **ODD_BATCHES,
        **LARGE,
        **STOPPING,
    }
    due = 0
    for name, batch in batches.items():
        answer = producer.send(batch.encoded())
        assert (answer.error, answer.offset) == ("NO_ERROR", due), f"{name}: {answer}"
        due += len(batch.records)


def test_broken_batches_are_refused(kafka: KafkaBroker) -> None:
    with RawProducer(kafka.bootstrap, _made(kafka, {})) as producer:
        said = {name: producer.send(refusal.raw).error for name, refusal in REFUSED.items()}
        assert said == {name: refusal.error for name, refusal in REFUSED.items()}
        assert producer.send(Batch().encoded()).offset == 0


def test_batches_made_by_hand_are_what_others_read(
    kafka: KafkaBroker, producer: RawProducer
) -> None:
    """They are read by librdkafka with every codec; else an odd batch might only show that it is not one."""
    records = [
        Record(key=b"k%d" % n, value=b"v" * 70_000, headers=[(b"n", None)]) for n in range(3)
    ]
    for codec in CODECS.values():
        assert producer.send(Batch(records, codec).encoded()).is_accepted
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": producer.topic})
    consumer.assign([TopicPartition(producer.topic, 0, 0)])
    found: list[Any] = []
    while len(found) < 3 * len(CODECS):
        messages = consumer.consume(3 * len(CODECS), 30)
        assert messages
        found += messages
    consumer.close()
    expected = [(r.key, r.value, [("n", None)]) for r in records] * len(CODECS)
    assert [(m.key(), m.value(), m.headers()) for m in found] == expected


def test_the_java_client_writes_with_every_codec_and_in_transactions(
    kafka: KafkaBroker, producer: RawProducer
) -> None:
    one = java_producer.record(producer.topic, 0, b"k", b"v" * 500, headers=[("n", None)])
    runs = [({"compression.type": name}, [one, one]) for name in CODECS]
    transactions = ["begin", one, "flush", "abort", "begin", one, "commit"]
    runs.append(({"transactional.id": producer.topic}, transactions))
    offsets = java_producer.produce(kafka.bootstrap, runs)
    # A transaction ends with a marker, which has an offset too.
    assert offsets == [*([n, n + 1] for n in range(0, 2 * len(CODECS), 2)), [10, 12]]
