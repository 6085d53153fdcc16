"""Reads what Kafka has retained of a partition, for a rehearsal: read-only, in no group, at a bounded rate."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from agents import services
from agents.service import topic_uses
from app.kafka.records import FetchedRecord, OffsetReader, Place
from app.kafka.security import KafkaSecurity
from app.partitions.state import read_states
from app.platform_level import PLACE, said_by
from app.rehearsal.serving import ServingTopics
from models.generations import base_topic
from models.levels import LevelHistory
from models.times import machine_now_ms
from models.topics import DEAD_LETTERS, RESTAURANT_TAKINGS, TOPICS
from tables.cluster import ClusterReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.settings import Settings

KAFKA_TIMEOUT_S: Final = 15.0
BATCH_RECORDS: Final = 1000
POLL_S: Final = 0.5
SILENCE_S: Final = 30.0
_SERVICES: Final = {
    service.name: service for service in services() if RESTAURANT_TAKINGS not in service.inputs
}
"""What is decided by restaurant is no order's."""


class SourceError(Exception):
    """Kafka can't be read, or has not what is needed; the message says what."""


class Window(NamedTuple):
    """What is read of one partition.

    starts, ends: of each place, where reading begins and stops. since_ms: all records of later times are there;
    0: everything is there. decided: topic -> offset before which the workers have decided everything, and what
    they sent because of it is before the ends.
    """

    starts: Mapping[Place, int]
    ends: Mapping[Place, int]
    since_ms: int
    decided: Mapping[str, int]

    @property
    def records(self) -> int:
        """How many offsets there are to read."""
        return sum(end - self.starts[place] for place, end in self.ends.items())


class RehearsalSource:
    """Kafka, as it is read for one rehearsal. Methods block, and raise SourceError."""

    def __init__(
        self, settings: Settings, rate: float, is_stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """rate: records a second at most. is_stopped: is asked between two reads."""
        bootstrap, security = settings.kafka_bootstrap, KafkaSecurity.of(settings)
        with _kafka_answers():
            self._topics = ServingTopics(read_states(settings), settings)
        self._group, self._rate, self._is_stopped = self._topics.group, rate, is_stopped
        self._cluster = ClusterReader({"bootstrap.servers": bootstrap, **security.librdkafka()})
        self._reader = OffsetReader(bootstrap, security)
        uses = topic_uses(_SERVICES.values())
        self._inputs = frozenset(use.topic.name for use in uses if use.read_by)
        written = {use.topic.name for use in uses if set(use.written_by) & _SERVICES.keys()}
        decided = self._inputs | written | {DEAD_LETTERS}
        self.topics = tuple(sorted(decided - {RESTAURANT_TAKINGS}))

    def partitions(self) -> int:
        """How many there are."""
        with _kafka_answers():
            names = set(map(self._topics.name, self.topics))
            places = self._cluster.partitions(names, KAFKA_TIMEOUT_S)
        missing = sorted(names - {topic for topic, _ in places})
        if missing:
            raise SourceError(
                f"there is no topic {', '.join(missing)}: is this the platform's Kafka?"
            )
        return 1 + max(partition for _, partition in places)

    def levels(self) -> LevelHistory:
        """The platform's levels; the oldest alone where Kafka tells none."""
        history = LevelHistory()
        with _kafka_answers():
            if PLACE not in self._cluster.partitions({PLACE[0]}, KAFKA_TIMEOUT_S):
                return history
            bounds = self._cluster.bounds([PLACE], KAFKA_TIMEOUT_S)[PLACE]
        for records in self._read({PLACE: bounds[0]}, {PLACE: bounds[1]}):
            for record in records:
                with suppress(ValueError):  # none of ours
                    if said := said_by(record):
                        history = history.raised(said.level, said.from_ms)
        return history

    def window(self, partition: int, since_ms: int) -> Window:
        """What is there of a partition. since_ms: milliseconds since the epoch; 0: all that is retained."""
        places = [(topic, 0 if topic == DEAD_LETTERS else partition) for topic in self.topics]
        with _kafka_answers():
            decided = self._committed(partition)
            bounds = self._bounds(places)
            now_ms = machine_now_ms()
            horizons = [
                self._horizon_ms(place, bounds[place], now_ms)
                for place in places
                if place[0] in self._inputs and bounds[place][0] > 0
            ]
            since_ms = max([since_ms, self._topics.since_ms, *horizons])
            starts = {place: low for place, (low, _) in bounds.items()}
            if since_ms:
                starts = self._offsets_at(bounds, since_ms)
        ends = {place: end for place, (_, end) in bounds.items()}
        return Window(starts, ends, since_ms, decided)

    def read(self, window: Window) -> Iterator[list[FetchedRecord]]:
        """The records of a window, some at a time."""
        yield from self._read(window.starts, window.ends)

    def read_changelogs(
        self, partition: int, since_ms: int
    ) -> Iterator[tuple[str, list[FetchedRecord]]]:
        """Service and records of its table's changelog since a time, as far as Kafka has them."""
        for name, service in _SERVICES.items():
            place = (self._topics.changelog(name), partition)
            with _kafka_answers():
                bounds = self._bounds([place])
                starts = self._offsets_at(bounds, since_ms)
            for records in self._read(starts, {place: bounds[place][1]}):
                known = (self._topics.table_record(each, service.dictionaries) for each in records)
                yield name, list(known)

    def close(self) -> None:
        """Leave Kafka."""
        self._reader.close()

    def _name(self, place: Place) -> Place:
        return self._topics.name(place[0]), place[1]

    def _bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        found = self._cluster.bounds([self._name(place) for place in places], KAFKA_TIMEOUT_S)
        return {(base_topic(topic), p): bounds for (topic, p), bounds in found.items()}

    def _committed(self, partition: int) -> dict[str, int]:
        """Where the workers' group is; nothing where there is no such group: all is decided then."""
        places = [(self._topics.name(topic), partition) for topic in sorted(self._inputs)]
        found = self._cluster.committed(self._group, places, KAFKA_TIMEOUT_S)
        if all(offset is None for offset in found.values()):
            return {}
        return {base_topic(topic): offset or 0 for (topic, _), offset in found.items()}

    def _horizon_ms(self, place: Place, bounds: tuple[int, int], now_ms: int) -> int:
        """From when on a topic has everything whose first records Kafka has deleted."""
        low, end = bounds
        if low < end:
            self._reader.assign({self._name(place): low})
            for record in self._next():
                return max(record.timestamp_ms, 1)
        retention_ms = TOPICS[place[0]].retention_ms
        return max(1, now_ms - retention_ms) if retention_ms > 0 else now_ms

    def _next(self) -> list[FetchedRecord]:
        give_up_s = time.monotonic() + SILENCE_S
        while time.monotonic() < give_up_s:
            if records := self._reader.read(1, POLL_S):
                return records
        raise TimeoutError

    def _offsets_at(
        self, bounds: Mapping[Place, tuple[int, int]], since_ms: int
    ) -> dict[Place, int]:
        at = OffsetSpec.for_timestamp(since_ms)
        asked = self._cluster.client.list_offsets(
            {TopicPartition(*self._name(place)): at for place in bounds},
            request_timeout=KAFKA_TIMEOUT_S,
        )
        found = {
            (base_topic(tp.topic), tp.partition): each.result().offset for tp, each in asked.items()
        }
        # Kafka answers -1 where nothing is so young.
        return {p: max(at, bounds[p][0]) if at >= 0 else bounds[p][1] for p, at in found.items()}

    def _read(
        self, starts: Mapping[Place, int], ends: Mapping[Place, int]
    ) -> Iterator[list[FetchedRecord]]:
        left = {self._name(place): end for place, end in ends.items() if starts[place] < end}
        if not left:
            return
        with _kafka_answers():
            self._reader.assign(
                {self._name(p): at for p, at in starts.items() if self._name(p) in left}
            )
            began_s = heard_s = time.monotonic()
            count = 0
            while any(self._reader.next_offset(place) < end for place, end in left.items()):
                if self._is_stopped():
                    raise SourceError("stopped")
                records = self._reader.read(BATCH_RECORDS, POLL_S)
                if records:
                    heard_s = time.monotonic()
                    known = (r for r in records if r.offset < left[r.topic, r.partition])
                    yield list(map(self._topics.renamed, known))
                elif time.monotonic() - heard_s > SILENCE_S:
                    raise TimeoutError
                count += len(records)
                ahead_s = count / self._rate - (time.monotonic() - began_s)
                if ahead_s > 0:
                    time.sleep(ahead_s)


@contextmanager
def _kafka_answers() -> Iterator[None]:
    try:
        yield
    except (KafkaError, KafkaException, TimeoutError) as error:
        raise SourceError(f"Kafka can't be read ({type(error).__name__})") from None
