"""Copying on real Kafka: each record once, in order and where its key belongs, whatever cuts it off."""

from __future__ import annotations

import itertools
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord, RecordReader
from app.partitions import copying
from app.partitions.copying import (
    CopiedRow,
    Copier,
    CopyError,
    CopyProgress,
    TopicCopy,
    partition_of,
)
from app.partitions.plan import record_change
from app.partitions.topics import WHILE_COPYING
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, wait_until
from tables.cluster import ClusterReader

OLD, NEW = 3, 5
KEYS = [f"order-{n}".encode() for n in range(40)]
DAY_2025_MS = 1_735_689_600_000


class KilledError(Exception):
    """The run ends here."""


class FragileCopier(Copier):
    """Ends before or after a chunk is compared, as a killed process would; what was sent stays."""

    dies_after = 0

    async def _compare(
        self, copy: TopicCopy, known: CopyProgress, rows: Mapping[int, Sequence[CopiedRow]]
    ) -> None:
        self.dies_after -= 1
        if self.dies_after <= 0:
            raise KilledError
        await super()._compare(copy, known, rows)

    async def _send(self, copy: TopicCopy, rows: Mapping[int, Sequence[CopiedRow]]) -> None:
        if self.dies_after == 1:  # not all of it is sent
            rows = {p: found[: len(found) // 2] for p, found in rows.items()}
        await super()._send(copy, rows)


def make_topic(kafka: KafkaBroker, name: str, partitions: int, config: dict[str, str]) -> str:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    topic = NewTopic(name, partitions, 1, config=config)
    admin.create_topics([topic])[name].result(timeout=MAX_WAIT_S)
    wait_until(
        lambda: name in admin.list_topics(timeout=MAX_WAIT_S).topics, name, timeout_s=MAX_WAIT_S
    )
    return name


def fill(kafka: KafkaBroker, topic: str, first: int, count: int) -> None:
    """Numbered records, where Java's producer puts them; a few without a key, or without a value."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for number in range(first, first + count):
        key = KEYS[number * 7 % len(KEYS)]
        value = None if number % 97 == 0 else str(number).encode()
        headers = [("number", str(number).encode())]
        at_ms = DAY_2025_MS + number
        if number % 50 == 0:
            producer.produce(topic, value, None, number % OLD, timestamp=at_ms, headers=headers)
        else:
            producer.produce(topic, value, key, timestamp=at_ms, headers=headers)
    producer.flush(MAX_WAIT_S)


Found = tuple[int, bytes | None, bytes | None, int, list[tuple[str, bytes]]]


def read(kafka: KafkaBroker, topic: str, partitions: int) -> list[Found]:
    """Partition, key, value, time and headers of all records, by another client."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": uuid.uuid4().hex})
    found: list[Found] = []
    for p in range(partitions):
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, p), MAX_WAIT_S)
        consumer.assign([TopicPartition(topic, p, 0)])
        while sum(each[0] == p for each in found) < end:
            for m in consumer.consume(500, 0.5):
                assert m.error() is None
                headers = [(n, v or b"") for n, v in m.headers() or []]
                found.append((p, m.key(), m.value(), m.timestamp()[1], headers))
    consumer.close()
    return found


@pytest.fixture
async def producer(kafka: KafkaBroker) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True, acks="all")
    await made.start()
    yield made
    await made.stop()


class Run:
    """A topic, its copy, and runs that copy it, each with what the one before left in Kafka."""

    def __init__(self, kafka: KafkaBroker, producer: AIOKafkaProducer) -> None:
        name = f"copied-{uuid.uuid4().hex}"
        self.kafka, self.producer = kafka, producer
        make_topic(kafka, name, OLD, {"message.timestamp.type": "CreateTime"})
        make_topic(kafka, f"{name}.g2", NEW, dict(WHILE_COPYING))
        self.progress = make_topic(kafka, f"{name}-copying", 1, {})
        self.copy = TopicCopy(name, f"{name}.g2", OLD, NEW, record_change(NEW))

    async def once(self, dies_after: int | None = None) -> int:
        """One run; gives how many records it copied. dies_after: chunks."""
        cluster = ClusterReader({"bootstrap.servers": self.kafka.bootstrap})
        reader, check = (RecordReader(self.kafka.bootstrap) for _ in range(2))
        kind = Copier if dies_after is None else FragileCopier
        copier = kind(
            self.producer, reader, check, self.progress, lambda at: cluster.bounds(at, MAX_WAIT_S)
        )
        if isinstance(copier, FragileCopier):
            copier.dies_after = dies_after or 0

        def take(record: FetchedRecord) -> None:
            copier.known[(record.key or b"").decode()] = CopyProgress.load(record.value or b"")

        await KafkaReader(self.kafka.bootstrap).onwards(self.progress, {}, take)
        try:
            async for _ in copier.copy([self.copy]):
                pass
            assert await copier.left([self.copy]) == 0
        finally:
            await reader.close()
            await check.close()
        return copier.copied

    def check(self) -> None:
        """Each record is there once, as it was, in its key's partition, and in order of its key."""
        old, new = read(self.kafka, self.copy.old, OLD), read(self.kafka, self.copy.new, NEW)
        assert sorted(map(repr, (each[1:] for each in old))) == sorted(
            map(repr, (each[1:] for each in new))
        )
        for partition, key, *_ in new:
            assert key is None or partition == partition_of(key, NEW)
        assert by_key(new) == by_key(old)


def by_key(found: list[Found]) -> dict[tuple[bytes | None, int], list[bytes]]:
    """Numbers of each key's records, in order; records without a key by their partition."""
    numbers = defaultdict(list)
    for partition, key, _, _, headers in found:
        numbers[key, -1 if key else partition].append(headers[0][1])
    return numbers


@pytest.fixture
def run(kafka: KafkaBroker, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(copying, "CHUNK_RECORDS", 100)
    return Run(kafka, producer)


async def test_all_is_copied_once_and_what_came_since_later(run: Run) -> None:
    fill(run.kafka, run.copy.old, 0, 1000)
    assert await run.once() == 1000
    fill(run.kafka, run.copy.old, 1000, 300)
    assert await run.once() == 300
    assert await run.once() == 0
    run.check()


async def test_a_run_that_is_killed_again_and_again_is_gone_on_with(run: Run) -> None:
    random.seed(7)
    fill(run.kafka, run.copy.old, 0, 1500)
    for _ in range(12):
        with suppress(KilledError):
            await run.once(dies_after=random.randint(1, 4))
    await run.once()
    run.check()


async def test_what_somebody_else_put_into_the_copy_is_found(run: Run) -> None:
    fill(run.kafka, run.copy.old, 0, 500)
    with pytest.raises(KilledError):
        await run.once(dies_after=2)
    for partition in range(NEW):
        await run.producer.send_and_wait(run.copy.new, b"foreign", key=b"x", partition=partition)
    with pytest.raises(CopyError):
        await run.once()


async def test_a_changelog_ends_with_the_same_rows(run: Run) -> None:
    old = run.copy
    run.copy = TopicCopy(old.old, old.new, OLD, NEW, old.change, is_changelog=True)
    fill(run.kafka, old.old, 0, 1200)
    for dies_after in (1, 3, 2):
        with suppress(KilledError):
            await run.once(dies_after=dies_after)
    await run.once()
    last = [
        {each[1]: each[2:] for each in read(run.kafka, topic, count) if each[1]}
        for topic, count in ((old.old, OLD), (old.new, NEW))
    ]
    assert last[0] == last[1]
    assert list(itertools.chain(*last))
