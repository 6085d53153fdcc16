"""Reads records outside of the workers' group, whoever wrote them, by the engine's own decoder.

librdkafka gets no further at some batches that Kafka takes (two streams of gzip, a wrong length). Here each
partition goes on behind whatever can't be read.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.security import NO_SECURITY, KafkaSecurity
from tables import ConsumedRecord, UnreadableBatch, UnreadableRecord

FETCH_WAIT_MS: Final = 100

Place = tuple[str, int]
"""Topic and partition."""


class FetchedRecord(NamedTuple):
    """One record.

    timestamp_ms: since the epoch, -1 if it has none. value: of a record that can't be read, all its bytes.
    headers: names that are no text are escaped, missing values are empty. error: why the record, or the
    batch that begins at its offset (is_batch), can't be read.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    error: str | None = None
    is_batch: bool = False


class RecordReader:
    """Reads partitions from given offsets on. Methods raise KafkaError."""

    def __init__(self, bootstrap: str, security: KafkaSecurity = NO_SECURITY) -> None:
        """Connects at the first `assign`."""
        self._settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "group_id": None,
            "enable_auto_commit": False,
            # Where a start has been deleted meanwhile, reading begins at what is left.
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            **security.aiokafka(),
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[Place, int] = {}

    async def assign(self, starts: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**self._settings)
            await consumer.start()
            self._consumer = consumer
        self._next = dict(starts)
        self._consumer.assign([TopicPartition(*place) for place in starts])
        for place, offset in starts.items():
            self._consumer.seek(TopicPartition(*place), offset)

    async def read(self, most: int, timeout_s: float) -> list[FetchedRecord]:
        """What comes next, each partition in order; [] when nothing does in time."""
        assert self._consumer is not None
        found = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=most)
        return [
            record
            for tp, items in found.items()
            for item in items
            if (record := self._take(tp, item)) is not None
        ]

    def next_offset(self, place: Place) -> int:
        """Where reading goes on in a partition: behind records, markers and what can't be read."""
        return self._next[place]

    async def position(self, place: Place) -> int:
        """The same, and behind what Kafka has deleted."""
        assert self._consumer is not None
        position: int = await self._consumer.position(TopicPartition(*place))
        return position

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    def _take(self, tp: TopicPartition, item: Any) -> FetchedRecord | None:
        """A record, or what can't be read; None for offsets without a record."""
        kind = type(item)
        self._next[tp.topic, tp.partition] = item.offset + 1
        if kind is UnreadableBatch:
            self._next[tp.topic, tp.partition] = item.next_offset
            self._consumer.seek(tp, item.next_offset)  # type: ignore[union-attr]
        elif kind not in {ConsumedRecord, UnreadableRecord}:
            return None
        headers = tuple((name, value or b"") for name, value in item.headers)
        error = None if kind is ConsumedRecord else item.error
        return FetchedRecord(
            tp.topic, tp.partition, item.offset, item.timestamp, item.key, item.value, headers,
            error=error, is_batch=kind is UnreadableBatch,
        )  # fmt: skip


class OffsetReader:
    """A `RecordReader` whose methods block: call them in a thread, one at a time."""

    def __init__(self, bootstrap: str, security: KafkaSecurity = NO_SECURITY) -> None:
        self._loop = asyncio.new_event_loop()
        self._reader = RecordReader(bootstrap, security)
        self.next_offset = self._reader.next_offset

    def assign(self, starts: Mapping[Place, int]) -> None:
        """See `RecordReader.assign`."""
        self._loop.run_until_complete(self._reader.assign(starts))

    def read(self, most: int, timeout_s: float) -> list[FetchedRecord]:
        """See `RecordReader.read`."""
        return self._loop.run_until_complete(self._reader.read(most, timeout_s))

    def close(self) -> None:
        """Disconnect."""
        self._loop.run_until_complete(self._reader.close())
        self._loop.close()
