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
from typing import TYPE_CHECKING, Any, Final, Self

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

from bench.processes import process_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PARTITIONS: Final = 3
OPEN_ORDERS: Final = 2_000
"""At any time."""
RECORDS_PER_ORDER: Final = 15
"""Records that an order gets before the next one begins in its place."""
DUPLICATE_SHARE: Final = 0.02
"""Part of the records that are sent twice, ..."""
DUPLICATE_DISTANCE: Final = 200
"""... the second time after that many others."""
TIMED_RANGE: Final = (0.25, 0.9)
"""The part of the outputs that is timed. Before it, caches fill and compilers compile; after it,
what was in flight at the first look would count as done since."""
POLL_INTERVAL_S: Final = 0.05
READ_AT_ONCE: Final = 1_000
MAX_WAIT_S: Final = 300.0
PADDING: Final = 160
EVENT_FIELDS: Final = {"eventId", "eventType", "orderId", "number", "padding"}


class WrongOutputError(Exception):
    """A contestant's outputs are not those of the workload."""


class NotEnoughRecordsError(Exception):
    """The workload was done before it could be timed."""


@dataclass(frozen=True, slots=True)
class Load:
    """An input topic and what is due for it.

    records: all; outputs: events that they lead to; size: bytes of a record.
    """

    topic: str
    records: int
    outputs: int
    size: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Over the timed part: outputs a second, and the cores that the process took."""

    per_s: float
    cores: float


def prepare(bootstrap: str, topic: str, records: int) -> Load:
    """Write an input topic of so many records, which every run reads."""
    make_topic(bootstrap, topic)
    distinct, value = 0, b""

    def counted() -> Iterator[tuple[str, bytes]]:
        nonlocal distinct, value
        for key, value, is_new in stream(records):
            distinct += is_new
            yield key, value

    write(bootstrap, topic, counted())
    return Load(topic, records, distinct, len(value))


def write(bootstrap: str, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
    """Write keys and values into a topic, and wait for Kafka."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key=key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def stream(records: int) -> Iterator[tuple[str, bytes, bool]]:
    """Key and value of each record, always the same, and whether it was not sent before."""
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


def rate(bootstrap: str, sink: str, outputs: int, pid: int) -> Rate:
    """Read the output topic until so many are there; how fast they came in the timed part.

    pid: of the process that makes them. Raises TimeoutError, NotEnoughRecordsError.
    """
    deadline = time.monotonic() + MAX_WAIT_S
    looks: list[tuple[int, float, float]] = []
    seen = 0
    with Outputs(bootstrap, sink) as committed:
        while time.monotonic() < deadline:
            seen += len(committed.read())
            if len(looks) < len(TIMED_RANGE) and seen >= outputs * TIMED_RANGE[len(looks)]:
                looks.append((seen, time.monotonic(), process_s(pid)))
            if seen >= outputs:
                if len(looks) < len(TIMED_RANGE):
                    raise NotEnoughRecordsError(
                        f"{outputs:,} outputs came at one look: ask for more records"
                    )
                (first, began, cpu_began), (last, ended, cpu_ended) = looks
                took = ended - began
                return Rate((last - first) / took, (cpu_ended - cpu_began) / took)
    raise TimeoutError(f"{sink} has {seen:,} of {outputs:,} records after {MAX_WAIT_S:g} s")


def check(bootstrap: str, sink: str, outputs: int) -> None:
    """Read the outputs: each key's numbers are 1, 2, 3 ... once each. Raises WrongOutputError."""
    last: dict[bytes, int] = {}
    total = 0
    for key, event in events(bootstrap, sink):
        if event["orderId"].encode() != key or event.keys() != EVENT_FIELDS:
            raise WrongOutputError(f"{sink}: {key!r} has an event {event}")
        if event["number"] != last.get(key, 0) + 1:
            raise WrongOutputError(
                f"{sink}: {key!r} has {event['number']} after {last.get(key, 0)}"
            )
        last[key] = event["number"]
        total += 1
    if total != outputs:
        raise WrongOutputError(f"{sink} has {total:,} events instead of {outputs:,}")


def events(bootstrap: str, sink: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each committed output's key and JSON, to the end of the topic."""
    with Outputs(bootstrap, sink) as committed:
        while not committed.is_at_end:
            for message in committed.read():
                yield message.key() or b"", orjson.loads(message.value() or b"")
