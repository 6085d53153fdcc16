"""Reads Kafka outside of the workers' group: single records, the last ones, what came since, and offsets."""

import asyncio
import functools
import itertools
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from app.kafka.records import FetchedRecord, OffsetReader, Place, RecordReader
from app.kafka.security import NO_SECURITY, KafkaSecurity
from models.dead_letter import RecordLocation
from models.errors import KafkaUnavailableError
from models.generations import base_topic
from models.operations import Offsets
from models.topics import ORDER_COMMANDS
from tables.cluster import ClusterReader

REQUEST_TIMEOUT_S: Final = 5.0
"""While an operator waits."""
METADATA_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 15.0
"""A read of a whole topic fails after a silence of so long."""
MAX_POLL_RECORDS: Final = 1000
MAX_READ_GAP: Final = 50
"""Records that are read along rather than going to the next place anew."""
P = ParamSpec("P")
R = TypeVar("R")
Take = Callable[[FetchedRecord], None]
"""Is given each record, in a thread; a record for which it raises ValueError is skipped."""


class RecordWindow(NamedTuple):
    """Records of a partition. start: offset of the first; is_first: there is nothing before them."""

    place: str
    start: int
    is_first: bool
    records: Sequence[FetchedRecord]


class GroupMember(NamedTuple):
    """A member of a consumer group. partitions: of the topic that was asked about, in order."""

    client_id: str
    host: str
    partitions: tuple[int, ...]


class TopicRead(NamedTuple):
    """How far a topic was read.

    offsets: of each partition, where to go on. skipped: records that could not be read or used.
    """

    offsets: Mapping[int, int]
    skipped: int


def _in_thread(call: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """A method that blocks, made one that is awaited and raises KafkaUnavailableError."""

    @functools.wraps(call)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except (AiokafkaError, KafkaException, TimeoutError) as error:
            cause = error.args[0] if error.args else None
            name = cause.name() if isinstance(cause, KafkaError) else type(error).__name__
            raise KafkaUnavailableError(f"Kafka can't be read: {name}") from error

    return awaited


class KafkaReader:
    """Methods block in threads, not on the event loop. They raise KafkaUnavailableError within a bound."""

    def __init__(
        self,
        bootstrap: str,
        security: KafkaSecurity = NO_SECURITY,
        *,
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """topic_name: of a topic in Kafka (models/generations.py). Connects at the first call.

        A topic is asked for, and told, by its own name; a single record and a partition's end by Kafka's.
        """
        self._bootstrap, self._security = bootstrap, security
        self._topic_name = topic_name
        self._cluster = ClusterReader({"bootstrap.servers": bootstrap, **security.librdkafka()})

    @_in_thread
    def offsets(self, group: str, topics: Sequence[str], partitions: int) -> dict[Place, Offsets]:
        """End, and the group's committed offset, of every partition of the topics."""
        places = list(itertools.product(map(self._topic_name, topics), range(partitions)))
        committed = self._cluster.committed(group, places, REQUEST_TIMEOUT_S)
        bounds = self._cluster.bounds(places, REQUEST_TIMEOUT_S)
        return {
            (base_topic(topic), p): Offsets(end, committed[topic, p])
            for (topic, p), (_, end) in bounds.items()
        }

    @_in_thread
    def group_members(self, group: str, topic: str = ORDER_COMMANDS) -> list[GroupMember]:
        """The live members of a consumer group; one that has not answered for a session is none."""
        asked = self._cluster.client.describe_consumer_groups(
            [group], request_timeout=REQUEST_TIMEOUT_S
        )
        members = asked[group].result(REQUEST_TIMEOUT_S).members
        return sorted(
            GroupMember(
                member.client_id,
                member.host.lstrip("/"),
                tuple(
                    sorted(
                        tp.partition
                        for tp in member.assignment.topic_partitions
                        if tp.topic == topic
                    )
                ),
            )
            for member in members
        )

    @_in_thread
    def missing(self, topics: Iterable[str]) -> list[str]:
        """Those of the topics that don't exist, or that this user may not see; in order."""
        wanted = set(map(self._topic_name, topics))
        there = self._cluster.partitions(wanted, METADATA_TIMEOUT_S)
        return sorted(wanted - {topic for topic, _ in there})

    @_in_thread
    def end(self, place: Place) -> int:
        """The next offset to come in a partition."""
        return self._cluster.bounds([place], REQUEST_TIMEOUT_S)[place][1]

    def located(self, place: RecordLocation) -> RecordLocation:
        """A place by Kafka's name of its topic, as `records` takes it."""
        return place._replace(topic=self._topic_name(place.topic))

    def record_reader(self) -> RecordReader:
        """One that reads on and on, on the event loop."""
        return RecordReader(self._bootstrap, self._security)

    @_in_thread
    def records(self, wanted: Sequence[RecordLocation]) -> dict[RecordLocation, FetchedRecord]:
        """The records at these places; those that are gone are missing."""
        # A place may be in a topic that was deleted, or that whoever named it made up.
        exist = self._cluster.partitions({location.topic for location in wanted}, REQUEST_TIMEOUT_S)
        runs = _runs(location for location in wanted if location[:2] in exist)
        bounds = self._cluster.bounds(sorted({run[0][:2] for run in runs}), REQUEST_TIMEOUT_S)
        found = {}
        with closing(OffsetReader(self._bootstrap, self._security)) as reader:
            for run in runs:
                place = run[0][:2]
                low, high = bounds[place]
                starts = {place: max(run[0].offset, low)}
                ends = {place: min(run[-1].offset + 1, high)}
                for record in _read(reader, starts, ends, within_s=REQUEST_TIMEOUT_S):
                    if record.error is None:
                        found[RecordLocation(*place, record.offset)] = record
        return {location: found[location] for location in wanted if location in found}

    @_in_thread
    def windows(
        self, topics: Sequence[str], partitions: Sequence[int], ends: Mapping[str, int], size: int
    ) -> list[RecordWindow]:
        """The last `size` records of each partition, those before its end in `ends` ("topic/0")."""
        places = list(itertools.product(map(self._topic_name, topics), partitions))
        bounds = self._cluster.bounds(places, REQUEST_TIMEOUT_S)
        until = {place: min(end, ends.get(_name(place), end)) for place, (_, end) in bounds.items()}
        starts = {place: max(bounds[place][0], until[place] - size) for place in places}
        records: dict[Place, list[FetchedRecord]] = {place: [] for place in places}
        with closing(OffsetReader(self._bootstrap, self._security)) as reader:
            for record in _read(reader, starts, until, within_s=REQUEST_TIMEOUT_S):
                if record.error is None:
                    records[record.topic, record.partition].append(_renamed(record))
        return [
            RecordWindow(_name(place), start, start <= bounds[place][0], records[place])
            for place, start in starts.items()
        ]

    @_in_thread
    def since(self, topic: str, since_ms: int, take: Take) -> TopicRead:
        """Read what Kafka was given since a time, in milliseconds since the epoch, up to the present end."""

        def starts(bounds: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
            at = OffsetSpec.for_timestamp(max(0, since_ms))
            asked = self._cluster.client.list_offsets(
                {TopicPartition(*place): at for place in bounds}, request_timeout=METADATA_TIMEOUT_S
            )
            found = {(tp.topic, tp.partition): each.result().offset for tp, each in asked.items()}
            # Kafka answers -1 where nothing is so young.
            return {place: at if at >= 0 else bounds[place][1] for place, at in found.items()}

        return self._read_topic(topic, starts, take)

    @_in_thread
    def onwards(self, topic: str, begin: Mapping[int, int], take: Take) -> TopicRead:
        """Read on from the offsets of an earlier call, up to the present end."""
        return self._read_topic(topic, lambda bounds: {p: begin.get(p[1], 0) for p in bounds}, take)

    @_in_thread
    def newest(self, topic: str, most: int) -> list[bytes]:
        """Values of the last records, the newest first, of a topic with one partition."""
        found: list[bytes] = []
        self._read_topic(
            topic,
            lambda bounds: {place: end - most for place, (_, end) in bounds.items()},
            lambda record: found.append(record.value or b""),
        )
        return found[::-1]

    def _read_topic(
        self,
        topic: str,
        starts: Callable[[Mapping[Place, tuple[int, int]]], Mapping[Place, int]],
        take: Take,
    ) -> TopicRead:
        places = self._cluster.partitions({self._topic_name(topic)}, METADATA_TIMEOUT_S)
        if not places:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        bounds = self._cluster.bounds(sorted(places), METADATA_TIMEOUT_S)
        begin = {place: max(bounds[place][0], start) for place, start in starts(bounds).items()}
        ends = {place: end for place, (_, end) in bounds.items()}
        skipped = 0
        with closing(OffsetReader(self._bootstrap, self._security)) as reader:
            for record in _read(reader, begin, ends):
                try:
                    if record.error is not None:
                        raise ValueError(record.error)
                    take(_renamed(record))
                except ValueError:
                    skipped += 1
        return TopicRead({place[1]: max(begin[place], ends[place]) for place in places}, skipped)


def _name(place: Place) -> str:
    return f"{base_topic(place[0])}/{place[1]}"


def _renamed(record: FetchedRecord) -> FetchedRecord:
    return record._replace(topic=base_topic(record.topic))


def _runs(wanted: Iterable[RecordLocation]) -> list[list[RecordLocation]]:
    """Places that lie so close together that what is between them is read as well."""
    runs: list[list[RecordLocation]] = []
    for location in sorted(set(wanted)):
        last = runs[-1][-1] if runs else None
        if last and last[:2] == location[:2] and location.offset - last.offset <= MAX_READ_GAP:
            runs[-1].append(location)
        else:
            runs.append([location])
    return runs


def _read(
    reader: OffsetReader,
    starts: Mapping[Place, int],
    ends: Mapping[Place, int],
    *,
    within_s: float = math.inf,
) -> Iterator[FetchedRecord]:
    """What there is from the starts to the ends, each partition in order, with what can't be read.

    Raises KafkaError, and TimeoutError after a silence, or `within_s` after the beginning.
    """
    left = {place: end for place, end in ends.items() if starts[place] < end}
    if not left:
        return
    reader.assign({place: starts[place] for place in left})
    began_s = heard_s = time.monotonic()
    while any(reader.next_offset(place) < end for place, end in left.items()):
        records = reader.read(MAX_POLL_RECORDS, 1.0)
        yield from (each for each in records if each.offset < left[each.topic, each.partition])
        now_s = time.monotonic()
        if records:
            heard_s = now_s
        if now_s - heard_s > IDLE_TIMEOUT_S or now_s - began_s > within_s:
            raise TimeoutError
