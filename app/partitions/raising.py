"""`partitions raise`: makes the next generation beside the one that serves, then has the platform go over.

Until the record that says SERVING is in Kafka, nothing that the platform uses has been changed for good. Each
step may be done again, so whoever runs the command anew goes on where the last run ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

import agents
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord, RecordReader
from app.kafka.security import KafkaSecurity
from app.partitions.copying import CHUNK_RECORDS, Copier, CopyError, CopyProgress
from app.partitions.plan import copies, moving_topics
from app.partitions.readiness import Found, ReadinessReports
from app.partitions.state import KEY, WORKER_PREFIX, read_states, record_of, serving, under_way
from app.partitions.topics import GenerationTopics
from app.partitions.workers_group import RaiseError, WorkersGroup
from app.platform_level import KEY as LEVEL_KEY
from app.settings import Settings
from models.errors import KafkaUnavailableError
from models.generations import Generation, PartitionsState, RaiseState, TopicHandover
from models.levels import Level, LevelHistory
from models.messages import decode_known
from models.operations import PlatformId
from models.topics import PARTITIONS, PLATFORM_IDENTITY
from models.wording import counted
from tables.changelog import PROGRESS_KEY, TableProgress
from tables.cluster import ClusterReader
from tables.faust_internals import fenced_producer
from tables.limits import BATCH_BYTES, MESSAGE_BYTES

ANSWER_TIMEOUT_MS: Final = 10_000
KAFKA_TIMEOUT_S: Final = 30.0
HEARD_S: Final = 1.5
"""In which every worker has heard that writes are paused."""
CLOSED_S: Final = 0.5
"""In which every broker has taken over that a topic is closed."""
FEW_ROWS: Final = CHUNK_RECORDS
"""What is left when writes are paused."""
READY_ROWS: Final = 20_000
"""What the new tables of a worker may lack when writes are paused; it reads them within a second."""
REPORTS_S: Final = 120.0
READINESS_POLL_S: Final = 1.0


class Told(NamedTuple):
    """What is going on. rows: copied since the last one. left: rows, where that is known."""

    phase: str
    rows: int = 0
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """What was done.

    copied: rows, in this run. left_out: records that can't be read. switched_s, paused_s: from the pause until
    the new generation was announced, and until its workers had opened all partitions; None if they had not.
    """

    old: Generation
    new: Generation
    copied: int
    left_out: int
    switched_s: float
    paused_s: float | None


@dataclass(slots=True)
class PartitionRaise:
    """One run; opened by `async with`. Methods raise RaiseError, and CopyError, KafkaError, KafkaException."""

    settings: Settings
    tell: Callable[[Told], None] = lambda _: None
    _topics: GenerationTopics = field(init=False)
    _producer: Any = None
    _readers: list[RecordReader] = field(default_factory=list)
    _cluster: ClusterReader = field(init=False)

    async def __aenter__(self) -> Self:
        """Shut out any other run: its records are refused from here on."""
        settings, security = self.settings, KafkaSecurity.of(self.settings)
        self._topics = GenerationTopics(settings)
        self._cluster = ClusterReader(
            {"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()}
        )
        producer = {
            "bootstrap_servers": settings.kafka_bootstrap, "acks": -1, "linger_ms": 0,
            "max_batch_size": BATCH_BYTES, "max_request_size": 2 * MESSAGE_BYTES, **security.aiokafka(),
        }  # fmt: skip
        name = f"{settings.app_id}-partitions"
        self._producer, _, _ = await fenced_producer(producer, name, ANSWER_TIMEOUT_MS)
        await self._producer.start()
        self._readers = [RecordReader(settings.kafka_bootstrap, security) for _ in range(2)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        for reader in self._readers:
            await reader.close()
        await self._producer.stop()

    async def run(self, partitions: int) -> Raised:
        """Raise to this count, or go on with the run that was to."""
        states = await self._states()
        old, new = self.plan(states, partitions)
        level = await self._level()
        services = agents.services()
        wanted = copies(services, self.settings.app_id, old, new)
        await asyncio.to_thread(self._topics.check, old, [copy.old for copy in wanted])
        await self._announce(RaiseState.COPYING, new)
        await asyncio.to_thread(self._topics.reopen, old)
        await asyncio.to_thread(self._topics.make, new, wanted)
        reader, check = self._readers
        copier = Copier(
            self._producer,
            reader,
            check,
            self._topics.progress(new),
            lambda places: self._cluster.bounds(places, KAFKA_TIMEOUT_S),
        )
        await self._load(copier)
        await self._copy_until(copier, wanted, old, new)
        await self._group(old, services).wait_until_close()
        began_s = time.monotonic()
        async with self._paused(old, new):
            await self._drain(old, services)
            await asyncio.to_thread(self._topics.close, old)
            await asyncio.sleep(CLOSED_S)
            await self._drain(old, services)
            while left := await copier.left(wanted):
                await self._copy(copier, wanted, "copying the rest", left)
            await asyncio.to_thread(self._topics.finish, new, wanted)
            await self._write_progress(new, services, level)
            handovers = await self._handovers(old, new)
            if await copier.left(wanted):
                raise RaiseError("something was written meanwhile. Run it again")
        # Whether Kafka has it or not if this fails: the old topics stay closed until it is run again.
        await self._announce(RaiseState.SERVING, new, handovers)
        switched_s = time.monotonic() - began_s
        await asyncio.to_thread(self._topics.delete, [self._topics.progress(new)])
        self.tell(Told("waiting for the workers"))
        is_started = await self._group(new, services).wait_until_opened()
        left_out = sum(known.left_out for known in copier.known.values())
        paused_s = time.monotonic() - began_s if is_started else None
        return Raised(old, new, copier.copied, left_out, switched_s, paused_s)

    def plan(
        self, states: Sequence[PartitionsState], partitions: int
    ) -> tuple[Generation, Generation]:
        """The generation that serves, and the one that is made of it. Raises RaiseError."""
        old, way = serving(states, self.settings.partitions), under_way(states)
        if way is not None:
            if way.partitions != partitions:
                raise RaiseError(
                    f"A raise to {way.partitions} is under way: go on with `partitions raise "
                    f"{way.partitions}`, or undo it with `partitions abandon`."
                )
            return old, Generation(way.generation, way.partitions)
        if partitions <= old.partitions:
            raise RaiseError(f"The platform has {old.count}; only more than that can be asked for.")
        return old, Generation(max([old.number, *(s.generation for s in states)]) + 1, partitions)

    async def abandon(self) -> Generation:
        """Undo what has been done of a generation that does not serve yet."""
        states = await self._states()
        old, way = serving(states, self.settings.partitions), under_way(states)
        if way is None and not (states and states[-1].state is RaiseState.ABANDONED):
            raise RaiseError("Nothing is under way that could be undone.")
        last = way or states[-1]
        new = Generation(last.generation, last.partitions)
        await self._announce(RaiseState.ABANDONED, new)
        await asyncio.to_thread(self._topics.reopen, old)
        wanted = copies(agents.services(), self.settings.app_id, old, new)
        names = [
            *(copy.new for copy in wanted),
            *map(new.topic, moving_topics()),
            self._topics.progress(new),
        ]
        await asyncio.to_thread(self._topics.delete, names)
        return new

    async def _level(self) -> int:
        """The platform's level. Raises RaiseError while builds may run that know no generations."""
        history = LevelHistory()

        def take(record: FetchedRecord) -> None:
            nonlocal history
            if record.key == LEVEL_KEY:
                said = decode_known(PlatformId, record.value or b"")
                history = history.raised(said.level, said.from_ms)

        await self._kafka().onwards(PLATFORM_IDENTITY, {}, take)
        if history.highest < Level.V0_2:
            raise RaiseError(
                "Workers of release 0.1.0 may run, which would not go over: finish the upgrade first "
                "(`faust -A app level finish`)."
            )
        return history.highest

    async def _states(self) -> list[PartitionsState]:
        return await asyncio.to_thread(read_states, self.settings)

    async def _announce(
        self,
        state: RaiseState,
        new: Generation,
        handovers: dict[str, TopicHandover] | None = None,
    ) -> None:
        value, headers = record_of(state, new, handovers)
        await self._producer.send_and_wait(PARTITIONS, value, key=KEY, partition=0, headers=headers)

    async def _load(self, copier: Copier) -> None:
        """Learn how far the run before has come."""
        kafka = self._kafka()

        def take(record: FetchedRecord) -> None:
            key = (record.key or b"").decode()
            if not key.startswith(WORKER_PREFIX):
                copier.known[key] = CopyProgress.load(record.value or b"")

        await kafka.onwards(copier.progress_topic, {}, take)

    async def _copy_until(
        self, copier: Copier, wanted: Sequence[Any], old: Generation, new: Generation
    ) -> None:
        """Copy until little is left, and the workers' new tables lack little."""
        readiness = ReadinessReports(
            self._kafka(), self._topics.progress(new), old.group(self.settings.app_id)
        )
        heard_s = time.monotonic()
        while True:
            while (left := await copier.left(wanted)) > FEW_ROWS:
                await self._copy(copier, wanted, "copying", left)
                heard_s = time.monotonic()
            try:
                found = await readiness.ask()
            except KafkaUnavailableError:  # a broker is busy, or changes: it is asked again
                found = Found(1, 0, has_news=False)
            if found.silent <= 0 and found.rows <= READY_ROWS:
                return
            self.tell(Told("waiting for the workers' new tables", 0, found.rows))
            if found.has_news:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > REPORTS_S:
                raise RaiseError(
                    f"{counted(max(found.silent, 1), 'worker', 'workers')} did not make new tables ready: see "
                    "the workers' logs, whether their disks have room. Run it again once they do."
                )
            await asyncio.sleep(READINESS_POLL_S)

    async def _copy(self, copier: Copier, wanted: Sequence[Any], phase: str, left: int) -> None:
        self.tell(Told(phase, 0, left))
        async for rows in copier.copy(wanted):
            self.tell(Told(phase, rows))

    @asynccontextmanager
    async def _paused(self, old: Generation, new: Generation) -> AsyncIterator[None]:
        """No writes are taken in here; they are taken again if it does not end with the switch."""
        self.tell(Told("pausing writes"))
        await self._announce(RaiseState.PAUSED, new)
        try:
            await asyncio.sleep(HEARD_S)
            yield
        except BaseException:
            with suppress(KafkaError, KafkaException):
                await asyncio.to_thread(self._topics.reopen, old)
                await self._announce(RaiseState.COPYING, new)
            raise

    async def _drain(self, old: Generation, services: Sequence[Any]) -> None:
        """Wait until all inputs are decided, and what follows from them is in Kafka."""
        self.tell(Told("waiting until everything is decided"))
        await self._group(old, services).wait_until_drained()

    async def _write_progress(self, new: Generation, services: Sequence[Any], level: int) -> None:
        """Say in each new table that it has decided all that its inputs hold, which are copies."""
        app_id = self.settings.app_id
        inputs = {service.name: list(map(new.topic, service.inputs)) for service in services}
        names = sorted({topic for found in inputs.values() for topic in found})
        places = [(topic, p) for topic in names for p in range(new.partitions)]
        bounds = await asyncio.to_thread(self._cluster.bounds, places, KAFKA_TIMEOUT_S)
        changelogs = [new.changelog(app_id, service.name) for service in services]
        ids = await asyncio.to_thread(self._cluster.ids, [*names, *changelogs], KAFKA_TIMEOUT_S)
        sent = []
        for name, topics in inputs.items():
            changelog = new.changelog(app_id, name)
            known = {topic: ids.topics[topic] for topic in (*topics, changelog)}
            for p in range(new.partitions):
                offsets = {topic: bounds[topic, p][1] - 1 for topic in topics}
                row = TableProgress(ids.cluster, known, offsets, level).dump()
                sent.append(
                    await self._producer.send(changelog, row, key=PROGRESS_KEY, partition=p)
                )
        await asyncio.gather(*sent)

    async def _handovers(self, old: Generation, new: Generation) -> dict[str, TopicHandover]:
        names = moving_topics()
        places = [
            (made.topic(n), p) for made in (old, new) for n in names for p in range(made.partitions)
        ]
        bounds = await asyncio.to_thread(self._cluster.bounds, places, KAFKA_TIMEOUT_S)

        def ends(made: Generation, name: str) -> tuple[int, ...]:
            return tuple(bounds[made.topic(name), p][1] for p in range(made.partitions))

        return {
            name: TopicHandover(
                old_topic=old.topic(name), new_topic=new.topic(name), ends=ends(old, name),
                begins=ends(new, name),
            )
            for name in names
        }  # fmt: skip

    def _group(self, generation: Generation, services: Sequence[Any]) -> WorkersGroup:
        inputs = sorted({topic for service in services for topic in service.inputs})
        group = generation.group(self.settings.app_id)
        return WorkersGroup(self._kafka(generation), group, inputs, generation.partitions)

    def _kafka(self, generation: Generation | None = None) -> KafkaReader:
        name = generation.topic if generation else str
        security = KafkaSecurity.of(self.settings)
        return KafkaReader(self.settings.kafka_bootstrap, security, topic_name=name)


__all__ = ["CopyError", "PartitionRaise", "RaiseError", "Raised", "Told"]
