"""A worker's side of the group: Faust's own consumer and recovery over a simulated Kafka client.

What is simulated here is aiokafka's consumer with its thread (`AIOKafkaConsumerThread`), the order of Faust's
callbacks in a rebalance, and its streams, which around a rebalance lose what they hold. The rest is the real
code: `FetchConsumer`, Faust's flow control, its recovery of tables, and all of tables/.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import IllegalStateError, KafkaError
from faust.types import TP
from yarl import URL

from tables import fence, service_runtime, worker_exit
from tables.cluster import Bounds, ClusterIds
from tables.consumed_record import ConsumedRecord, RecordRun, empty_offsets
from tables.transport import FetchConsumer
from tests.simulation.kafka import (
    CLUSTER_ID,
    LOG_APPEND_TIME,
    Cluster,
    Group,
    Producer,
    Stored,
)
from tests.simulation.virtual_time import CURRENT, put_in_place

FETCH_WAIT_S = 0.2
FETCHED_RECORDS = 200
CLUSTERS: dict[str, Cluster] = {}
"""Of the simulation that runs, under ""."""


class ProcessEndedError(BaseException):
    """The process has ended itself: nothing of it runs any more."""


class ConsumerThread:
    """In the place of `AIOKafkaConsumerThread`: positions, fetches, seeks."""

    beacon = None

    def __init__(self, cluster: Cluster, group: Group, name: str, draw: random.Random) -> None:
        self.cluster, self.group, self.name, self.draw = cluster, group, name, draw
        self.generation = -1
        self.assigned: frozenset[TP] = frozenset()
        self.positions: dict[TP, int] = {}
        self.highwaters_seen: dict[TP, int] = {}
        self.seeks: dict[TP, int] = {}
        self.consumer: Any = None

    def assign(self, generation: int, tps: Iterable[TP]) -> None:
        self.generation, self.assigned = generation, frozenset(tps)
        self.positions = {}
        self.highwaters_seen = {}

    async def getmany(self, active: set[TP] | None, timeout: float) -> dict[TP, list[Any]]:
        """What a poll brings: of each partition what was fetched in one request."""
        if not self.consumer.flow_active:
            return {}
        generation = self.generation
        wanted = sorted(tp for tp in (active or self.assigned) if tp in self.assigned)
        for tp in wanted:
            if tp not in self.positions:
                committed = self.group.committed.get(tp)
                self.positions[tp] = committed[0] if committed else self.cluster.log(tp).start
        until_s = self.cluster.loop.now_s + min(timeout, FETCH_WAIT_S)
        while True:
            await asyncio.sleep(self.cluster.way_s())
            found = {tp: self._read(tp) for tp in wanted if self.cluster.is_up(tp.partition)}
            found = {tp: got for tp, got in found.items() if got[0]}
            if found or self.cluster.loop.now_s >= until_s:
                break
            try:
                async with asyncio.timeout_at(until_s):
                    await self.cluster.next_append()
            except TimeoutError:
                break
        seeks = dict(self.seeks)
        await asyncio.sleep(self.cluster.way_s())
        result = {}
        for tp, (items, next_offset) in found.items():
            # aiokafka drops what was fetched before a seek or a rebalance.
            if generation == self.generation and seeks.get(tp) == self.seeks.get(tp):
                self.positions[tp] = next_offset
                result[tp] = items
        return result

    def _read(self, tp: TP) -> tuple[list[Any], int]:
        log, at = self.cluster.log(tp), self.positions.get(tp)
        if at is None:
            return [], 0
        at = max(at, log.start)
        self.highwaters_seen[tp] = log.next_offset
        if at >= log.next_offset:
            return [], at
        stored = log.from_offset(at, self.draw.randint(1, FETCHED_RECORDS))
        end = (
            log.next_offset
            if not stored or stored[-1] is log.records[-1]
            else stored[-1].offset + 1
        )
        if self.consumer.is_changelog(tp.topic):
            return self._runs(at, stored, end), end
        return _items(tp, at, stored, end), end

    def _runs(self, at: int, stored: Sequence[Stored], end: int) -> list[RecordRun]:
        runs, records = [], list(stored)
        while records:
            size = self.draw.randint(1, 20)
            part, records = records[:size], records[size:]
            next_offset = records[0].offset if records else end
            runs.append(RecordRun(at, next_offset, part))
            at = next_offset
        if not runs and end > at:
            runs.append(RecordRun(at, end, ()))
        return runs

    async def seek_to_committed(self) -> Mapping[TP, int]:
        generation = self.generation
        committed = await self.cluster.ask_until(lambda: dict(self.group.committed))
        if generation != self.generation:
            raise IllegalStateError("rebalanced")
        offsets = {}
        for tp in sorted(self.assigned):
            if tp in committed:
                self._seek(tp, committed[tp][0])
                offsets[tp] = committed[tp][0]
        return offsets

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            self._check(tp)
            self._seek(tp, offset)
            if offset > 0:
                self.consumer._read_offset[tp] = offset
            else:
                self.consumer._read_offset.pop(tp, None)
        await asyncio.sleep(self.cluster.way_s())

    def seek(self, tp: TP, offset: int) -> None:
        self._check(tp)
        self._seek(tp, offset)

    def _seek(self, tp: TP, offset: int) -> None:
        self.positions[tp] = offset
        self.seeks[tp] = self.seeks.get(tp, 0) + 1

    def _check(self, tp: TP) -> None:
        if tp not in self.assigned:
            raise IllegalStateError(f"{tp} is not assigned")

    async def position(self, tp: TP) -> int | None:
        self._check(tp)
        await asyncio.sleep(self.cluster.way_s())
        return self.positions.get(tp)

    def assignment(self) -> set[TP]:
        return set(self.assigned)

    def highwater(self, tp: TP) -> int | None:
        return self.highwaters_seen.get(tp)

    def topic_partitions(self, _: str) -> int:
        return self.cluster.partitions

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        result: Mapping[TP, int] = await self.cluster.ask_until(
            lambda: {tp: self.cluster.log(tp).start for tp in tps}
        )
        return result

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        result: Mapping[TP, int] = await self.cluster.ask_until(
            lambda: {tp: self.cluster.log(tp).next_offset for tp in tps}
        )
        return result


def _items(tp: TP, at: int, stored: Sequence[Stored], end: int) -> list[Any]:
    """Records and the gaps between them."""
    items: list[Any] = []
    for record in stored:
        if record.offset > at:
            items.append(empty_offsets(*tp, at, record.offset - 1))
        items.append(
            ConsumedRecord(
                *tp, record.offset, record.timestamp, LOG_APPEND_TIME, record.key, record.value,
                None, len(record.key or b""), len(record.value or b""), record.headers,
            )
        )  # fmt: skip
        at = record.offset + 1
    if end > at:
        items.append(empty_offsets(*tp, at, end - 1))
    return items


class SimulatedConsumer(FetchConsumer):
    """`FetchConsumer` with what reaches into aiokafka asked of the simulated Kafka."""

    _thread: Any
    new_thread: Callable[[], ConsumerThread]

    def _new_consumer_thread(self) -> Any:
        return type(self).new_thread()

    async def fetch_committed(self, tps: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        wanted, thread = list(tps), self._thread
        found: dict[TP, tuple[int, str]] = await thread.cluster.ask_until(
            lambda: {
                tp: thread.group.committed[tp] for tp in wanted if tp in thread.group.committed
            }
        )
        return found

    async def commit_positions(self, positions: Mapping[TP, tuple[int, str]]) -> bool:
        thread = self._thread
        generation = thread.generation
        return bool(
            await thread.cluster.ask_until(
                lambda: thread.group.commit(thread.name, generation, positions)
            )
        )

    async def refresh_metadata(self) -> None:
        """Topics are there from the beginning."""

    async def is_member(self) -> bool:
        thread = self._thread
        generation = thread.generation
        try:
            said = await thread.cluster.ask(lambda: thread.group.heartbeat(thread.name, generation))
        except KafkaError:
            return False
        return not said

    def leave_group(self, timeout_s: float) -> None:
        thread = self._thread
        loop = thread.cluster.loop
        loop.in_world(thread.group.leave, thread.name, after_s=thread.cluster.way_s())


class Assignor:
    """In the place of Faust's assignor, as the engine asks it."""

    def __init__(self, topics: Iterable[str], changelogs: Iterable[str], group: Group) -> None:
        self._topics, self._changelogs = sorted(topics), sorted(changelogs)
        self._group = group
        self.owned: frozenset[int] = frozenset()

    def assigned_actives(self) -> set[TP]:
        return {TP(t, p) for t in (*self._topics, *self._changelogs) for p in self.owned}

    def assigned_standbys(self) -> set[TP]:
        return set()

    def assigned_to_all(self) -> Mapping[str, frozenset[int]]:
        """Topic -> the partitions that members own."""
        owned = frozenset(p for member in self._group.members.values() for p in member.owned)
        return dict.fromkeys((*self._topics, *self._changelogs), owned)

    def owner_url(self, _: str, partition: int) -> URL | None:
        """Of the worker that owns a partition."""
        owners = (m for m in self._group.members.values() if partition in m.owned)
        return next((URL(member.url) for member in owners), None)


class ClusterReader:
    """In the place of `tables.cluster.ClusterReader`."""

    def __init__(self, _: Any) -> None:
        self._cluster = CLUSTERS[""]

    def ids(self, topics: Sequence[str], _: float) -> ClusterIds:
        return ClusterIds(CLUSTER_ID, {name: f"id of {name}" for name in topics})

    def bounds(self, partitions: Sequence[tuple[str, int]], _: float) -> Bounds:
        logs = {place: self._cluster.log(TP(*place)) for place in partitions}
        return {place: (log.start, log.next_offset) for place, log in logs.items()}


async def make_fenced_producer(_: Any, transactional_id: str, __: int) -> tuple[Producer, int, int]:
    """In the place of `tables.faust_internals.make_fenced_producer`."""
    cluster = CLUSTERS[""]
    for left in range(3, -1, -1):
        try:
            producer_id, epoch = await cluster.ask(
                lambda: cluster.init_producer(transactional_id), 2.0
            )
            break
        except KafkaError:
            if not left:
                raise
    return Producer(cluster, producer_id, epoch), producer_id, epoch


def end_process(status: int) -> None:
    """In the place of `os._exit`."""
    process = CURRENT.get()
    process.exit_status = status  # type: ignore[attr-defined]
    process.kill()
    raise ProcessEndedError(status)


class _Exits:
    _exit = staticmethod(end_process)


put_in_place(fence, make_fenced_producer=make_fenced_producer)
put_in_place(service_runtime, ClusterReader=ClusterReader)
put_in_place(worker_exit, os=_Exits)
