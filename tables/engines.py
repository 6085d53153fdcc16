"""All transition engines of one worker, and the coordinator that claims, drains and commits for them.

An engine is one service's half: a fenced Faust table, an agent for each input topic, and a `Lane`
for each partition it owns. All of a worker's engines share one consumer group, so what they have in
common is done here, once: claiming their changelog partitions together, committing each input at
the slowest reader's offset, pausing, filling holes, draining on revocation.

Faults: whatever can't be resolved, and being fenced, ends the process with status 70; Kafka that is
not the one the tables were made with ends it with status 78. The supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

import faust
from aiokafka.errors import KafkaError
from faust.types import TP
from yarl import URL

from tables import fence
from tables.lane import Lane
from tables.limits import MESSAGE_BYTES, Counters, Limits
from tables.origin import PROGRESS, ClusterReader, ForeignTableError, Origin, Progress, lost_table
from tables.transport import FetchConsumer, FetchTransport, RawSchema
from tables.views import StateTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.transition import Service

LOG = logging.getLogger("tiffin.engine")

EXIT_FAULT = 70
EXIT_FOREIGN = 78
LEAVE_TIMEOUT_S = 0.5
PRODUCER_STOP_TIMEOUT_S = 5.0

STORE_OPTIONS = {
    "block_cache_size": 16 * 1024 * 1024,
    "write_buffer_size": 4 * 1024 * 1024,
    "max_write_buffer_number": 3,
    "max_open_files": 128,
}
"""Of each RocksDB, one a (service, partition): Faust's defaults would take 2 GiB and more."""


class HoleError(Exception):
    """An input that was due never came, although it was asked for again and again."""


class FencedTable(faust.Table[Any, Any]):
    """A Faust table whose changelog only its engine's lanes write."""

    engines: Engines

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After the databases are open and before recovery reads the changelog's end: claim."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        await self.engines.on_table_assigned(self, generation_id)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Before Faust seeks to where reading begins: open the lanes. Faust swallows what raises."""
        await super().on_recovery_completed(active_tps, standby_tps)
        await self.engines.on_table_recovered(self)

    async def stop(self) -> None:
        """On shutdown partitions are not revoked first: drain here, while the consumer lives."""
        await self.engines.close()
        await super().stop()


@dataclass(slots=True)
class Engine:
    """One service on this worker. `lanes`: partition -> lane, from its claim on."""

    service: Service
    table: FencedTable
    state: StateTable
    changelog: str
    counters: Counters = field(default_factory=Counters)
    lanes: dict[int, Lane] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a service has come in one input partition.

    due: next offset it takes; done: last one whose state and outputs are durable; committed: the
    group's offset as this worker last committed it; waiting, in_flight: inputs of the whole lane.
    """

    service: str
    topic: str
    partition: int
    due: int
    done: int
    committed: int | None
    waiting: int
    in_flight: int
    paused: bool


class Engines:
    """The engines of one worker. Make it before the app starts; it registers tables and agents."""

    def __init__(
        self,
        app: faust.App,
        services: Sequence[Service],
        *,
        dead_letter_topic: str,
        partitions: int,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        admin: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a table a service and an agent a (service, input topic) with `app`.

        `partitions` is the one count of all topics and tables; `admin` are librdkafka's settings
        for reading the cluster's ids (by default just the app's brokers).
        """
        self.app = app
        self.partitions = partitions
        self._limits = limits
        self._dead_letter_topic = dead_letter_topic
        brokers = ",".join(f"{url.host}:{url.port or 9092}" for url in app.conf.broker)
        self._cluster = ClusterReader(admin or {"bootstrap.servers": brokers})
        self._origin: Origin | None = None
        self._engines = {service.name: self._make_engine(service) for service in services}
        self.tables: Mapping[str, StateTable] = {
            name: engine.state for name, engine in self._engines.items()
        }
        self.counters: Mapping[str, Counters] = {
            name: engine.counters for name, engine in self._engines.items()
        }
        self._readers: dict[str, list[Engine]] = {}
        for engine in self._engines.values():
            for topic in engine.service.inputs:
                self._readers.setdefault(topic, []).append(engine)
                self._make_agent(engine, topic)
        self._assigned_tables: set[str] = set()
        self._committed: dict[TP, tuple[int, str]] = {}
        self._full: set[Lane] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        transport = FetchTransport(app.conf.broker_consumer, app)
        transport.configure(frozenset(self._readers), self._positions)
        app.transport = transport
        app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)

    def ready(self) -> bool:
        """Whether this worker answers for every partition it was given, indexes included."""
        if self.app.rebalancing or not self.app.tables.actives_ready:
            return False
        return all(lane.is_open for _, lane in self._lanes())

    def positions(self) -> list[Position]:
        """How far each service has come in each input partition that this worker owns."""
        return [
            Position(
                service=engine.service.name,
                topic=topic,
                partition=lane.partition,
                due=due,
                done=lane.done[topic],
                committed=self._committed.get(TP(topic, lane.partition), (None, ""))[0],
                waiting=lane.waiting,
                in_flight=lane.in_flight,
                paused=lane in self._full,
            )
            for engine, lane in self._lanes()
            if lane.is_open
            for topic, due in sorted(lane.due.items())
        ]

    @property
    def _consumer(self) -> FetchConsumer:
        return cast(FetchConsumer, self.app.consumer)

    # -- registration -------------------------------------------------------------------------

    def _make_engine(self, service: Service) -> Engine:
        table = FencedTable(
            self.app,
            name=service.name,
            partitions=self.partitions,
            key_type=bytes,
            value_type=bytes,
            options=dict(STORE_OPTIONS),
            extra_topic_configs={"max.message.bytes": MESSAGE_BYTES},
            help=f"State of the {service.name} service",
        )
        table.engines = self
        self.app.tables.add(table)
        changelog = table.changelog_topic.get_topic_name()

        def owner_url(partition: int) -> URL | None:
            hosts = self.app.assignor.table_metadata(changelog)
            for url, topics in hosts.items():
                if partition in topics.get(changelog, ()):
                    return URL(url)
            return None

        state = StateTable(service, self.partitions, owner_url)
        return Engine(service, table, state, changelog)

    def _make_agent(self, engine: Engine, topic: str) -> None:
        async def transitions(stream: faust.StreamT[Any]) -> None:
            async for event in cast(faust.Stream[Any], stream).noack().events():
                message = event.message
                self._feed(engine, message.topic, message.partition, message.value)

        transitions.__doc__ = f"Feeds {topic} to the {engine.service.name} engine."
        channel = self.app.topic(topic, schema=RawSchema(), partitions=self.partitions)
        self.app.agent(channel, name=f"{engine.service.name}.{topic}")(transitions)

    # -- feeding ------------------------------------------------------------------------------

    def _feed(self, engine: Engine, topic: str, partition: int, inputs: Sequence[Any]) -> None:
        lane = engine.lanes.get(partition)
        if lane is None or lane.feed(topic, inputs):
            return  # no lane: delivered before the claim or after the revocation, and comes again
        self._full.add(lane)
        self._pause()

    def _relieved(self, lane: Lane) -> None:
        if lane in self._full:
            self._full.discard(lane)
            self._pause()

    def _pause(self) -> None:
        """Fetch nothing for a full lane; its partitions' other readers wait with it."""
        self._consumer.paused = frozenset(
            TP(topic, lane.partition) for lane in self._full for topic in lane.due
        )

    def _positions(self) -> dict[TP, int]:
        """Where each input partition is to be read from: at the least offset due."""
        due: dict[TP, int] = {}
        for _, lane in self._lanes():
            for topic, offset in lane.due.items():
                tp = TP(topic, lane.partition)
                due[tp] = min(offset, due.get(tp, offset))
        return due

    def _lanes(self) -> Iterator[tuple[Engine, Lane]]:
        for engine in self._engines.values():
            for lane in list(engine.lanes.values()):
                yield engine, lane

    # -- claiming and opening -----------------------------------------------------------------

    async def on_table_assigned(self, table: FencedTable, generation: int) -> None:
        """Once Faust has assigned all tables: claim their partitions together."""
        self._assigned_tables.add(table.name)
        if len(self._assigned_tables) < len(self._engines):
            return
        self._assigned_tables.clear()
        await self.close()
        try:
            await self._claim(generation)
        except Exception as exc:  # noqa: BLE001 -- every failure to claim ends the process
            self._fail("claim", exc)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())

    async def _claim(self, generation: int) -> None:
        """Claim every assigned changelog partition; bounded, for no heartbeats are sent here."""
        started = time.monotonic()
        owned = [
            (engine, tp.partition)
            for tp in sorted(self.app.assignor.assigned_actives())
            for engine in self._engines.values()
            if engine.changelog == tp.topic
        ]
        budget_s = self.app.conf.broker_session_timeout / 2
        async with asyncio.timeout(budget_s):
            if not await self._consumer.is_member():
                # Woken late: a claim now would fence the rightful owner. The next assignment comes.
                LOG.warning("not a member any more, no claim", extra={"generation": generation})
                return
            self._origin = await self._read_origin(budget_s)
            for engine, partition in owned:
                stored = fence.database(engine.table, partition).get(PROGRESS)
                self._origin_of(engine).check(engine.service.name, Progress.load(stored))
            claims = await asyncio.gather(
                *(
                    fence.claim(engine.table, partition, generation=generation)
                    for engine, partition in owned
                )
            )
        for (engine, partition), claim in zip(owned, claims, strict=True):
            engine.lanes[partition] = self._make_lane(engine, partition, claim)
        for engine in self._engines.values():
            engine.state.claim(engine.lanes)
        LOG.info(
            "claimed",
            extra={
                "generation": generation,
                "partitions": sorted({partition for _, partition in owned}),
                "took_s": round(time.monotonic() - started, 3),
            },
        )

    async def _read_origin(self, timeout_s: float) -> Origin:
        topics = [*self._readers, *(engine.changelog for engine in self._engines.values())]
        return await asyncio.to_thread(self._cluster.read, topics, timeout_s)

    def _origin_of(self, engine: Engine) -> Origin:
        assert self._origin is not None
        names = {*engine.service.inputs, engine.changelog}
        topics = {name: id_ for name, id_ in self._origin.topics.items() if name in names}
        return Origin(self._origin.cluster, topics)

    def _make_lane(self, engine: Engine, partition: int, claim: fence.Claim) -> Lane:
        return Lane(
            engine.state,
            partition,
            claim,
            fence.database(engine.table, partition),
            changelog=engine.changelog,
            offset_key=fence.offset_key(engine.table),
            origin=self._origin_of(engine),
            dead_letter_topic=self._dead_letter_topic,
            limits=self._limits,
            counters=engine.counters,
            fail=self._fail,
            relieved=self._relieved,
        )

    async def on_table_recovered(self, table: FencedTable) -> None:
        """The table is at its changelog's end: build the indexes, then take inputs."""
        engine = self._engines[table.name]
        try:
            for lane in list(engine.lanes.values()):
                await self._open(engine, lane)
        except Exception as exc:  # noqa: BLE001 -- Faust would swallow it and go on
            self._fail("recovery", exc)

    async def _open(self, engine: Engine, lane: Lane) -> None:
        database = lane.database
        if lane.is_open or database is None:
            return
        stored = Progress.load(database.get(PROGRESS))
        del database
        self._origin_of(engine).check(engine.service.name, stored)
        due = await self._first_due(engine, lane.partition, stored)
        if not await engine.state.build(lane.partition, lambda: lane.database):
            return  # revoked meanwhile
        if lane.database is not None:
            lane.open(due, stored.offsets if stored else None)
            engine.state.open(lane.partition, lane.database)

    async def _first_due(
        self, engine: Engine, partition: int, stored: Progress | None
    ) -> dict[str, int]:
        """Where the lane begins in each input topic: after what its table has, else at the start."""
        name = engine.service.name
        consumer = self._consumer
        inputs = [TP(topic, partition) for topic in engine.service.inputs]
        earliest = await consumer.earliest_offsets(*inputs)
        ends = await consumer.highwaters(*inputs)
        committed = await consumer.fetch_committed(inputs)
        due = {}
        for tp in inputs:
            done = stored.offsets.get(tp.topic) if stored else None
            if done is None:
                _, services = committed.get(tp, (0, ""))
                if name in services.split(","):
                    raise lost_table(name, tp.topic, partition)
                due[tp.topic] = earliest[tp]
                continue
            if done + 1 > ends[tp]:
                raise ForeignTableError(
                    f"the table {name!r} has processed {tp.topic}/{partition} up to offset {done}, "
                    f"which now ends at {ends[tp] - 1}: the topic lost records. Restore it, or "
                    "remove the tables' data folders and changelog topics."
                )
            if done + 1 < earliest[tp]:
                self._log_expired(name, tp, done + 1, earliest[tp])
            due[tp.topic] = max(done + 1, earliest[tp])
        return due

    def _log_expired(self, service: str, tp: TP, due: int, earliest: int) -> None:
        LOG.error(
            "inputs expired before they were processed",
            extra={
                "service": service,
                "topic": tp.topic,
                "partition": tp.partition,
                "first_offset": due,
                "count": earliest - due,
            },
        )

    # -- once a second ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Commit, have tables record how far they are, and ask again for what never came."""
        try:
            while True:
                await asyncio.sleep(self.app.conf.broker_commit_interval)
                for _, lane in self._lanes():
                    lane.mark()
                await self._commit()
                await self._repair()
        except Exception as exc:  # noqa: BLE001 -- without it nothing would be committed any more
            self._fail("watch", exc)

    async def _commit(self) -> None:
        """Commit each input at its slowest reader's recorded offset."""
        positions = {}
        for topic, readers in self._readers.items():
            services = ",".join(sorted(engine.service.name for engine in readers))
            for partition in range(self.partitions):
                lanes = [engine.lanes.get(partition) for engine in readers]
                recorded = [
                    lane.recorded.get(topic) if lane and lane.is_open and lane.recorded else None
                    for lane in lanes
                ]
                known = [offset for offset in recorded if offset is not None]
                position = (min(known) + 1, services) if len(known) == len(readers) else None
                tp = TP(topic, partition)
                if position is not None and self._committed.get(tp) != position:
                    positions[tp] = position
        if positions and await self._consumer.commit_positions(positions):
            self._committed.update(positions)

    async def _repair(self) -> None:
        """Seek to offsets that Faust stepped over around a rebalance."""
        now = time.monotonic()
        for engine, lane in self._lanes():
            for topic, hole in list(lane.holes.items()):
                age_s = now - hole.since_s
                if not lane.is_open or age_s < self._limits.hole_repair_s:
                    continue
                tp = TP(topic, lane.partition)
                if age_s > self._limits.hole_exit_s:
                    raise HoleError(
                        f"offset {hole.due} of {tp} never came to {engine.service.name}"
                    )
                LOG.warning(
                    "hole", extra={"topic": topic, "partition": tp.partition, **hole._asdict()}
                )
                engine.counters.holes += 1
                earliest = (await self._consumer.earliest_offsets(tp))[tp]
                if earliest > hole.due and lane.due[topic] == hole.due:
                    self._log_expired(engine.service.name, tp, hole.due, earliest)
                    lane.due[topic] = earliest
                await self._consumer.seek_to({tp: self._positions().get(tp, earliest)})

    # -- closing ------------------------------------------------------------------------------

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:
        """Faust has stopped the flow by now, and heartbeats still run."""
        await self.close()

    async def close(self) -> None:
        """Drain all lanes within half a session, commit, close. What is cut off comes again."""
        lanes = list(self._lanes())
        if not lanes:
            return
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.app.conf.broker_session_timeout / 2):
                await asyncio.gather(*(lane.drain() for _, lane in lanes if lane.is_open))
                await self._commit()
        except (TimeoutError, KafkaError) as exc:
            LOG.warning("drain was cut off", extra={"error": type(exc).__name__})
        left = sum(lane.in_flight for _, lane in lanes)
        for engine, lane in lanes:
            engine.lanes.pop(lane.partition, None)
            engine.state.close(lane.partition)
            lane.close()
            stopping = asyncio.create_task(_stop_producer(lane.claim))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
        self._full.clear()
        self._pause()
        self._committed.clear()
        LOG.info("closed", extra={"left": left, "took_s": round(time.monotonic() - started, 3)})

    def _fail(self, where: str, exc: BaseException) -> NoReturn:
        """End the process at once: leave the group, log without values, exit."""
        foreign = isinstance(exc, ForeignTableError)
        tells = foreign or isinstance(exc, KafkaError | HoleError | TimeoutError | OSError)
        frames = traceback.extract_tb(exc.__traceback__)
        trace = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        name = type(exc).__qualname__
        text = f"{name}: {exc}" if tells else f"{name} at {trace[-1] if trace else 'unknown'}"
        LOG.critical("%s: %s", where, text, extra={"trace": trace})
        try:
            self._consumer.leave_group(LEAVE_TIMEOUT_S)
            logging.shutdown()
        finally:
            os._exit(EXIT_FOREIGN if foreign else EXIT_FAULT)


async def _stop_producer(claim: fence.Claim) -> None:
    try:
        async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
            await claim.producer.stop()
    except Exception as exc:  # noqa: BLE001 -- fenced or cut off: nothing of it is waited for
        LOG.debug("producer did not stop in order: %s", type(exc).__name__)
