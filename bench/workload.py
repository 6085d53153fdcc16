"""The workload of every contestant, and how its outputs are timed and checked: by reading Kafka.

A few thousand orders are open at once; their records are interleaved, and each order gets a fixed number
of them. The sender sends some twice. An order's records are numbered as they come, and each leads to one
event, whose id derives from the record's. Duplicates lead to no event.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS: Final = 3
OPEN_ORDERS: Final = 2_000
"""At any time."""
RECORDS_PER_ORDER: Final = 15
"""Records that an order gets before the next one begins in its place."""
DUPLICATE_SHARE: Final = 0.02
"""Part of the records that are sent twice, ..."""
DUPLICATE_DISTANCE: Final = 200
"""... the second time after that many others."""
TIMED_RANGE: Final = (0.1, 0.9)
"""The part of the outputs that is timed. Before it, caches fill and the first fetches are small; after it,
what was in flight at the first look would count as done since."""
POLL_INTERVAL_S: Final = 0.05
MAX_WAIT_S: Final = 300.0
PADDING: Final = 160
INPUT: Final = "bench-input"


class WrongOutputError(Exception):
    """A contestant's outputs are not those of the workload."""


class NotEnoughRecordsError(Exception):
    """The workload was done before it could be timed."""


@dataclass(frozen=True, slots=True)
class Load:
    """The input topic's content. records: all; distinct: those not sent before; size: bytes of one."""

    records: int
    distinct: int
    size: int


def prepare(bootstrap: str, records: int) -> Load:
    """Write the input topic, which every run reads."""
    make_topic(bootstrap, INPUT)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
        }
    )
    distinct, value = 0, b""
    for key, value, is_new in _stream(records):
        distinct += is_new
        while True:
            try:
                producer.produce(INPUT, value, key=key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return Load(records, distinct, len(value))


def _stream(records: int) -> Iterator[tuple[str, bytes, bool]]:
    numbers = random.Random(1)
    again: deque[tuple[int, str, bytes]] = deque()
    left = [numbers.randint(1, RECORDS_PER_ORDER) for _ in range(OPEN_ORDERS)]
    orders, begun = list(range(OPEN_ORDERS)), OPEN_ORDERS
    for number in range(records):
        if again and again[0][0] <= number:
            _, key, value = again.popleft()
            yield key, value, False
            continue
        at = numbers.randrange(OPEN_ORDERS)
        key = f"order-{orders[at]}"
        value = message(key, uuid.UUID(int=numbers.getrandbits(128)), "x" * PADDING)
        if numbers.random() < DUPLICATE_SHARE:
            again.append((number + DUPLICATE_DISTANCE, key, value))
        left[at] -= 1
        if not left[at]:
            orders[at], left[at], begun = begun, RECORDS_PER_ORDER, begun + 1
        yield key, value, True


def message(key: str, event_id: uuid.UUID, padding: str) -> bytes:
    """One input record's value; its event carries the padding."""
    return orjson.dumps(
        {
            "eventId": str(event_id),
            "eventType": "PAYMENT_COMPLETED",
            "orderId": key,
            "padding": padding.ljust(PADDING),
        }
    )


def make_topic(bootstrap: str, name: str) -> None:
    """Make a topic; KafkaException when it is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        future.result()


def count(consumer: Consumer, topic: str) -> int:
    """The number of committed records in a topic, transaction markers included."""
    total = 0
    for partition in range(PARTITIONS):
        at = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(at, timeout=10)
        total += high - low
    return total


def rate(bootstrap: str, sink: str, outputs: int) -> float:
    """Watch the output topic; returns outputs a second over the timed part.

    Raises TimeoutError, NotEnoughRecordsError.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"watch-{sink}"})
    deadline = time.monotonic() + MAX_WAIT_S
    looks: list[tuple[int, float]] = []
    try:
        while time.monotonic() < deadline:
            try:
                seen, now = count(consumer, sink), time.monotonic()
            except KafkaException:  # a topic that is only just made has no leader yet
                continue
            if len(looks) < len(TIMED_RANGE) and seen >= outputs * TIMED_RANGE[len(looks)]:
                looks.append((seen, now))
            if seen >= outputs:
                if len(looks) < len(TIMED_RANGE):
                    raise NotEnoughRecordsError(
                        f"{outputs:,} outputs came at one look: ask for more records"
                    )
                (first, began), (last, ended) = looks
                return (last - first) / (ended - began)
            time.sleep(POLL_INTERVAL_S)
    finally:
        consumer.close()
    raise TimeoutError(f"{sink} holds fewer than {outputs} records after {MAX_WAIT_S:g} s")


def check(bootstrap: str, sink: str, outputs: int) -> None:
    """Read the outputs: each key's numbers are 1, 2, 3 ... once each. Raises WrongOutputError."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"check-{sink}",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(sink, number, 0) for number in range(PARTITIONS)])
    last: dict[bytes, int] = {}
    ends: set[int | None] = set()
    total = 0
    try:
        while len(ends) < PARTITIONS:
            for message in consumer.consume(10_000, timeout=1.0):
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 -- its public name
                        raise KafkaException(error)
                    ends.add(message.partition())
                    continue
                key, number = message.key() or b"", orjson.loads(message.value() or b"")["number"]
                if number != last.get(key, 0) + 1:
                    raise WrongOutputError(f"{sink}: {key!r} has {number} after {last.get(key, 0)}")
                last[key] = number
                total += 1
    finally:
        consumer.close()
    if total != outputs:
        raise WrongOutputError(f"{sink} has {total:,} events instead of {outputs:,}")
