"""Makes lost tables anew from the topics kept for ever, while no worker runs: what `restore` does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import rocksdict
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from app.cli.errors import CommandError, ExitStatus
from app.declaration import declare
from app.kafka.records import FetchedRecord, OffsetReader, Place
from app.kafka.security import KafkaSecurity
from app.partitions.state import read_states, serving, under_way
from models import ids, topics
from models.commands import Command, CommandType
from models.events import AUDIT_TYPES, Event, read_event_of
from models.generations import base_topic
from models.repair import MAX_REPAIR_EVENTS, RepairState
from models.times import machine_now_ms, to_rfc3339
from models.transition import Input, InputIdentity, UnreadableError
from models.wording import counted
from tables.app import changelog_config
from tables.changelog import FENCE_KEY
from tables.cluster import ClusterReader
from tables.limits import Limits
from tables.restore import LostTable

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.settings import Settings

KAFKA_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.5
BATCH_RECORDS: Final = 1000
REPAIRS: Final = {
    "orders": (CommandType.REPAIR_ORDER, (topics.ORDER_COMMANDS,)),
    "payments": (CommandType.REPAIR_PAYMENT, (topics.PAYMENT_COMMANDS, topics.WEBHOOKS)),
    "deliveries": (CommandType.REPAIR_DELIVERY, (topics.DELIVERY_COMMANDS,)),
}
"""Service -> the command that it decides, and the inputs whose ids its events name as their causes."""
READ_AGAIN: Final = frozenset({"timeline", "analytics", "takings"})
"""Workers read their inputs again from the beginning, or as far as they are kept. What analytics tells takings
then is known there by its offsets (models/takings.py)."""
STAGED: Final = (
    topics.PAYMENT_EVENTS, topics.ORDER_EVENTS, topics.DELIVERY_EVENTS, topics.REFUND_INITIATED,
    topics.ORDER_AUDIT,
)  # fmt: skip


@dataclass(slots=True)
class RestoreResult:
    """What was done: table -> orders written; order and service -> why it could not be made anew."""

    restored: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StagedEvent:
    """An event as it was read."""

    topic: str
    offset: int
    event: Event
    value: bytes


class LostTables:
    """Finds lost tables and makes them anew. Methods raise CommandError."""

    def __init__(self, settings: Settings) -> None:
        self._settings, security = settings, KafkaSecurity.of(settings)
        with _kafka_answers():
            states = read_states(settings)
        if under_way(states):
            raise CommandError(
                "A raise of the number of partitions is under way, which would not see what is restored: "
                "undo it first (`faust -A app partitions abandon`)."
            )
        self._generation = generation = serving(states, settings.partitions)
        declared = declare(settings, generation=generation)
        self._app, self._runtime = declared.app, declared.runtime
        self._cluster = ClusterReader(
            {"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()}
        )
        self._reader = OffsetReader(settings.kafka_bootstrap, security)

    def close(self) -> None:
        """Leave Kafka."""
        self._reader.close()

    def find(self) -> dict[str, list[int]]:
        """Table -> partitions of its changelog in which nothing but fences is left; makes missing topics.

        Refuses while the group has members: their tables are not to be written by anybody else.
        """
        with _kafka_answers():
            self._refuse_running_workers()
            self._make_missing_topics()
            names = map(self._changelog, self._runtime.tables)
            places = [(name, p) for name in names for p in range(self._generation.partitions)]
            bounds = self._cluster.bounds(places, KAFKA_TIMEOUT_S)
            lost: dict[str, list[int]] = {}
            for name in self._runtime.tables:
                for p in range(self._generation.partitions):
                    place = (self._changelog(name), p)
                    if self._is_empty(place, *bounds[place]):
                        lost.setdefault(name, []).append(p)
            return lost

    async def restore(self, lost: dict[str, list[int]], progress: Progress) -> RestoreResult:
        """Make them anew, a partition after the other."""
        found = RestoreResult(restored=dict.fromkeys(lost, 0))
        try:
            for partition in sorted({p for partitions in lost.values() for p in partitions}):
                names = [name for name, partitions in lost.items() if partition in partitions]
                with tempfile.TemporaryDirectory(prefix="tiffin-restore-") as folder:
                    await self._restore_partition(partition, names, folder, found, progress)
        except (KafkaError, KafkaException, TimeoutError) as error:
            told = f"Kafka: {type(error).__name__}. Run it again: what is not whole stays closed."
            raise CommandError(told, ExitStatus.UNAVAILABLE) from None
        return found

    async def _restore_partition(
        self,
        partition: int,
        names: list[str],
        folder: str,
        found: RestoreResult,
        progress: Progress,
    ) -> None:
        committed = await asyncio.to_thread(self._committed, partition)
        tables = {name: await self._fenced(name, partition) for name in names}
        try:
            if REPAIRS.keys() & tables.keys():
                with closing(rocksdict.Rdict(folder, rocksdict.Options(raw_mode=True))) as staged:
                    await self._stage(partition, staged, progress)
                    for order_id, events in _by_order(staged):
                        for name in REPAIRS.keys() & tables.keys():
                            await self._add(tables[name], name, order_id, events, committed, found)
            for name, table in tables.items():
                service: Any = self._runtime.tables[name].service
                inputs = list(map(self._generation.topic, service.inputs))
                cluster_ids = await asyncio.to_thread(
                    self._cluster.ids, [*inputs, self._changelog(name)], KAFKA_TIMEOUT_S
                )
                first = -1 if name in READ_AGAIN else None
                offsets = {
                    topic: committed.get(base_topic(topic), 0) - 1 if first is None else first
                    for topic in inputs
                }
                await table.finish(cluster_ids, offsets)
        finally:
            for table in tables.values():
                await table.close()

    async def _fenced(self, name: str, partition: int) -> LostTable:
        service: Any = self._runtime.tables[name].service
        table = LostTable(
            service, self._changelog(name), partition, Limits(), topic_name=self._generation.topic
        )
        await table.fence(self._app)
        return table

    async def _stage(self, partition: int, staged: rocksdict.Rdict, progress: Progress) -> None:
        """Sort the partition's events by order, on the disk: there may be more than memory holds."""
        places: list[Place] = [(self._generation.topic(topic), partition) for topic in STAGED]
        bounds = await asyncio.to_thread(self._cluster.bounds, places, KAFKA_TIMEOUT_S)
        for topic, (start, _) in ((place[0], bounds[place]) for place in places):
            if start > 0 and base_topic(topic) != topics.ORDER_AUDIT:
                told = f"{topic}/{partition} begins at offset {start}: earlier events are gone."
                raise CommandError(f"{told} Nothing was restored of this partition.")
        ends = {place: end for place, (_, end) in bounds.items()}
        await asyncio.to_thread(self._reader.assign, {p: start for p, (start, _) in bounds.items()})
        total = sum(end - bounds[place][0] for place, end in ends.items())
        task = progress.add_task(f"Partition {partition}", total=total)
        while any(self._reader.next_offset(place) < end for place, end in ends.items()):
            records = await asyncio.to_thread(self._reader.read, BATCH_RECORDS, POLL_S)
            batch = rocksdict.WriteBatch(raw_mode=True)
            for record in reversed(records):  # of those emitted again the first one stays
                if record.offset < ends[record.topic, partition]:
                    _stage_record(record, batch, staged)
            staged.write(batch)
            progress.advance(task, len(records))

    async def _add(
        self,
        table: LostTable,
        name: str,
        order_id: str,
        events: list[StagedEvent],
        committed: dict[str, int],
        found: RestoreResult,
    ) -> None:
        """Have the service decide the repair of a state that it has not; write what it gives."""
        own = [s for s in events if s.event.producer == name and s.topic != topics.REFUND_INITIATED]
        audit = [s.event.sequence for s in own if s.event.event_type in AUDIT_TYPES]
        told = [s for s in own if s.event.event_type not in AUDIT_TYPES]
        if not told:
            return
        if name == "deliveries":
            told += [s for s in events if s.topic == topics.ORDER_EVENTS]
        service = self._runtime.tables[name].service
        kind, caused_in = REPAIRS[name]
        if len(told) > MAX_REPAIR_EVENTS:
            found.left_out[f"{name} {order_id}"] = f"more than {MAX_REPAIR_EVENTS} events"
            return
        now_ms = machine_now_ms()
        command = Command(
            order_id=order_id, command_id=ids.command_id("restore", name, order_id, now_ms),
            command_type=kind, issued_at=to_rfc3339(now_ms), issued_by="operator:restore",
            data=RepairState(
                live_sequence=0, audit_sequence=max(audit, default=0),
                events=tuple(s.value.decode() for s in told),
            ),
        )  # fmt: skip
        given = Input(caused_in[0], order_id, InputIdentity(command.command_id), command, now_ms)
        decision = service.decide(service.load(None), given, lambda _: None)
        if decision.outcome is None or not decision.outcome.accepted:
            found.left_out[f"{name} {order_id}"] = (
                decision.outcome.detail if decision.outcome else ""
            )
            return
        sequences: dict[str, int] = {}
        for each in events:
            if each.topic in service.inputs and each.offset < committed.get(each.topic, 0):
                source = f"{each.topic}/{each.event.producer}"
                sequences[source] = max(sequences.get(source, 0), each.event.sequence)
        tokens = [ids.token(each.event.causation_id) for each in own]
        await table.add(
            order_id, decision.state, decision.outputs,
            sequences=sequences, tokens=dict.fromkeys(caused_in, tokens),
        )  # fmt: skip
        found.restored[name] += 1

    def _changelog(self, name: str) -> str:
        return self._generation.changelog(self._settings.app_id, name)

    def _refuse_running_workers(self) -> None:
        group = self._generation.group(self._settings.app_id)
        described = self._cluster.client.describe_consumer_groups(
            [group], request_timeout=KAFKA_TIMEOUT_S
        )
        members = described[group].result().members
        if members:
            running = counted(len(members), "worker", "workers")
            raise CommandError(f"{running} of {group!r} still in the group: stop them all first.")

    def _make_missing_topics(self) -> None:
        replication = self._settings.replication_factor
        config = {k: str(v) for k, v in changelog_config(replication).items()}
        config["cleanup.policy"] = "compact"
        names = {self._changelog(name) for name in self._runtime.tables}
        known = self._cluster.client.list_topics(timeout=KAFKA_TIMEOUT_S).topics
        missing = [
            NewTopic(name, self._generation.partitions, replication, config=config)
            for name in sorted(names - known.keys())
        ]
        for made in (self._cluster.client.create_topics(missing) if missing else {}).values():
            made.result()

    def _is_empty(self, place: Place, start: int, end: int) -> bool:
        """Whether there is nothing but fences, of workers that found the table lost."""
        self._reader.assign({place: start})
        while self._reader.next_offset(place) < end:
            records = self._reader.read(BATCH_RECORDS, POLL_S)
            if any(record.key != FENCE_KEY for record in records):
                return False
        return True

    def _committed(self, partition: int) -> dict[str, int]:
        """Input topic, by its own name -> the group's next offset."""
        tables = self._runtime.tables.values()
        inputs = sorted({topic for table in tables for topic in table.service.inputs})
        places = [(self._generation.topic(topic), partition) for topic in inputs]
        group = self._generation.group(self._settings.app_id)
        found = self._cluster.committed(group, places, KAFKA_TIMEOUT_S)
        return {
            base_topic(topic): offset for (topic, _), offset in found.items() if offset is not None
        }


def _stage_record(record: FetchedRecord, batch: Any, staged: rocksdict.Rdict) -> None:
    try:
        if record.error is not None or not record.value:
            return
        topic = base_topic(record.topic)
        event = read_event_of(topic, record.key or b"", record.value)
    except UnreadableError:
        return
    key = f"{event.order_id}\0{topic}\0{event.producer}\0{event.sequence:010}".encode()
    if staged.get(key) is None:
        batch.put(key, record.offset.to_bytes(8) + record.value)


def _by_order(staged: Any) -> Iterator[tuple[str, list[StagedEvent]]]:
    """Each order with its events, by topic, producer and sequence."""
    order_id, events = "", list[StagedEvent]()
    for key, raw in staged.items():
        order, topic, _, _ = key.decode().split("\0")
        if order != order_id and events:
            yield order_id, events
            events = []
        order_id = order
        event = read_event_of(topic, order.encode(), raw[8:])
        events.append(StagedEvent(topic, int.from_bytes(raw[:8]), event, raw[8:]))
    if events:
        yield order_id, events


@contextmanager
def _kafka_answers() -> Iterator[None]:
    try:
        yield
    except (KafkaError, KafkaException, TimeoutError) as error:
        told = f"Kafka does not answer: {type(error).__name__}"
        raise CommandError(told, ExitStatus.UNAVAILABLE) from None
