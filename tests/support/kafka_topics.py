"""Reads whole topics, and writes what clients refuse to."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.record import default_records
from confluent_kafka import Consumer, TopicPartition

from agents.dictionaries import dictionaries_of
from sandbox.processes import MAX_WAIT_S
from tables.packing import unpack

PARTITIONS = 3


class Read(NamedTuple):
    """A record read back."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def read_all(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> list[Read]:
    """Everything a topic holds, in order of partition and offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    left = {}
    for partition in range(partitions):
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=MAX_WAIT_S
        )
        if high > low:
            left[partition] = (low, high)
    consumer.assign([TopicPartition(topic, p, low) for p, (low, _) in left.items()])
    records = []
    deadline = time.monotonic() + MAX_WAIT_S
    while left:
        assert time.monotonic() < deadline, f"{topic}: nothing more comes, {left} is left"
        for message in consumer.consume(5000, 0.2):
            assert message.error() is None
            partition, offset = message.partition(), message.offset()
            records.append(
                Read(partition, offset, message.key(), message.value(), message.headers() or [])
            )
            if partition in left and offset + 1 >= left[partition][1]:
                del left[partition]
    consumer.close()
    return sorted(records)


class NoText(str):
    """A header's name as aiokafka sends it: two bytes that are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


async def put_odd_header_name(bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Append a record whose header's name is not UTF-8."""
    builder = default_records._DefaultRecordBatchBuilderPy
    monkeypatch.setattr(message_accumulator, "DefaultRecordBatchBuilder", builder)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        headers = [(NoText("x"), b"1"), ("ce_id", b"evt_odd")]
        batch.append(key=b"k", value=b"odd", timestamp=round(time.time() * 1000), headers=headers)
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


def stored_json(table: str, value: bytes) -> Any:
    """What a table's changelog says of a record, packed or not."""
    return orjson.loads(unpack(value, dictionaries_of(table)))
