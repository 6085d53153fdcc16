"""Which Kafka a table belongs to, and how far it has come: the row that every table keeps of itself.

The row lies under a reserved key, in the changelog and in RocksDB like any other. It holds the
cluster's id, the ids of the changelog and of the input topics, and per input topic the last offset
whose state and outputs are durable. A committed offset is never ahead of it, and lists in its
metadata the services that had such a row: so a table that was lost is told from a new service's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from faust.types import TP

if TYPE_CHECKING:
    from tables.partition_task import PartitionTask
    from tables.task_manager import HostedService

LOG = logging.getLogger("tiffin.engine")

PROGRESS_KEY = b"\0progress"
WITHOUT_LEADER = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._TIMED_OUT,
)
"""What is said of a partition whose topic was only just made, or whose broker went."""
LEADER_POLL_S = 0.1
BROKER_ANSWER_S = 1.0
"""How long one broker is waited for before it is asked again, or the one that leads now."""


class WrongKafkaError(Exception):
    """Kafka and the tables don't belong together; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TableProgress:
    """The row as it was read. offsets: input topic -> last offset done (-1: none yet)."""

    cluster: str
    topics: Mapping[str, str]
    offsets: Mapping[str, int]

    @classmethod
    def load(cls, raw: bytes | None) -> TableProgress | None:
        """Read the row; None when the table has none. Raises ValueError, TypeError for another's."""
        if raw is None:
            return None
        progress = cls(**orjson.loads(raw))
        topics, offsets = progress.topics, progress.offsets
        if not isinstance(topics, dict) or not isinstance(offsets, dict):
            raise TypeError("topics and offsets must be objects")
        if any(type(offset) is not int for offset in offsets.values()):
            raise TypeError("offsets must be whole numbers")
        return progress


@dataclass(frozen=True, slots=True)
class ClusterIds:
    """A cluster's id and the ids of one service's topics in it, as Kafka gives them now."""

    cluster: str
    topics: Mapping[str, str]

    def dump(self, offsets: Mapping[str, int]) -> bytes:
        """The row that says: written in this cluster, done as far as these offsets."""
        return orjson.dumps({"cluster": self.cluster, "topics": self.topics, "offsets": offsets})

    def check(self, table: str, progress: TableProgress | None) -> None:
        """Raise WrongKafkaError when the row was written in another cluster or for other topics.

        A topic that the row does not know (an input added since) is fine.
        """
        if progress is None:
            return
        changed = [
            f"topic {topic} was deleted and made again"
            for topic, id_ in progress.topics.items()
            if self.topics.get(topic, id_) != id_
        ]
        if progress.cluster != self.cluster:
            changed = [
                f"it was written in Kafka cluster {progress.cluster}, this is {self.cluster}"
            ]
        if changed:
            raise WrongKafkaError(
                f"the stored table {table!r} is not of this Kafka: {'; '.join(changed)}. If Kafka "
                "was wiped on purpose, remove this worker's data folder; if not, point the worker "
                "to the Kafka that its tables were made with, or restore the topics."
            )


def lost_table(table: str, topic: str, partition: int) -> WrongKafkaError:
    """The error for a table that is gone although its inputs were committed."""
    return WrongKafkaError(
        f"the table {table!r} has nothing in partition {partition} although inputs of {topic} were "
        "processed into it: its changelog topic was deleted or emptied. Restore that topic; or, to "
        "build the table again from the input topics as far as they reach back, delete the consumer "
        "group's committed offsets and start again."
    )


def lost_inputs(table: str, topic: str, partition: int, due: int, end: int) -> WrongKafkaError:
    """The error for an input topic that has fewer records than were processed."""
    return WrongKafkaError(
        f"the table {table!r} has processed {topic}/{partition} up to offset {due - 1}, which ends "
        f"at offset {end - 1} now: the topic has lost records. Restore it; or, if the loss is "
        "accepted, remove the workers' data folders and the table's changelog topic."
    )


class ClusterReader:
    """Asks Kafka for ids and offsets, over a connection of its own where no fetch is in the way.

    Blocks: call it in a thread. Its client is made at the first call.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """`settings` are librdkafka's: bootstrap.servers and, if need be, security."""
        self._settings = {"log_level": 0, **settings}
        self._client: AdminClient | None = None

    def ids(self, topics: Sequence[str], timeout_s: float) -> ClusterIds:
        """Ids of the cluster and of these topics. Raises KafkaException."""
        client = self._connected()
        described = client.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s)
        cluster = client.describe_cluster(request_timeout=timeout_s)
        return ClusterIds(
            cluster=cluster.result().cluster_id,
            topics={name: str(future.result().topic_id) for name, future in described.items()},
        )

    def bounds(
        self, partitions: Sequence[tuple[str, int]], timeout_s: float
    ) -> dict[tuple[str, int], tuple[int, int]]:
        """(topic, partition) -> first offset that there is, and the next one to come.

        Asks again while a partition has no leader. Raises KafkaException, TimeoutError.
        """
        client = self._connected()
        deadline_s = time.monotonic() + timeout_s
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        left = [TopicPartition(*partition) for partition in partitions]
        while left:
            # Else the client would for minutes ask the leaders that it knows, though they are gone.
            client.list_topics(timeout=timeout_s)
            for which, found in ((OffsetSpec.earliest(), starts), (OffsetSpec.latest(), ends)):
                asked = client.list_offsets(
                    dict.fromkeys(left, which), request_timeout=BROKER_ANSWER_S
                )
                found.update(_answered_offsets(asked))
            left = [tp for tp in left if tp not in starts or tp not in ends]
            if left:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"{left[0].topic}/{left[0].partition} has no leader")
                time.sleep(LEADER_POLL_S)
        return {(tp.topic, tp.partition): (start, ends[tp]) for tp, start in starts.items()}

    def _connected(self) -> AdminClient:
        if self._client is None:
            self._client = AdminClient(self._settings)
        return self._client


def _answered_offsets(
    asked: Mapping[TopicPartition, Future[Any]],
) -> Iterator[tuple[TopicPartition, int]]:
    """Offsets of partitions that have a leader. Without one Kafka also gives negative ones, as no error."""
    for partition, future in asked.items():
        try:
            offset = future.result().offset
        except KafkaException as error:
            if error.args[0].code() not in WITHOUT_LEADER:
                raise
        else:
            if offset >= 0:
                yield partition, offset


class IdentityCheck:
    """Whether Kafka still is what this worker's tables were made with, as of its last claim.

    ends: input partition -> the next offset to come there.
    """

    def __init__(self, engines: Sequence[HostedService], reader: ClusterReader) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self._services = engines
        self._reader = reader
        self._topics = sorted(
            {name for engine in engines for name in (*engine.service.inputs, engine.changelog)}
        )
        self._starts: dict[tuple[str, int], int] = {}
        self._ids: ClusterIds | None = None

    async def learn_ids(self, timeout_s: float) -> None:
        """Ask for the ids of the cluster and of all topics. Raises KafkaException."""
        self._ids = await self._read_ids(timeout_s)

    async def learn_bounds(
        self, owned: Iterable[tuple[HostedService, int]], timeout_s: float
    ) -> None:
        """Ask where the inputs of these engines' partitions begin and end. Raises KafkaException."""
        bounds = await self._read_bounds(owned, timeout_s)
        self._starts = {partition: start for partition, (start, _) in bounds.items()}
        self.ends = {partition: end for partition, (_, end) in bounds.items()}

    def of(self, engine: HostedService) -> ClusterIds:
        """What an engine's tables are to be marked with now."""
        assert self._ids is not None
        return _ids_of_service(self._ids, engine)

    def check(self, engine: HostedService, stored: TableProgress | None) -> None:
        """Raise WrongKafkaError when the stored row is not of this Kafka."""
        self.of(engine).check(engine.service.name, stored)

    def first_offsets(
        self,
        engine: HostedService,
        partition: int,
        stored: TableProgress | None,
        committed: Mapping[TP, tuple[int, str]],
    ) -> dict[str, int]:
        """Where a task begins in each input topic: after what its table has, else at the start.

        committed: of the inputs that the table does not know. Raises WrongKafkaError when a table
        or inputs of it are lost.
        """
        name = engine.service.name
        known = stored.offsets if stored else {}
        due = {}
        for topic in engine.service.inputs:
            tp = TP(topic, partition)
            start, end = self._starts[tp], self.ends[tp]
            due[topic] = known.get(topic, start - 1) + 1
            if tp in committed and name in committed[tp][1].split(","):
                raise lost_table(name, topic, partition)
            if due[topic] > end:
                raise lost_inputs(name, topic, partition, due[topic], end)
            if due[topic] < start:
                log_expired(name, tp, due[topic], start)
                due[topic] = start
        return due

    async def inspect(
        self, tasks: Sequence[tuple[HostedService, PartitionTask]], timeout_s: float
    ) -> None:
        """Raise WrongKafkaError when the topics are not what these open tasks began with."""
        was = self._ids
        # Taken before the ends are asked for: what is due now can't be beyond what then is there.
        dues = [(engine, task, dict(task.next_offsets)) for engine, task in tasks]
        if was is None or not dues:
            return
        ids = await self._read_ids(timeout_s)
        bounds = await self._read_bounds(
            [(engine, task.partition) for engine, task in tasks], timeout_s
        )
        for engine, task, due in dues:
            if not task.is_open:
                continue  # its next one is checked when it opens
            name, began = engine.service.name, _ids_of_service(was, engine)
            _ids_of_service(ids, engine).check(name, TableProgress(began.cluster, began.topics, {}))
            for topic, offset in due.items():
                _, end = bounds[topic, task.partition]
                if offset > end:
                    raise lost_inputs(name, topic, task.partition, offset, end)

    async def _read_ids(self, timeout_s: float) -> ClusterIds:
        return await asyncio.to_thread(self._reader.ids, self._topics, timeout_s)

    async def _read_bounds(
        self, owned: Iterable[tuple[HostedService, int]], timeout_s: float
    ) -> dict[tuple[str, int], tuple[int, int]]:
        inputs = {(topic, p) for engine, p in owned for topic in engine.service.inputs}
        return await asyncio.to_thread(self._reader.bounds, sorted(inputs), timeout_s)


def _ids_of_service(origin: ClusterIds, engine: HostedService) -> ClusterIds:
    names = (*engine.service.inputs, engine.changelog)
    return ClusterIds(origin.cluster, {name: origin.topics[name] for name in names})


def log_expired(service: str, tp: TP, due: int, earliest: int) -> None:
    """Say that Kafka deleted inputs before the service processed them."""
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
