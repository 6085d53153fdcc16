"""Batches and consumed records: what Kafka gets is what was appended, what comes is what it has."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from tables import commit_batch
from tables.commit_batch import Batches, Item
from tables.consumed_record import ConsumedRecord

SMALL_BATCH_BYTES = 300


class Sent(NamedTuple):
    """As much of RecordMetadata as is looked at."""

    offset: int


@dataclass
class Broker:
    """In place of a producer: keeps each partition's records as they lie in the log."""

    logs: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    sent_bytes: int = 0

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(SMALL_BATCH_BYTES, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[Sent]:
        log = self.logs.setdefault((topic, partition), [])
        sent: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        sent.set_result(Sent(len(log)))
        raw = bytes(batch._build())
        self.sent_bytes += len(raw)
        read = MemoryRecords(raw)
        while read.has_next():
            log += list(read.next_batch())
        return sent


def batches(broker: Broker, *, is_compressed: bool = False) -> Batches:
    return Batches(cast(AIOKafkaProducer, broker), is_compressed=is_compressed)


ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "dead"]),
        st.text(max_size=5) | st.binary(max_size=5) | st.none(),
        st.binary(max_size=200) | st.none(),
        st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=4)), max_size=2).map(tuple),
    ),
    max_size=30,
)


@given(ITEMS, st.booleans())
def test_each_topic_gets_its_records_in_order_in_its_partition(
    items: list[Item], is_compressed: bool
) -> None:
    broker = Broker()
    outgoing = batches(broker, is_compressed=is_compressed)
    for item in items:
        outgoing.append(item)
    last = asyncio.run(outgoing.send(lambda topic: 0 if topic == "dead" else 2))
    assert outgoing.count == len(items)
    assert {partition for _, partition in broker.logs} <= {0, 2}
    for (topic, partition), log in broker.logs.items():
        assert (partition == 0) == (topic == "dead")
        wanted = [
            (name.encode() if isinstance(name, str) else name, value, list(headers))
            for to, name, value, headers in items
            if to == topic
        ]
        assert [(record.key, record.value, list(record.headers)) for record in log] == wanted
    topics = [topic for topic, *_ in items]
    assert last == -1 if not items else last in {topics.count(topic) - 1 for topic in topics}


def test_compressed_batches_are_as_small_and_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_batch, "BATCH_BYTES", 3_000)
    sizes: dict[bool, int] = {}
    for is_compressed in (False, True):
        broker = Broker()
        outgoing = batches(broker, is_compressed=is_compressed)
        for number in range(40):
            outgoing.append(("a", f"order-{number}", b'{"status":"PENDING"}' * 10, ()))
        asyncio.run(outgoing.send(lambda _: 0))
        assert len(broker.logs["a", 0]) == 40
        assert {record.key for record in broker.logs["a", 0]} == {
            b"order-%d" % n for n in range(40)
        }
        sizes[is_compressed] = broker.sent_bytes
    assert sizes[True] < sizes[False] / 3


def test_a_record_has_the_time_at_which_it_was_appended() -> None:
    broker = Broker()
    outgoing = batches(broker)
    outgoing.append(("a", "k", b"1", ()))
    first_ms = int(time.time() * 1000)
    while int(time.time() * 1000) <= first_ms + 1:
        pass
    then_ms = int(time.time() * 1000)
    outgoing.append(("a", "k", b"2", ()))
    asyncio.run(outgoing.send(lambda _: 0))
    first, second = broker.logs["a", 0]
    assert first.timestamp <= first_ms < then_ms <= second.timestamp


def test_consumed_records_have_what_aiokafka_gives() -> None:
    builder = BatchBuilder(1000, 0)
    builder.append(timestamp=7, key=b"k", value=b"v", headers=[("h", b"1")])
    builder.append(timestamp=8, key=None, value=None, headers=[])
    records = fetcher.PartitionRecords(
        TopicPartition("t", 3), fetcher.MemoryRecords(bytes(builder._build())), None, 0, None, None,
        check_crcs=True, isolation_level=0,
    )  # fmt: skip
    first, second = records
    assert isinstance(first, ConsumedRecord)
    assert ConsumedRecord._fields == tuple(ConsumerRecord.__dataclass_fields__)
    assert first == ("t", 3, 0, 7, 0, b"k", b"v", None, 1, 1, (("h", b"1"),))
    assert second == ("t", 3, 1, 8, 0, None, None, None, -1, -1, ())
