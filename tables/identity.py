"""Whether Kafka still is the one that this worker's tables were made with, and has what they build on.

A committed offset is never ahead of its table's progress row, and its metadata lists the services that
had one: so a lost table is told apart from a new service's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faust.types import TP

from models.levels import LATEST
from tables.cluster import Bounds, ClusterIds, ClusterReader
from tables.worker_exit import WrongKafkaError

if TYPE_CHECKING:
    from tables.changelog import TableProgress
    from tables.hosted_service import HostedService
    from tables.partition_task import PartitionTask

Owned = Iterable[tuple["HostedService", int]]
"""Services and partitions of theirs."""
LOG = logging.getLogger("tiffin.engine")


class IdentityCheck:
    """The check. bounds: input partition -> its first offset and the next to come, as of the last fencing."""

    def __init__(self, services: Iterable[HostedService], reader: ClusterReader) -> None:
        self.bounds: Bounds = {}
        self._reader = reader
        self._topics = sorted(
            {name for hosted in services for name in (*hosted.inputs, hosted.changelog)}
        )
        self._ids: ClusterIds | None = None

    async def learn_ids(self, timeout_s: float) -> None:
        """Ask for the ids of the cluster and of all topics. Raises KafkaException."""
        self._ids = await self._read_ids(timeout_s)

    async def learn_bounds(self, owned: Owned, timeout_s: float) -> None:
        """Ask where the inputs of these partitions begin and end. Raises KafkaException."""
        self.bounds = await self._read_bounds(owned, timeout_s)

    async def learn_bounds_behind(
        self, hosted: HostedService, partition: int, known: Mapping[str, int], timeout_s: float
    ) -> None:
        """Ask again where a task's inputs end, if its table has processed more. Raises KafkaException.

        So it is where this worker hung after it had asked, and another one went on meanwhile.
        """
        ends = {
            topic: self.bounds[TP(topic, partition)][1] for topic in known.keys() & hosted.inputs
        }
        if any(known[topic] + 1 > end for topic, end in ends.items()):
            later = await self._read_bounds([(hosted, partition)], timeout_s)
            self.bounds = {**self.bounds, **later}

    def of(self, hosted: HostedService) -> ClusterIds:
        """Ids of the cluster and of this service's topics, as of the last `learn_ids`."""
        assert self._ids is not None
        return _ids_of_service(self._ids, hosted)

    def check(self, hosted: HostedService, stored: TableProgress | None) -> None:
        """Raise WrongKafkaError when the stored row is not of this Kafka, or of a level not known here."""
        if stored is None:
            return
        if stored.level > LATEST:
            raise WrongKafkaError(
                f"the table {hosted.name!r} was written at level {stored.level}, and this build understands "
                f"level {LATEST:d}: start a newer one."
            )
        _check_ids(self.of(hosted), hosted.name, stored)

    def first_offsets(
        self,
        hosted: HostedService,
        partition: int,
        known: Mapping[str, int],
        committed: Mapping[TP, tuple[int, str]],
    ) -> dict[str, int]:
        """Where a task begins in each input topic: after `known`, its table's offsets, else at the start.

        committed: offset and metadata of the inputs that the table does not know. Raises
        WrongKafkaError when a table or inputs of it are lost.
        """
        name, due = hosted.name, {}
        for topic in hosted.inputs:
            tp = TP(topic, partition)
            start, end = self.bounds[tp]
            due[topic] = known.get(topic, start - 1) + 1
            if tp in committed and name in committed[tp][1].split(","):
                raise WrongKafkaError(
                    f"the table {name!r} has nothing in partition {partition} although inputs of "
                    f"{topic} were processed into it: its changelog topic was deleted or emptied. "
                    "Stop all workers and run `faust -A app restore`, which makes it anew from "
                    "the topics kept for ever (docs/how-to/restore.md)."
                )
            if due[topic] > end:
                raise _lost_inputs(name, topic, partition, due[topic], end)
            if due[topic] < start:
                log_expired(name, tp, due[topic], start)
                due[topic] = start
        return due

    async def inspect(
        self, tasks: Sequence[tuple[HostedService, PartitionTask]], timeout_s: float
    ) -> None:
        """Raise WrongKafkaError when a topic was made again or cut since these tasks opened."""
        known = self._ids
        # Copied before the ends are asked for: a task's next offset can't be beyond an end read later.
        opened = [(hosted, task, dict(task.inbox.next_offsets)) for hosted, task in tasks]
        if known is None or not opened:
            return
        ids = await self._read_ids(timeout_s)
        owned = [(hosted, task.partition) for hosted, task in tasks]
        bounds = await self._read_bounds(owned, timeout_s)
        for hosted, task, next_offsets in opened:
            if not task.is_open:
                continue  # its next one is checked when it opens
            began = _ids_of_service(known, hosted)
            _check_ids(_ids_of_service(ids, hosted), hosted.name, began)
            for topic, offset in next_offsets.items():
                _, end = bounds[topic, task.partition]
                if offset > end:
                    raise _lost_inputs(hosted.name, topic, task.partition, offset, end)

    async def _read_ids(self, timeout_s: float) -> ClusterIds:
        return await asyncio.to_thread(self._reader.ids, self._topics, timeout_s)

    async def _read_bounds(self, owned: Owned, timeout_s: float) -> Bounds:
        inputs = {(topic, p) for hosted, p in owned for topic in hosted.inputs}
        return await asyncio.to_thread(self._reader.bounds, sorted(inputs), timeout_s)


def _ids_of_service(ids: ClusterIds, hosted: HostedService) -> ClusterIds:
    names = (*hosted.inputs, hosted.changelog)
    return ClusterIds(ids.cluster, {name: ids.topics[name] for name in names})


def _check_ids(ids: ClusterIds, table: str, stored: ClusterIds) -> None:
    """Raise WrongKafkaError for a table of another cluster or topics; it may lack an input added since."""
    changed = [
        f"topic {topic} was deleted and made again"
        for topic, id_ in stored.topics.items()
        if ids.topics.get(topic, id_) != id_
    ]
    if stored.cluster != ids.cluster:
        changed = [f"it was written in Kafka cluster {stored.cluster}, this is {ids.cluster}"]
    if changed:
        raise WrongKafkaError(
            f"the stored table {table!r} is not of this Kafka: {'; '.join(changed)}. If Kafka "
            "was wiped on purpose, remove this worker's data folder; if not, point the worker "
            "to the Kafka that its tables were made with, or restore the topics."
        )


def _lost_inputs(table: str, topic: str, partition: int, due: int, end: int) -> WrongKafkaError:
    """The error for an input topic that has fewer records than were processed."""
    return WrongKafkaError(
        f"the table {table!r} has processed {topic}/{partition} up to offset {due - 1}, which ends "
        f"at offset {end - 1} now: the topic has lost records. Restore it; or, if the loss is "
        "accepted, remove the workers' data folders and the table's changelog topic."
    )


def log_expired(service: str, tp: TP, due: int, earliest: int) -> None:
    """Log that Kafka deleted inputs before the service processed them."""
    extra: dict[str, Any] = {"service": service, "topic": tp.topic, "partition": tp.partition}
    extra |= {"first_offset": due, "count": earliest - due}
    LOG.error("inputs expired before they were processed", extra=extra)
