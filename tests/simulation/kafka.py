"""Kafka in memory: partition logs, fenced producers, a group's coordinator, and a network that fails.

What it does follows Kafka's protocol as aiokafka and librdkafka see it: a producer's batch is repeated until it
is acknowledged, and the broker knows a repeated one; the broker refuses a producer's older epoch where a newer
one has written; a request may be lost before or after its effect. What is in flight when its process dies may
arrive.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.errors import (
    KafkaTimeoutError,
    NotLeaderForPartitionError,
    ProducerFenced,
    RequestTimedOutError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from faust.types import TP

from tests.simulation.virtual_time import CURRENT, EPOCH_S, SimulatedLoop

LOG_APPEND_TIME = 1
BATCH_BYTES = 256 * 1024
RETRY_S = 1.0
"""Until a producer repeats a batch that was not acknowledged."""
DELIVERY_TIMEOUT_S = 30.0
KNOWN_BATCHES = 5
"""Of a producer, that a partition's leader remembers."""
CLUSTER_ID = "simulated"


class Stored(NamedTuple):
    """One record of a partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Appended(NamedTuple):
    """What the broker answers to a batch. offset: -1 where it knows the batch and not where it is."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int = LOG_APPEND_TIME


@dataclass
class Log:
    """A partition. start: the first offset that is kept."""

    tp: TP
    records: list[Stored] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    next_offset: int = 0
    start: int = 0
    epochs: dict[int, int] = field(default_factory=dict)
    known: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)

    def from_offset(self, offset: int, count: int) -> list[Stored]:
        at = bisect_left(self.offsets, offset)
        return self.records[at : at + count]

    def append(self, at_ms: int, records: Iterable[tuple[Any, ...]]) -> int:
        first = self.next_offset
        for key, value, headers in records:
            self.records.append(Stored(self.next_offset, at_ms, key, value, tuple(headers)))
            self.offsets.append(self.next_offset)
            self.next_offset += 1
        return first

    def compact(self, before: int) -> None:
        """Keep the last record of each key of those before an offset."""
        last = {record.key: record.offset for record in self.records}
        kept = [r for r in self.records if r.offset >= before or last[r.key] == r.offset]
        self.records, self.offsets = kept, [record.offset for record in kept]


@dataclass
class Trouble:
    """How the network to Kafka is. lost: share of requests without effect; unanswered: with it, and no answer.

    slow_s: what each way takes at most.
    """

    lost: float = 0.0
    unanswered: float = 0.0
    slow_s: float = 0.003


class Cluster:
    """All of Kafka. draw: for what happens to requests."""

    def __init__(
        self, loop: SimulatedLoop, draw: random.Random, partitions: int, single: Iterable[str]
    ) -> None:
        self.loop, self.draw, self.partitions = loop, draw, partitions
        self.single = frozenset(single)
        self.logs: dict[TP, Log] = {}
        self.trouble = Trouble()
        self.down: dict[int, float] = {}
        self.cut_off: set[str] = set()
        self.transactional: dict[str, tuple[int, int]] = {}
        self.groups: dict[str, Group] = {}
        self._next_producer_id = 1000
        self._waiting: list[asyncio.Future[None]] = []
        self.clock_ahead_ms = 0
        self.on_append: Callable[[TP, int, int], None] = lambda *_: None

    def now_ms(self) -> int:
        return int((EPOCH_S + self.loop.now_s) * 1000) + self.clock_ahead_ms

    def log(self, tp: TP) -> Log:
        log = self.logs.get(tp)
        if log is None:
            log = self.logs[tp] = Log(tp)
        return log

    def new_producer_id(self) -> int:
        self._next_producer_id += 1
        return self._next_producer_id

    def partition_of(self, topic: str, key: bytes | None) -> int:
        if topic in self.single:
            return 0
        if key is None:
            return self.draw.randrange(self.partitions)
        return int(murmur2(key) & 0x7FFFFFFF) % self.partitions

    def is_up(self, partition: int) -> bool:
        """Whether the partition number has a leader."""
        return self.down.get(partition, 0.0) <= self.loop.now_s

    # -- the network

    def way_s(self) -> float:
        return 0.0002 + self.draw.random() * self.trouble.slow_s

    async def ask(self, effect: Callable[[], Any], timeout_s: float = 5.0) -> Any:
        """A request with an answer; raises what `effect` raises, or RequestTimedOutError."""
        process, loop = CURRENT.get(), self.loop
        answered = loop.create_future()
        is_lost = self.draw.random() < self.trouble.lost or process.name in self.cut_off
        is_unanswered = self.draw.random() < self.trouble.unanswered

        def answer(result: Any, error: Exception | None) -> None:
            if not answered.done():
                if error is None:
                    answered.set_result(result)
                else:
                    answered.set_exception(error)

        def arrive() -> None:
            result, error = None, None
            try:
                result = effect()
            except Exception as exc:  # noqa: BLE001 -- it is the answer
                error = exc
            if isinstance(result, asyncio.Future):
                result.add_done_callback(lambda done: send_back(done.result(), None))
            else:
                send_back(result, error)

        def send_back(result: Any, error: Exception | None) -> None:
            if not is_unanswered:
                loop.call_later(self.way_s(), answer, result, error, context=process.context)

        if not is_lost:
            loop.in_world(arrive, after_s=self.way_s())
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except TimeoutError:
            raise RequestTimedOutError from None

    async def ask_until(self, effect: Callable[[], Any], within_s: float = 30.0) -> Any:
        """The same, repeated as aiokafka repeats what may be repeated. Raises RequestTimedOutError."""
        until_s = self.loop.now_s + within_s
        while True:
            try:
                return await self.ask(effect, 3.0)
            except RequestTimedOutError:
                if self.loop.now_s > until_s:
                    raise

    def wake(self) -> None:
        """Tell fetches that wait."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def next_append(self) -> None:
        future = self.loop.create_future()
        self._waiting.append(future)
        await future

    # -- writing

    def append(
        self, tp: TP, producer: tuple[int, int], number: int, records: Sequence[tuple[Any, ...]]
    ) -> int:
        """Append a batch; gives its first offset. Raises ProducerFenced, NotLeaderForPartitionError."""
        if not self.is_up(tp.partition):
            raise NotLeaderForPartitionError
        log, (producer_id, epoch) = self.log(tp), producer
        known_epoch = log.epochs.get(producer_id, -1)
        if epoch < known_epoch:
            raise ProducerFenced
        if epoch > known_epoch:
            log.epochs[producer_id] = epoch
            log.known[producer_id] = deque(maxlen=KNOWN_BATCHES)
        known = log.known[producer_id]
        for each, _ in known:
            if each == number:
                return -1
        first = log.append(self.now_ms(), records)
        known.append((number, first))
        self.on_append(tp, first, len(records))
        self.loop.in_world(self.wake)
        return first

    def init_producer(self, transactional_id: str) -> tuple[int, int]:
        """Raise the epoch of a transactional id."""
        producer_id, epoch = self.transactional.get(transactional_id, (0, -1))
        producer_id = producer_id or self.new_producer_id()
        self.transactional[transactional_id] = producer_id, epoch + 1
        return producer_id, epoch + 1


@dataclass
class _Sending:
    """A batch on its way. number: of the producer's, for this partition."""

    number: int
    records: list[tuple[Any, ...]]
    future: asyncio.Future[Appended]
    until_s: float


class Producer:
    """An idempotent producer; batches of a partition are sent one after the other."""

    def __init__(self, cluster: Cluster, producer_id: int, epoch: int) -> None:
        self.cluster, self.identity = cluster, (producer_id, epoch)
        self.process = CURRENT.get()
        self._queues: defaultdict[TP, deque[_Sending]] = defaultdict(deque)
        self._numbers: defaultdict[TP, int] = defaultdict(int)
        self._error: Exception | None = None
        self.is_stopped = False

    async def start(self) -> None:
        """It is connected."""

    async def stop(self) -> None:
        """Wait for what is under way."""
        for queue in list(self._queues.values()):
            for sending in list(queue):
                await asyncio.wait([sending.future])
        self.is_stopped = True

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[Appended]:
        raw = bytes(batch._build())
        records = [(r.key, r.value, r.headers) for r in DefaultRecordBatch(bytearray(raw))]
        return self._queue(TP(topic, partition), records)

    async def send_and_wait(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> Appended:
        if partition is None:
            partition = self.cluster.partition_of(topic, key)
        return await self._queue(TP(topic, partition), [(key, value, tuple(headers or ()))])

    def _queue(self, tp: TP, records: list[tuple[Any, ...]]) -> asyncio.Future[Appended]:
        if self._error is not None:
            raise self._error
        loop = self.cluster.loop
        self._numbers[tp] += 1
        until_s = loop.now_s + DELIVERY_TIMEOUT_S
        sending = _Sending(self._numbers[tp], records, loop.create_future(), until_s)
        queue = self._queues[tp]
        queue.append(sending)
        if len(queue) == 1:
            self._transmit(tp, sending)
        return sending.future

    def _transmit(self, tp: TP, sending: _Sending) -> None:
        cluster, loop, context = self.cluster, self.cluster.loop, self.process.context
        if not self._queues[tp] or self._queues[tp][0] is not sending:
            return  # acknowledged, or given up; whoever waited for it may have gone
        if loop.now_s > sending.until_s:
            self._fail(tp, sending, KafkaTimeoutError())
            return
        is_lost = cluster.draw.random() < cluster.trouble.lost
        is_unanswered = cluster.draw.random() < cluster.trouble.unanswered

        def arrive() -> None:
            try:
                first = cluster.append(tp, self.identity, sending.number, sending.records)
            except NotLeaderForPartitionError:
                return
            except ProducerFenced as fenced:
                loop.call_later(cluster.way_s(), self._fail, tp, sending, fenced, context=context)
                return
            if not is_unanswered:
                put = Appended(*tp, first, cluster.now_ms())
                loop.call_later(cluster.way_s(), self._done, tp, sending, put, context=context)

        if not is_lost:
            loop.in_world(arrive, after_s=cluster.way_s())
        loop.call_later(RETRY_S, self._transmit, tp, sending, context=context)

    def _done(self, tp: TP, sending: _Sending, put: Appended) -> None:
        queue = self._queues[tp]
        if not queue or queue[0] is not sending:
            return
        queue.popleft()
        if not sending.future.done():
            sending.future.set_result(put)
        if queue:
            self._transmit(tp, queue[0])

    def _fail(self, tp: TP, sending: _Sending, error: Exception) -> None:
        if isinstance(error, ProducerFenced):
            self._error = error
        queue = self._queues[tp]
        while queue:
            each = queue.popleft()
            if not each.future.done():
                each.future.set_exception(error)
                each.future.exception()


@dataclass
class Member:
    """A worker in the group. joining: is answered with generation and assignment when all have joined."""

    name: str
    url: str
    joining: asyncio.Future[tuple[int, frozenset[int]]] | None = None
    owned: frozenset[int] = frozenset()
    heard_s: float = 0.0


class Group:
    """A consumer group's coordinator. Partition numbers are assigned: of all topics and changelogs together."""

    def __init__(
        self,
        cluster: Cluster,
        session_s: float,
        rebalance_s: float,
        on_generation: Callable[[int, Mapping[str, frozenset[int]]], None] = lambda *_: None,
    ) -> None:
        self.cluster, self.session_s, self.rebalance_s = cluster, session_s, rebalance_s
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.committed: dict[TP, tuple[int, str]] = {}
        self.is_stable = True
        self._round = 0
        self._on_generation = on_generation
        self.on_commit: Callable[[Mapping[TP, tuple[int, str]]], None] = lambda _: None

    def join(self, name: str, url: str) -> asyncio.Future[tuple[int, frozenset[int]]]:
        loop = self.cluster.loop
        member = self.members.setdefault(name, Member(name, url))
        member.heard_s = loop.now_s
        if member.joining is None or member.joining.done():
            member.joining = loop.create_future()
        joining = member.joining
        self._prepare()
        self._finish_if_all_joined()
        return joining

    def leave(self, name: str) -> None:
        if self.members.pop(name, None) is not None:
            self._prepare()
            self._finish_if_all_joined()

    def heartbeat(self, name: str, generation: int) -> str:
        """Why the member must join anew; "": it need not."""
        member = self.members.get(name)
        if member is None:
            return "unknown"
        if generation != self.generation:
            return "older"
        member.heard_s = self.cluster.loop.now_s
        return "" if self.is_stable else "rebalancing"

    def commit(self, name: str, generation: int, positions: Mapping[TP, tuple[int, str]]) -> bool:
        if name not in self.members or generation != self.generation:
            return False
        self.on_commit(positions)
        self.committed.update(positions)
        return True

    def _prepare(self) -> None:
        if self.is_stable:
            self.is_stable = False
            self._round += 1
            self.cluster.loop.in_world(self._finish, self._round, after_s=self.rebalance_s)

    def _finish_if_all_joined(self) -> None:
        if self.members and all(m.joining and not m.joining.done() for m in self.members.values()):
            # A moment for others that come at the same time.
            self.cluster.loop.in_world(self._finish_early, self._round, after_s=0.05)

    def _finish_early(self, round_: int) -> None:
        if all(m.joining and not m.joining.done() for m in self.members.values()):
            self._finish(round_)

    def _finish(self, round_: int) -> None:
        if self.is_stable or round_ != self._round:
            return
        for name, member in list(self.members.items()):
            if member.joining is None or member.joining.done():
                del self.members[name]
        self.is_stable = True
        if not self.members:
            return
        self.generation += 1
        self._assign()
        self._on_generation(self.generation, {m.name: m.owned for m in self.members.values()})
        for member in self.members.values():
            assert member.joining is not None
            member.heard_s = self.cluster.loop.now_s
            member.joining.set_result((self.generation, member.owned))
            member.joining = None
            self._watch(member)

    def _watch(self, member: Member) -> None:
        """Forget a member that is not heard of for a session."""
        if self.members.get(member.name) is not member:
            return
        left_s = member.heard_s + self.session_s - self.cluster.loop.now_s
        if left_s <= 0:
            self.leave(member.name)
        elif member.joining is None:
            self.cluster.loop.in_world(self._watch, member, after_s=max(left_s, 0.01))

    def _assign(self) -> None:
        """As sticky as can be."""
        names = sorted(self.members)
        most = -(-self.cluster.partitions // len(names))
        left = set(range(self.cluster.partitions))
        kept: dict[str, set[int]] = {}
        for name in names:
            kept[name] = set(sorted(self.members[name].owned & left)[:most])
            left -= kept[name]
        for number in sorted(left):
            name = min(names, key=lambda each: (len(kept[each]), each))
            kept[name].add(number)
        for name in names:
            self.members[name].owned = frozenset(kept[name])
