"""Reads what a topic holds from a time or an offset on, up to its present end; part of no group."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from app.kafka.reader import bounds
from app.kafka.records import FetchedRecord, OffsetReader
from app.kafka.security import NO_SECURITY, KafkaSecurity
from models.errors import KafkaUnavailableError

METADATA_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 15.0
MAX_POLL_RECORDS: Final = 1000
Offsets = dict[int, int]
StartOffsets = Callable[[Any, Offsets], Offsets]
"""Consumer, end of each partition -> where to begin in each; below 0: at the end."""


class TopicReader:
    """One topic. Methods run in a thread; they raise KafkaUnavailableError, at the latest after a silence.

    Each record is given to `take` in that thread, as `FetchedRecord`, each partition in order.
    One that `take` can't use (it raises ValueError), and one that can't be read at all, is skipped. They
    return the offsets where to go on.

    skipped: how many were, in the latest call.
    """

    def __init__(self, bootstrap: str, topic: str, security: KafkaSecurity = NO_SECURITY) -> None:
        """Connects anew for each call."""
        self.topic = topic
        self.skipped = 0
        self._bootstrap, self._security = bootstrap, security
        self._settings = {
            "bootstrap.servers": bootstrap,
            "group.id": "tiffin-reader",  # needed by librdkafka, never joined
            "enable.auto.commit": False,
            "log_level": 0,
            **security.librdkafka(),
        }

    async def since(self, since_ms: int, take: Callable[[Any], None]) -> Offsets:
        """Read what Kafka was given since a time, in milliseconds since the epoch."""

        def starts(consumer: Any, ends: Offsets) -> Offsets:
            wanted = [TopicPartition(self.topic, partition, max(0, since_ms)) for partition in ends]
            found = consumer.offsets_for_times(wanted, timeout=METADATA_TIMEOUT_S)
            return {tp.partition: tp.offset for tp in found}

        return await _in_thread(self._read, starts, take)

    async def onwards(self, begin: Mapping[int, int], take: Callable[[Any], None]) -> Offsets:
        """Read on from offsets that an earlier call returned."""
        return await _in_thread(
            self._read, lambda _, ends: {p: begin.get(p, 0) for p in ends}, take
        )

    async def newest(self, most: int) -> list[bytes]:
        """Values of the last records, the newest first, of a topic with one partition."""
        found: list[bytes] = []
        await _in_thread(
            self._read,
            lambda _, ends: {p: max(0, end - most) for p, end in ends.items()},
            lambda message: found.append(message.value() or b""),
        )
        return found[::-1]

    def _read(self, starts: StartOffsets, take: Callable[[Any], None]) -> Offsets:
        consumer = Consumer(dict(self._settings))
        self.skipped = 0
        try:
            about = consumer.list_topics(self.topic, timeout=METADATA_TIMEOUT_S).topics[self.topic]
            if about.error is not None:
                raise KafkaException(about.error)
            found = {
                partition: bounds(
                    consumer, TopicPartition(self.topic, partition), METADATA_TIMEOUT_S
                )
                for partition in about.partitions
            }
            ends = {partition: end for partition, (_, end) in found.items()}
            reached = {
                partition: ends[partition] if start < 0 else max(found[partition][0], start)
                for partition, start in starts(consumer, ends).items()
            }
        finally:
            consumer.close()
        self._take_all(reached, ends, take)
        return reached

    def _take_all(self, reached: Offsets, ends: Offsets, take: Callable[[Any], None]) -> None:
        """Read up to the ends, moving `reached`. Raises KafkaError, TimeoutError."""
        left = {(self.topic, p): ends[p] for p in reached if reached[p] < ends[p]}
        if not left:
            return
        reader = OffsetReader(self._bootstrap, self._security)
        try:
            reader.assign({place: reached[place[1]] for place in left})
            heard_s = time.monotonic()
            while any(reader.next_offset(place) < end for place, end in left.items()):
                records = reader.read(MAX_POLL_RECORDS, 1.0)
                for record in records:
                    if record.offset() < ends[record.partition()]:
                        self._take_one(record, take)
                if records:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > IDLE_TIMEOUT_S:
                    raise TimeoutError
        finally:
            reader.close()
        reached.update({partition: end for (_, partition), end in left.items()})

    def _take_one(self, record: FetchedRecord, take: Callable[[Any], None]) -> None:
        if record.error is not None:
            self.skipped += 1
            return
        try:
            take(record)
        except ValueError:
            self.skipped += 1


async def _in_thread(call: Callable[..., Offsets], *arguments: Any) -> Offsets:
    try:
        return await asyncio.to_thread(call, *arguments)
    except (AiokafkaError, KafkaException, TimeoutError) as error:
        cause = error.args[0] if error.args else None
        name = cause.name() if isinstance(cause, KafkaError) else type(error).__name__
        raise KafkaUnavailableError(f"Kafka can't be read: {name}") from error
