"""Producers that are not ours, each with every codec and in transactions: librdkafka's and Java's."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from confluent_kafka import Producer

from tests.foreign import java_producer
from tests.foreign.kinds import JUNK, PUT_BY_TEST
from tests.foreign.record_batches import CODECS

JUNK_HEADERS = [(PUT_BY_TEST[0].decode(), PUT_BY_TEST[1])]


class Message(NamedTuple):
    """What a sender is to send."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = JUNK_HEADERS


Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def junk(topic: str, partition: int) -> Message:
    """A message that no service can act on."""
    return Message(topic, partition, b"foreign", JUNK)


def by_librdkafka(bootstrap: str, codec: str, messages: list[Message]) -> list[Place]:
    """Send in batches of one codec, as an idempotent producer; gives where they are."""
    config = {"compression.type": codec, "enable.idempotence": True, "linger.ms": 50}
    producer = Producer({"bootstrap.servers": bootstrap, **config, "log_level": 0})
    places = _produce(producer, messages)
    assert producer.flush(60) == 0
    return places


def in_transaction(
    bootstrap: str, messages: list[Message], *, is_committed: bool, codec: str = "none"
) -> list[Place]:
    """Send in a transaction of librdkafka's; gives where the records are, aborted ones too.

    Behind them, in each of their partitions, is a marker, which has an offset and is no record.
    """
    config = {"transactional.id": f"foreign-{uuid.uuid4()}", "compression.type": codec}
    producer = Producer({"bootstrap.servers": bootstrap, **config, "log_level": 0})
    producer.init_transactions(60)
    producer.begin_transaction()
    places = _produce(producer, messages)
    assert producer.flush(60) == 0  # else an abort would leave them unsent
    end = producer.commit_transaction if is_committed else producer.abort_transaction
    end(60)
    return places


def _produce(producer: Producer, messages: list[Message]) -> list[Place]:
    places: list[Place] = []

    def note(error: Any, message: Any) -> None:
        assert error is None, error
        places.append((message.topic(), message.partition(), message.offset()))

    for topic, partition, key, value, headers in messages:
        producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=note)
    return places


def by_java(bootstrap: str, messages: list[Message]) -> tuple[set[Place], set[Place]]:
    """Send each message by Java's producer with every codec, in a transaction, and in an aborted one.

    Gives where they are: those to be read, and those whose transaction was aborted.
    """
    steps = [
        java_producer.record(m.topic, m.partition, m.key, m.value, headers=m.headers)
        for m in messages
    ]
    transactional = {"transactional.id": f"foreign-{uuid.uuid4()}"}
    done, aborted = ["begin", *steps, "commit"], ["begin", *steps, "flush", "abort"]
    runs: list[java_producer.Run] = [({"compression.type": name}, steps) for name in CODECS]
    runs += [(transactional, done), (transactional, aborted)]
    offsets = java_producer.produce(bootstrap, runs)
    places = [
        [(m.topic, m.partition, offset) for m, offset in zip(messages, run, strict=True) if offset is not None]
        for run in offsets
    ]  # fmt: skip
    return {place for run in places[:-1] for place in run}, set(places[-1])
