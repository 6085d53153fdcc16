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
from typing import TYPE_CHECKING, Final, Self

import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
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
READ_AT_ONCE: Final = 1_000
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


class Outputs:
    """A topic's committed records, as they come: neither markers of transactions nor aborted records."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"outputs-{topic}",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        at = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
        self._consumer.assign(at)
        self._ended: set[int | None] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def is_at_end(self) -> bool:
        """Whether each partition was read to its end, and nothing came since."""
        return len(self._ended) == PARTITIONS

    def read(self) -> list[Message]:
        """What came by now or comes within POLL_INTERVAL_S. Raises KafkaException."""
        records = []
        for message in self._consumer.consume(READ_AT_ONCE, timeout=POLL_INTERVAL_S):
            error = message.error()
            if error is None:
                self._ended.discard(message.partition())
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 -- its public name
                self._ended.add(message.partition())
            else:
                raise KafkaException(error)
        return records


def rate(bootstrap: str, sink: str, outputs: int) -> float:
    """Read the output topic until so many are there; returns outputs a second over the timed part.

    Raises TimeoutError, NotEnoughRecordsError.
    """
    deadline = time.monotonic() + MAX_WAIT_S
    looks: list[tuple[int, float]] = []
    seen = 0
    with Outputs(bootstrap, sink) as committed:
        while time.monotonic() < deadline:
            seen += len(committed.read())
            if len(looks) < len(TIMED_RANGE) and seen >= outputs * TIMED_RANGE[len(looks)]:
                looks.append((seen, time.monotonic()))
            if seen >= outputs:
                if len(looks) < len(TIMED_RANGE):
                    raise NotEnoughRecordsError(
                        f"{outputs:,} outputs came at one look: ask for more records"
                    )
                (first, began), (last, ended) = looks
                return (last - first) / (ended - began)
    raise TimeoutError(f"{sink} has {seen:,} of {outputs:,} records after {MAX_WAIT_S:g} s")


def check(bootstrap: str, sink: str, outputs: int) -> None:
    """Read the outputs: each key's numbers are 1, 2, 3 ... once each. Raises WrongOutputError."""
    last: dict[bytes, int] = {}
    total = 0
    with Outputs(bootstrap, sink) as committed:
        while not committed.is_at_end:
            for message in committed.read():
                key, number = message.key() or b"", orjson.loads(message.value() or b"")["number"]
                if number != last.get(key, 0) + 1:
                    raise WrongOutputError(f"{sink}: {key!r} has {number} after {last.get(key, 0)}")
                last[key] = number
                total += 1
    if total != outputs:
        raise WrongOutputError(f"{sink} has {total:,} events instead of {outputs:,}")
