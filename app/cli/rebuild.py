"""The rebuild proof: reads the topics kept for ever, folds them anew, asks the workers for their digests."""

import asyncio
import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import aiohttp
import orjson
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.progress import Progress

from app.kafka.records import FetchedRecord, OffsetReader, Place
from app.kafka.security import KafkaSecurity
from app.partitions.state import read_generation
from app.settings import Settings
from models.events import read_event_of
from models.generations import base_topic
from models.rebuild import EVENT_FOLDS, Digest, Fault, Rebuild, StateDifference, as_json
from models.transition import UnreadableError
from tables.cluster import ClusterReader

KAFKA_TIMEOUT_S: Final = 15.0
BATCH_RECORDS: Final = 1000
POLL_S: Final = 0.5
WORKER_AWAY_S: Final = 60.0
"""How long a partition may be between two owners."""
LATE_EVENTS_S: Final = 30.0
"""How long events of a stored state may be on their way to their topic: a crash and a restart."""
MAX_DETAILED: Final = 100
FOLDED_TOPICS: Final = frozenset(part.topic for part in EVENT_FOLDS.values())

States = dict[tuple[str, str], Digest]


class AuditError(Exception):
    """The proof can't be carried out; the message says why."""


class PartitionMovedError(Exception):
    """The digests broke off: the partition went to another worker."""


@dataclass(slots=True)
class RebuildResult:
    """What came out. details: service and order -> lines that say what differs.

    partitions: of the orders that differ.
    """

    events: int = 0
    states: int = 0
    differences: list[StateDifference] = field(default_factory=list)
    details: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


class EventReader:
    """Reads one partition at a time of some topics, from their beginning. Methods block."""

    def __init__(self, settings: Settings, topics: Collection[str] = FOLDED_TOPICS) -> None:
        bootstrap, security = settings.kafka_bootstrap, KafkaSecurity.of(settings)
        self._settings, self._names = settings, sorted(topics)
        self._cluster = ClusterReader({"bootstrap.servers": bootstrap, **security.librdkafka()})
        self._reader = OffsetReader(bootstrap, security)
        self._partition = 0

    @cached_property
    def topics(self) -> list[str]:
        """The topics' names in Kafka, of the generation that serves. Raises AuditError."""
        with _kafka_answers():
            return list(map(read_generation(self._settings).topic, self._names))

    def partitions(self) -> int:
        """How many there are. Raises AuditError."""
        with _kafka_answers():
            places = self._cluster.partitions(set(self.topics), KAFKA_TIMEOUT_S)
        missing = sorted(set(self.topics) - {topic for topic, _ in places})
        if missing:
            raise AuditError(f"there is no topic {', '.join(missing)}")
        return 1 + max(partition for _, partition in places)

    def open(self, partition: int) -> None:
        """Go to the beginning of a partition. Raises AuditError when its first records are gone."""
        self._partition = partition
        starts = {place: start for place, (start, _) in self._bounds().items()}
        for (topic, _), start in starts.items():
            if start > 0:
                raise AuditError(
                    f"{topic}/{partition} begins at offset {start}: earlier events were deleted, and "
                    "states can't be folded without them"
                )
        with _kafka_answers():
            self._reader.assign(starts)

    def ends(self) -> dict[Place, int]:
        """Where each topic ends now: the offset of its next record. Raises AuditError."""
        return {place: end for place, (_, end) in self._bounds().items()}

    def left(self, ends: Mapping[Place, int]) -> int:
        """Offsets before these ends that have not been read."""
        return sum(max(0, end - self._reader.next_offset(place)) for place, end in ends.items())

    def read(self) -> list[FetchedRecord]:
        """The next records, by topics' own names; none when none come in time. Raises AuditError."""
        try:
            found = self._reader.read(BATCH_RECORDS, POLL_S)
        except KafkaError as error:
            raise AuditError(f"Kafka: {error}") from None
        return [record._replace(topic=base_topic(record.topic)) for record in found]

    def close(self) -> None:
        """Leave Kafka."""
        self._reader.close()

    def _bounds(self) -> dict[Place, tuple[int, int]]:
        with _kafka_answers():
            places = [(topic, self._partition) for topic in self.topics]
            return self._cluster.bounds(places, KAFKA_TIMEOUT_S)


@contextmanager
def _kafka_answers() -> Iterator[None]:
    try:
        yield
    except (KafkaError, KafkaException, TimeoutError):
        raise AuditError("Kafka does not answer") from None


class RebuildCheck:
    """One run over all partitions."""

    def __init__(
        self, settings: Settings, base: str, progress: Progress, only: Collection[int] = ()
    ) -> None:
        """base: a worker's address. only: these partitions, all by default."""
        self._only = frozenset(only)
        self._reader = EventReader(settings)
        self._base, self._progress = base, progress
        self._found = RebuildResult()
        self._session: aiohttp.ClientSession

    async def run(self, token: str) -> RebuildResult:
        """Fold and compare everything. Raises AuditError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=KAFKA_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with aiohttp.ClientSession(timeout=timeout, headers=headers) as self._session:
                await self._check_worker()
                count = await asyncio.to_thread(self._reader.partitions)
                if unknown := sorted(self._only - {*range(count)}):
                    raise AuditError(f"there is no partition {unknown[0]}: 0 to {count - 1} are")
                for partition in range(count):
                    if not self._only or partition in self._only:
                        await self._prove(partition)
        finally:
            await asyncio.to_thread(self._reader.close)
        return self._found

    async def _check_worker(self) -> None:
        try:
            async with self._session.get(f"{self._base}/livez") as response:
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AuditError(
                f"no worker answers at {self._base} ({type(error).__name__}); name one with --url"
            ) from None

    async def _prove(self, partition: int) -> None:
        """Fold what is there, learn the live digests, fold on until these are reached, compare."""
        rebuilt = Rebuild()
        await asyncio.to_thread(self._reader.open, partition)
        ends = await asyncio.to_thread(self._reader.ends)
        task = self._progress.add_task(f"Partition {partition}", total=self._reader.left(ends))
        while self._reader.left(ends):
            await self._fold(rebuilt, task)
        live, services = await self._live(partition)
        rebuilt.compare_with(live, services)
        ends = await asyncio.to_thread(self._reader.ends)
        give_up_s = time.monotonic() + LATE_EVENTS_S
        while rebuilt.unsettled and (self._reader.left(ends) or time.monotonic() < give_up_s):
            await self._fold(rebuilt, task)
        self._progress.update(task, total=self._progress.tasks[task].completed)
        await self._compare(rebuilt, partition)

    async def _fold(self, rebuilt: Rebuild, task: Any) -> None:
        records = await asyncio.to_thread(self._reader.read)
        for record in records:
            if record.value is None and record.error is None:
                continue  # the release of a quarantined order: no event
            try:
                if record.error is not None:
                    raise UnreadableError(record.error)
                event = read_event_of(record.topic, record.key or b"", record.value or b"")
            except UnreadableError as error:
                where = f"{record.topic}/{record.partition} at offset {record.offset}"
                self._found.unreadable.append(f"{where}: {error}")
                continue
            rebuilt.add(record.topic, event, record.value or b"")
        self._progress.advance(task, len(records))

    async def _compare(self, rebuilt: Rebuild, partition: int) -> None:
        found = self._found
        found.events += rebuilt.events
        found.states += len({*rebuilt.folds, *(rebuilt.live or {})})
        for difference in rebuilt.differences():
            found.differences.append(difference)
            found.partitions[difference.order_id] = partition
            key = (difference.service, difference.order_id)
            if difference.fault is Fault.CONTENT and len(found.details) < MAX_DETAILED:
                found.details[key] = await self._detail(difference, rebuilt)

    async def _live(self, partition: int) -> tuple[States, list[str]]:
        """A partition's digests and the services that have some; asked again while it moves."""
        give_up_s = time.monotonic() + WORKER_AWAY_S
        while True:
            try:
                return await self._read_digests(partition)
            except (aiohttp.ClientError, TimeoutError, OSError, PartitionMovedError) as error:
                if time.monotonic() > give_up_s:
                    told = f"no worker gives partition {partition} ({type(error).__name__})"
                    raise AuditError(told) from None
            await asyncio.sleep(1)

    async def _read_digests(self, partition: int) -> tuple[States, list[str]]:
        url = f"{self._base}/api/ops/digests?partition={partition}"
        live: States = {}
        services: list[str] = []
        async with self._session.get(url) as response:
            if response.status in {400, 401, 403, 404}:
                answer = await response.json(content_type=None)
                raise AuditError(f"{answer.get('title')}: {answer.get('detail', '')}")
            response.raise_for_status()
            async for raw in response.content:
                line = orjson.loads(raw)
                if isinstance(line, list):
                    service, order_id, sequence, sha256 = line
                    live[service, order_id] = Digest(sequence, sha256)
                elif "services" in line:
                    services = line["services"]
                elif line.get("end"):
                    return live, services
        raise PartitionMovedError

    async def _detail(self, difference: StateDifference, rebuilt: Rebuild) -> list[str]:
        """The fields that differ, if the live state is still the one compared."""
        try:
            url = f"{self._base}/api/ops/digests/{difference.order_id}"
            async with self._session.get(url) as response:
                response.raise_for_status()
                states = (await response.json())["states"]
        except (aiohttp.ClientError, TimeoutError, KeyError):
            return []
        fold = rebuilt.folds[difference.service, difference.order_id]
        theirs = next((s for s in states if s["service"] == difference.service), None)
        if theirs is None or theirs["sequence"] != fold.sequence:
            return ["it has moved on since"]
        ours, live = dict(_flat(as_json(fold.state))), dict(_flat(theirs["state"]))
        return [
            f"{name}: live {json.dumps(live.get(name))}, rebuilt {json.dumps(ours.get(name))}"
            for name in sorted({*ours, *live})
            if ours.get(name) != live.get(name)
        ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{name}.{key}" if name else key)
