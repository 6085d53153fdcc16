"""Operations and the reconciliation read topics in which others wrote: what is readable is shown."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from app.kafka.reader import KafkaReader
from sandbox.kafka import KafkaBroker
from tests.foreign import senders
from tests.foreign.kinds import ODD, ODD_BATCHES
from tests.foreign.raw_producer import RawProducer
from tests.foreign.record_batches import Batch, Record

HONEST = Batch([Record(value=b"honest")])


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    name = f"window-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    return name


async def read(kafka: KafkaBroker, topic: str) -> tuple[list[Any], Mapping[int, int]]:
    """The values of all records that say that they are honest, and where reading goes on."""
    found: list[Any] = []
    ends, _ = await KafkaReader(kafka.bootstrap).onwards(
        topic, {}, lambda record: found.append(record.value)
    )
    return [value for value in found if value == b"honest"], ends


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "aborted"])
async def test_a_partition_that_ends_with_a_marker(
    kafka: KafkaBroker, topic: str, is_committed: bool
) -> None:
    with RawProducer(kafka.bootstrap, topic) as producer:
        assert producer.send(HONEST.encoded()).is_accepted
    senders.in_transaction(kafka.bootstrap, [senders.junk(topic, 0)], is_committed=is_committed)
    assert await read(kafka, topic) == ([b"honest"], {0: 3})


@pytest.mark.parametrize("last", ["honest", "odd"])
@pytest.mark.parametrize(
    "kind", ["two members of gzip", "garbage behind lz4", "a length of 2, zstd"]
)
async def test_what_librdkafka_does_not_read_hides_nothing_else(
    kafka: KafkaBroker, topic: str, kind: str, last: str
) -> None:
    odd = ODD_BATCHES[kind]
    batches = [HONEST, odd, HONEST] if last == "honest" else [HONEST, HONEST, odd]
    with RawProducer(kafka.bootstrap, topic) as producer:
        for batch in batches:
            assert producer.send(batch.encoded()).is_accepted
    assert await read(kafka, topic) == ([b"honest"] * 2, {0: 2 + len(odd.records)})


async def test_odd_records_hide_nothing_else(kafka: KafkaBroker, topic: str) -> None:
    odd = [record for name, record in ODD.items() if record.timestamp_ms < 2**41]
    with RawProducer(kafka.bootstrap, topic) as producer:
        for batch in (HONEST, Batch(odd), HONEST):
            assert producer.send(batch.encoded()).is_accepted
    assert await read(kafka, topic) == ([b"honest"] * 2, {0: 2 + len(odd)})
