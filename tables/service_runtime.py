"""All services of one worker, as the app sees them.

The `TaskManager` runs a `PartitionTask` for each service and partition that the worker owns.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import faust
from faust.types import TP

from models.generations import base_topic
from tables.app import STORE_OPTIONS, changelog_config
from tables.cluster import ClusterReader
from tables.fenced_table import FencedTable
from tables.hosted_service import HostedService, HostedServices
from tables.limits import Limits
from tables.table_index import TableIndex
from tables.task_manager import TaskManager
from tables.transport import FetchTransport, RawSchema
from tables.views import StateTable

if TYPE_CHECKING:
    from yarl import URL

    from models.levels import LevelHistory
    from models.transition import TransitionService
    from tables.commit_batch import CommitReport
    from tables.limits import Counters
    from tables.recovery_progress import RecoveryProgress
    from tables.stops import PartitionStops
    from tables.worker_exit import WrongKafkaError


POLL_INTERVAL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class InputPosition:
    """How far a service has come in one input partition.

    next_offset: the next it takes; durable_offset: the last one whose state and outputs are durable;
    committed: the group's offset as this worker last committed it; waiting, in_flight: inputs of the
    whole task.
    """

    service: str
    topic: str
    partition: int
    next_offset: int
    durable_offset: int
    committed: int | None
    waiting: int
    in_flight: int
    paused: bool


class ServiceRuntime:
    """The services of one worker. Make it before the app starts.

    tables, counters: by service. stops: where reading can't go on, and how to skip it.
    """

    def __init__(
        self,
        app: faust.App,
        services: Sequence[TransitionService],
        *,
        dead_letter_topic: str,
        partitions: int,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        gather_s: Mapping[str, float] = MappingProxyType({}),
        admin: Mapping[str, Any] | None = None,
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """Register a table a service and an agent a (service, input topic) with `app`.

        gather_s: service -> its `Limits.gather_s`, where it is not that of `limits`.
        partitions: of each topic and table; admin: librdkafka's settings (by default the app's brokers).
        topic_name: of a service's topic in Kafka (models/generations.py).
        """
        self.app = app
        self.partitions, self._topic_name = partitions, topic_name
        self._services = HostedServices(
            app,
            [
                self._host(each, replace(limits, gather_s=gather_s.get(each.name, limits.gather_s)))
                for each in services
            ],
        )
        self.tables: Mapping[str, StateTable] = {each.name: each.state for each in self._services}
        self.counters: Mapping[str, Counters] = {
            each.name: each.counters for each in self._services
        }
        brokers = ",".join(f"{url.host}:{url.port or 9092}" for url in app.conf.broker)
        self._task_manager = TaskManager(
            app,
            self._services,
            reader=ClusterReader(admin or {"bootstrap.servers": brokers}),
            dead_letter_topic=dead_letter_topic,
            limits=limits,
            topic_name=topic_name,
        )
        self.stops: PartitionStops = self._task_manager.stops
        for hosted in self._services:
            hosted.table.hooks = self._task_manager
            for topic in hosted.inputs:
                self._make_agent(hosted, topic)
        transport = FetchTransport(app.conf.broker_consumer, app)
        transport.configure(
            frozenset(self._services.readers_by_topic),
            {hosted.changelog: hosted.table for hosted in self._services},
            self._services.next_offsets,
            self.stops.on_unreadable,
        )
        app.transport = transport
        app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)

    def ready(self) -> bool:
        """Whether this worker answers for every partition it was given, indexes included."""
        if self.app.rebalancing or not self.app.tables.actives_ready:
            return False
        return self._task_manager.is_assignment_complete and not self._task_manager.unopened_tasks()

    def remove_due_by(self, clock_ms: Callable[[], int | None]) -> None:
        """Have ended records swept (tables/retention.py) by a clock; without one, nothing of them goes.

        clock_ms: milliseconds since the epoch; None while it is not known.
        """
        self._task_manager.retention_clock_ms = clock_ms

    def use_levels(self, levels: Callable[[], LevelHistory]) -> None:
        """Have inputs decided at the platform's level; without it, at the oldest. Before the app starts."""
        self._task_manager.levels = levels
        for table in self.tables.values():
            table.levels = levels

    def end_worker(self, why: WrongKafkaError) -> NoReturn:
        """End the process at once, with status 78: this build must not go on with what is in Kafka."""
        self._task_manager.end_worker("level", why)

    def on_commit_batch(self, tell: Callable[[CommitReport], None]) -> None:
        """Have `tell` called after each commit batch that is durable. Before the app starts."""
        self._task_manager.on_commit_batch = tell

    def recovery(self) -> RecoveryProgress:
        """What is left to read of the changelogs of this worker's tables, as of a second ago."""
        return self._task_manager.recovery.progress

    def positions(self) -> list[InputPosition]:
        """How far each service has come in each input partition that this worker owns."""
        committed = self._task_manager.committer.committed
        return [
            InputPosition(
                service=hosted.name,
                topic=base_topic(topic),
                partition=task.partition,
                next_offset=next_offset,
                durable_offset=task.durable_offsets[topic],
                committed=committed.get(TP(topic, task.partition), (None, ""))[0],
                waiting=task.inbox.waiting,
                in_flight=task.in_flight,
                paused=task in self._task_manager.feeder.backpressured,
            )
            for hosted, task in self._services.tasks()
            if task.is_open
            for topic, next_offset in sorted(task.inbox.next_offsets.items())
        ]

    def known_end(self, topic: str, partition: int) -> int | None:
        """The next offset to come in a partition, as of the last fetch; Kafka is not asked."""
        place = TP(self._topic_name(topic), partition)
        return cast("int | None", self.app.consumer.highwater(place))

    async def read_ends(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """Ask Kafka for the next offset to come in each partition. Raises what its client raises."""
        asked = {
            TP(self._topic_name(topic), partition): TP(topic, partition)
            for topic, partition in partitions
        }
        ends = await self.app.consumer.highwaters(*asked)
        return {asked[place]: end for place, end in ends.items()}

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:
        """Faust has stopped the flow by now, and heartbeats still run."""
        await self._task_manager.close()

    def _host(self, service: TransitionService, limits: Limits) -> HostedService:
        table = FencedTable(
            self.app,
            name=service.name,
            partitions=self.partitions,
            key_type=bytes,
            value_type=bytes,
            options=dict(STORE_OPTIONS),
            extra_topic_configs=changelog_config(self.app.conf.topic_replication_factor),
            help=f"State of the {service.name} service",
        )
        self.app.tables.add(table)
        if service.is_indexed:
            table.index = TableIndex(service)
        changelog = table.changelog_topic.get_topic_name()

        def owner_url(partition: int) -> URL | None:
            return self._services.assignor.owner_url(changelog, partition)

        state = StateTable(service, self.partitions, owner_url)
        inputs = tuple(map(self._topic_name, service.inputs))
        return HostedService(service, table, state, changelog, inputs, limits)

    def _make_agent(self, hosted: HostedService, topic: str) -> None:
        feeder = self._task_manager.feeder

        async def transitions(stream: faust.StreamT[Any]) -> None:
            async for event in cast(faust.Stream[Any], stream).noack().events():
                message = event.message
                feeder.feed(hosted, message.topic, message.partition, message.value)

        transitions.__doc__ = f"Feeds {topic} to the {hosted.name} engine."
        channel = self.app.topic(topic, schema=RawSchema(), partitions=self.partitions)
        self.app.agent(channel, name=f"{hosted.name}.{base_topic(topic)}")(transitions)


async def caught_up(runtime: ServiceRuntime, services: Iterable[str], partition: int) -> None:
    """Return once each service has made durable what its inputs held when this was called.

    A state that was just recovered may be behind Kafka: who acts on what a record does not say (no
    answer came, nothing is assigned) waits for this first. Waits for the partition to be opened here,
    however long; the caller sets the bound. Raises what Kafka's client raises when the end offsets
    can't be had.
    """
    wanted = frozenset(services)

    def positions() -> list[InputPosition] | None:
        """Of these services; None while one is not open here."""
        at_partition = [at for at in runtime.positions() if at.partition == partition]
        found = [at for at in at_partition if at.service in wanted]
        return found if {at.service for at in found} == wanted else None

    def is_done(ends: Mapping[TP, int]) -> bool:
        # What is behind a batch that can't be read must not hold up whoever waits for the rest.
        stopped = {
            base_topic(stop.topic): stop.offset
            for stop in runtime.stops.all()
            if stop.partition == partition and not stop.service
        }
        found = positions()
        return found is not None and all(
            at.durable_offset + 1
            >= min(ends.get(TP(at.topic, partition), 0), stopped.get(at.topic, math.inf))
            for at in found
        )

    while (opened := positions()) is None:  # noqa: ASYNC110 - positions have no event
        await asyncio.sleep(POLL_INTERVAL_S)
    ends = await runtime.read_ends(sorted({TP(at.topic, partition) for at in opened}))
    while not is_done(ends):  # noqa: ASYNC110 - as above
        await asyncio.sleep(POLL_INTERVAL_S)
