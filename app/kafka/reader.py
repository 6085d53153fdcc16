"""Looks into Kafka for operators: single records, the last ones of a topic, end and committed offsets.

Blocking calls of librdkafka run in threads; nothing of it takes part in the workers' group.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from app.kafka.records import FetchedRecord, OffsetReader
from app.kafka.security import NO_SECURITY, KafkaSecurity
from models.dead_letter import RecordLocation
from models.errors import KafkaUnavailableError
from models.operations import Offsets
from tables.cluster import LEADER_POLL_S, WITHOUT_LEADER, ClusterReader

REQUEST_TIMEOUT_S: Final = 5.0
MAX_READ_GAP: Final = 50
"""Records that are read along rather than going to the next place anew."""
UNKNOWN_PARTITION_ERRORS: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)  # fmt: skip
"""There is no such topic or partition."""
R = TypeVar("R")


class RecordWindow(NamedTuple):
    """Records of a partition. start: offset of the first; is_first: there is nothing before them."""

    place: str
    start: int
    is_first: bool
    records: Sequence[Any]


class KafkaReader:
    """Reads for one group. Methods raise KafkaUnavailableError within `REQUEST_TIMEOUT_S` or little more."""

    def __init__(self, bootstrap: str, group: str, security: KafkaSecurity = NO_SECURITY) -> None:
        """Connects at the first call."""
        self._settings = {
            "bootstrap.servers": bootstrap, "log_level": 0, **security.librdkafka()
        }  # fmt: skip
        self._bootstrap, self._security = bootstrap, security
        self._group = group
        self._admin: AdminClient | None = None
        self._cluster = ClusterReader(self._settings)

    async def offsets(
        self, topics: Sequence[str], partitions: int
    ) -> dict[tuple[str, int], Offsets]:
        """End and committed offset of every partition of the topics."""
        wanted = [TopicPartition(topic, p) for topic in topics for p in range(partitions)]
        return await _in_thread(self._offsets, wanted)

    async def records(
        self, wanted: Sequence[RecordLocation]
    ) -> dict[RecordLocation, FetchedRecord]:
        """The records at these places; those that are gone are missing."""
        return await _in_thread(self._records, wanted)

    async def windows(
        self, topics: Sequence[str], partitions: Sequence[int], ends: Mapping[str, int], size: int
    ) -> list[RecordWindow]:
        """The last `size` records of each partition, those before its end in `ends` ("topic/0")."""
        return await _in_thread(self._windows, topics, partitions, ends, size)

    def _offsets(self, wanted: list[TopicPartition]) -> dict[tuple[str, int], Offsets]:
        if self._admin is None:
            self._admin = AdminClient(dict(self._settings))
        request = ConsumerGroupTopicPartitions(self._group, wanted)
        groups = self._admin.list_consumer_group_offsets(
            [request], request_timeout=REQUEST_TIMEOUT_S
        )
        bounds = self._cluster.bounds(
            [(tp.topic, tp.partition) for tp in wanted], REQUEST_TIMEOUT_S
        )
        committed = {
            (tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None
            for tp in groups[self._group].result(REQUEST_TIMEOUT_S).topic_partitions
        }
        return {place: Offsets(end, committed.get(place)) for place, (_, end) in bounds.items()}

    def _records(self, wanted: Sequence[RecordLocation]) -> dict[RecordLocation, FetchedRecord]:
        found = {}
        with self._clients() as (consumer, reader):
            for run in _runs(wanted):
                topic, partition, first = run[0]
                try:
                    low, high = bounds(
                        consumer, TopicPartition(topic, partition), REQUEST_TIMEOUT_S
                    )
                except KafkaException as error:
                    if error.args[0].code() not in UNKNOWN_PARTITION_ERRORS:
                        raise
                    continue  # whoever named the place made it up
                start, end = max(first, low), min(run[-1].offset + 1, high)
                for message in _read(reader, RecordLocation(topic, partition, start), end):
                    found[RecordLocation(topic, partition, message.offset())] = message
        return {origin: found[origin] for origin in wanted if origin in found}

    def _windows(
        self, topics: Sequence[str], partitions: Sequence[int], ends: Mapping[str, int], size: int
    ) -> list[RecordWindow]:
        found = []
        with self._clients() as (consumer, reader):
            for topic, partition in itertools.product(topics, partitions):
                tp, place = TopicPartition(topic, partition), f"{topic}/{partition}"
                first, end = bounds(consumer, tp, REQUEST_TIMEOUT_S)
                end = min(end, ends.get(place, end))
                start = max(first, end - size)
                records = list(_read(reader, RecordLocation(topic, partition, start), end))
                found.append(RecordWindow(place, start, start <= first, records))
        return found

    @contextmanager
    def _clients(self) -> Iterator[tuple[Any, OffsetReader]]:
        """For offsets and metadata, and for records."""
        consumer = Consumer(
            {
                **self._settings,
                "group.id": f"{self._group}-operators",  # needed by librdkafka, never joined
                "enable.auto.commit": False,
            }
        )
        reader = OffsetReader(self._bootstrap, self._security)
        try:
            yield consumer, reader
        finally:
            consumer.close()
            reader.close()


def bounds(consumer: Any, place: TopicPartition, within_s: float) -> tuple[int, int]:
    """Offset of a partition's first record and of the next one to come. Blocks; raises KafkaException.

    Waits while the partition has no leader: when its topic was only just made, or a broker went.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            low, high = consumer.get_watermark_offsets(place, timeout=within_s)
        except KafkaException as error:
            if error.args[0].code() not in WITHOUT_LEADER or time.monotonic() > deadline_s:
                raise
            time.sleep(LEADER_POLL_S)
        else:
            return low, high


def _runs(wanted: Iterable[RecordLocation]) -> list[list[RecordLocation]]:
    """Places that lie so close together that what is between them is read as well."""
    runs: list[list[RecordLocation]] = []
    for origin in sorted(set(wanted)):
        last = runs[-1][-1] if runs else None
        if last and last[:2] == origin[:2] and origin.offset - last.offset <= MAX_READ_GAP:
            runs[-1].append(origin)
        else:
            runs.append([origin])
    return runs


def _read(reader: OffsetReader, start: RecordLocation, end: int) -> Iterator[FetchedRecord]:
    """Records from `start` on, before `end`; not what can't be read. Raises KafkaError, TimeoutError."""
    if start.offset >= end:
        return
    place = (start.topic, start.partition)
    reader.assign({place: start.offset})
    until = time.monotonic() + REQUEST_TIMEOUT_S
    while reader.next_offset(place) < end:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        for record in reader.read(min(500, end - start.offset), left_s):
            if record.offset() < end and record.error is None:
                yield record


async def _in_thread(call: Callable[..., R], *arguments: Any) -> R:
    try:
        return await asyncio.to_thread(call, *arguments)
    except (AiokafkaError, KafkaException, TimeoutError) as error:
        raise KafkaUnavailableError(f"Kafka can't be read: {type(error).__name__}") from error


def headers_of(message: Any) -> tuple[tuple[str, bytes], ...]:
    """A record's headers, values that are missing as empty ones."""
    return tuple((name, value or b"") for name, value in message.headers() or ())


def decoded_headers(headers: Iterable[tuple[str, bytes]]) -> Mapping[str, str]:
    """Headers as text; of a repeated one the last."""
    return {name: value.decode(errors="replace") for name, value in headers}
