"""All transition engines of one worker, as the app sees them.

An engine is one service's half: a fenced Faust table, an agent for each input topic, and a `PartitionTask`
for each partition it owns. `ServiceRuntime` registers them with Faust; the `TaskManager` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import faust
from faust.types import TP
from yarl import URL

from models.topics import REPLICAS_REQUIRING_MIN_INSYNC
from tables.changelog import is_engine_record
from tables.cluster import ClusterReader
from tables.hosted_service import HostedService
from tables.limits import MESSAGE_BYTES, Limits
from tables.stops import FailureLog, PartitionStop
from tables.task_manager import TaskManager
from tables.transport import FetchTransport, RawSchema
from tables.views import StateTable

if TYPE_CHECKING:
    from models.transition import Service
    from tables.limits import Counters

STORE_OPTIONS = {
    "block_cache_size": 16 * 1024 * 1024,
    "write_buffer_size": 4 * 1024 * 1024,
    "max_write_buffer_number": 3,
    "max_open_files": 128,
}
"""Of each RocksDB, one a (service, partition): Faust's defaults would take 2 GiB and more."""


FAILURES_FILE = "failures.json"


class FencedTable(faust.Table[Any, Any]):
    """A Faust table whose changelog only its engine's tasks write."""

    task_manager: TaskManager

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After the databases are open and before recovery reads the changelog's end: claim."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        await self.task_manager.on_table_assigned(self.name, generation_id)

    def apply_changelog_batch(self, batch: Any) -> None:
        """Recover a batch, without records that no engine wrote.

        Faust would only log what goes wrong here, and go on without it.
        """
        try:
            ours = [
                event for event in batch if is_engine_record(event.message.key, event.message.value)
            ]
            gaps = sum(event.message.key is event.message.value is None for event in batch)
            self.task_manager.count_foreign_changelog_records(
                self.name, len(batch) - len(ours) - gaps
            )
            super().apply_changelog_batch(ours)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the table would not be whole
            self.task_manager.fail(f"recovery of {self.name}", exc)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Before Faust seeks to where reading begins: open the tasks."""
        await super().on_recovery_completed(active_tps, standby_tps)
        await self.task_manager.on_table_recovered(self.name)

    async def stop(self) -> None:
        """On shutdown partitions are not revoked first: drain here, while the consumer lives."""
        await self.task_manager.stop()
        await super().stop()


@dataclass(frozen=True, slots=True)
class InputPosition:
    """How far a service has come in one input partition.

    next_offset: next offset it takes; durable_offset: last one whose state and outputs are durable; committed: the
    group's offset as this worker last committed it; waiting, in_flight: inputs of the whole task.
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


def changelog_config(replication: int) -> dict[str, Any]:
    """What a changelog's topic is made with: of three replicas two must have what counts as sent."""
    # Else Kafka refuses the records of a worker whose clock is an hour ahead.
    stamped = {"message.timestamp.type": "LogAppendTime"}
    config: dict[str, Any] = {"max.message.bytes": MESSAGE_BYTES, **stamped}
    return (
        config | {"min.insync.replicas": 2}
        if replication >= REPLICAS_REQUIRING_MIN_INSYNC
        else config
    )


class ServiceRuntime:
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
        engines = [self._host(service) for service in services]
        self.tables: Mapping[str, StateTable] = {e.service.name: e.state for e in engines}
        self.counters: Mapping[str, Counters] = {e.service.name: e.counters for e in engines}
        brokers = ",".join(f"{url.host}:{url.port or 9092}" for url in app.conf.broker)
        self._task_manager = TaskManager(
            app,
            engines,
            reader=ClusterReader(admin or {"bootstrap.servers": brokers}),
            dead_letter_topic=dead_letter_topic,
            partitions=partitions,
            limits=limits,
            failures=FailureLog(app.conf.datadir / FAILURES_FILE),
        )
        for engine in engines:
            cast(FencedTable, engine.table).task_manager = self._task_manager
            for topic in engine.service.inputs:
                self._make_agent(engine, topic)
        inputs = frozenset(topic for engine in engines for topic in engine.service.inputs)
        transport = FetchTransport(app.conf.broker_consumer, app)
        transport.configure(
            inputs, self._task_manager.next_offsets, self._task_manager.on_unreadable
        )
        app.transport = transport
        app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)

    def ready(self) -> bool:
        """Whether this worker answers for every partition it was given, indexes included."""
        if self.app.rebalancing or not self.app.tables.actives_ready:
            return False
        if not self._task_manager.is_assignment_complete:
            return False
        return not self._task_manager.unopened_tasks()

    def stops(self) -> list[PartitionStop]:
        """Partitions of this worker that are read no further until an operator skips a record."""
        return list(self._task_manager.stops)

    def find_stop(
        self, topic: str, partition: int, offset: int, service: str | None = None
    ) -> PartitionStop:
        """What `skip` would skip; service: whose, where there are several. Raises NotStoppedError."""
        return self._task_manager.find_stop(topic, partition, offset, service)

    async def skip(self, stop: PartitionStop, *, is_retry: bool = False) -> None:
        """Go on behind a stop, as if what is there had never been sent.

        is_retry: go on at it instead, as after the cause was mended. Raises NotStoppedError, KafkaError,
        TimeoutError.
        """
        await self._task_manager.skip(stop, is_retry=is_retry)

    def positions(self) -> list[InputPosition]:
        """How far each service has come in each input partition that this worker owns."""
        committed = self._task_manager.committed
        return [
            InputPosition(
                service=engine.service.name,
                topic=topic,
                partition=task.partition,
                next_offset=next_offset,
                durable_offset=task.durable_offsets[topic],
                committed=committed.get(TP(topic, task.partition), (None, ""))[0],
                waiting=task.waiting,
                in_flight=task.in_flight,
                paused=task in self._task_manager.backpressured,
            )
            for engine, task in self._task_manager.tasks()
            if task.is_open
            for topic, next_offset in sorted(task.next_offsets.items())
        ]

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:
        """Faust has stopped the flow by now, and heartbeats still run."""
        await self._task_manager.close()

    def _host(self, service: Service) -> HostedService:
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
        changelog = table.changelog_topic.get_topic_name()

        def owner_url(partition: int) -> URL | None:
            hosts = self.app.assignor.table_metadata(changelog)
            for url, topics in hosts.items():
                if partition in topics.get(changelog, ()):
                    return URL(url)
            return None

        state = StateTable(service, self.partitions, owner_url)
        return HostedService(service, table, state, changelog)

    def _make_agent(self, engine: HostedService, topic: str) -> None:
        async def transitions(stream: faust.StreamT[Any]) -> None:
            async for event in cast(faust.Stream[Any], stream).noack().events():
                message = event.message
                self._task_manager.feed(engine, message.topic, message.partition, message.value)

        transitions.__doc__ = f"Feeds {topic} to the {engine.service.name} engine."
        channel = self.app.topic(topic, schema=RawSchema(), partitions=self.partitions)
        self.app.agent(channel, name=f"{engine.service.name}.{topic}")(transitions)
