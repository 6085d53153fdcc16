"""The work that every contestant does, and how it is counted: from outside, in Kafka."""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass
from typing import Final

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS: Final = 3
KEYS: Final = 5_000
WARM_UP: Final = 0.1
"""This part of the outputs is not timed: caches fill, the first fetches are small."""
LOOK_EVERY_S: Final = 0.05
PATIENCE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Topics:
    """One contestant's own input and output."""

    source: str
    sink: str


def prepare(bootstrap: str, records: int) -> bytes:
    """Make the input once; every run reads the same bytes. Gives a sample record."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic("bench-input", PARTITIONS, 1)]).values():
        future.result()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
        }
    )
    numbers, sample = random.Random(1), b""
    for number in range(records):
        key = f"order-{numbers.randrange(KEYS)}"
        sample = orjson.dumps(
            {
                "eventId": str(uuid.UUID(int=numbers.getrandbits(128))),
                "eventType": "PAYMENT_COMPLETED",
                "orderId": key,
                "number": number,
                "padding": "x" * 160,
            }
        )
        while True:
            try:
                producer.produce("bench-input", sample, key=key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return sample


def make_sink(bootstrap: str, name: str) -> None:
    """Make one run's output topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        future.result()


def count(consumer: Consumer, topic: str) -> int:
    """Give the number of records in a topic, transaction markers included."""
    total = 0
    for partition in range(PARTITIONS):
        at = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(at, timeout=10)
        total += high - low
    return total


def rate(bootstrap: str, sink: str, records: int) -> float:
    """Watch the outputs come; give records a second after the warm-up. Raises TimeoutError."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"watch-{sink}"})
    deadline, began, seen_first = time.monotonic() + PATIENCE_S, 0.0, 0
    try:
        while time.monotonic() < deadline:
            try:
                seen, now = count(consumer, sink), time.monotonic()
            except KafkaException:  # a topic that is only just made has no leader yet
                continue
            if not began and seen >= records * WARM_UP:
                began, seen_first = now, seen
            if seen >= records:
                return (seen - seen_first) / (now - began)
            time.sleep(LOOK_EVERY_S)
    finally:
        consumer.close()
    raise TimeoutError(f"{sink} holds fewer than {records} records after {PATIENCE_S:g} s")
