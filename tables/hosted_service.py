"""The services as a worker hosts them: each with its table, its readers' side and its partition tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from faust.types import TP

from tables import faust_internals
from tables.limits import Counters

if TYPE_CHECKING:
    import faust
    import rocksdict

    from models.transition import TransitionService
    from tables.partition_task import PartitionTask
    from tables.views import StateTable


@dataclass(slots=True)
class HostedService:
    """A service on this worker. `tasks`: partition -> task, from the fencing of the partition on."""

    service: TransitionService
    table: faust.Table[Any, Any]
    state: StateTable
    changelog: str
    counters: Counters = field(default_factory=Counters)
    tasks: dict[int, PartitionTask] = field(default_factory=dict)

    @property
    def offset_key(self) -> bytes:
        """Under which this table's RocksDBs hold the changelog offset that they are at."""
        return faust_internals.offset_key(self.table)

    def database(self, partition: int) -> rocksdict.Rdict:
        """The RocksDB of a partition, opened if need be."""
        return faust_internals.database(self.table, partition)

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


class HostedServices:
    """All services of a worker. readers_by_topic: input topic -> the services that read it."""

    def __init__(self, services: Sequence[HostedService]) -> None:
        self._services = tuple(services)
        readers: dict[str, list[HostedService]] = {}
        for hosted in services:
            for topic in hosted.service.inputs:
                readers.setdefault(topic, []).append(hosted)
        self.readers_by_topic: Mapping[str, Sequence[HostedService]] = readers

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[HostedService]:
        return iter(self._services)

    def named(self, name: str) -> HostedService:
        """The service of this name. Raises StopIteration when there is none."""
        return next(hosted for hosted in self if hosted.name == name)

    def of_changelog(self, topic: str) -> HostedService | None:
        """The service whose changelog this topic is."""
        return next((hosted for hosted in self if hosted.changelog == topic), None)

    def tasks(self) -> Iterator[tuple[HostedService, PartitionTask]]:
        """All tasks with their services, fenced ones that are not open yet included."""
        for hosted in self:
            for task in list(hosted.tasks.values()):
                yield hosted, task

    def next_offsets(self) -> dict[TP, int]:
        """Where each input partition is to be read from: the least next offset of its readers."""
        least: dict[TP, int] = {}
        for _, task in self.tasks():
            for topic, offset in task.inbox.next_offsets.items():
                tp = TP(topic, task.partition)
                least[tp] = min(offset, least.get(tp, offset))
        return least
