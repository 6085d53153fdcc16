"""The services as a worker hosts them: their tables and tasks, what feeds these and commits for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP

from tables.limits import Counters

if TYPE_CHECKING:
    import faust

    from models.transition import TransitionService
    from tables.assignor import GroupAssignor
    from tables.fenced_table import FencedTable
    from tables.limits import Limits
    from tables.partition_task import PartitionTask
    from tables.transport import FetchConsumer
    from tables.views import StateTable


@dataclass(slots=True)
class HostedService:
    """A service on this worker. `tasks`: partition -> task, from the fencing of the partition on.

    inputs: Kafka's names of the topics that it reads.
    """

    service: TransitionService
    table: FencedTable
    state: StateTable
    changelog: str
    inputs: tuple[str, ...]
    limits: Limits
    counters: Counters = field(default_factory=Counters)
    tasks: dict[int, PartitionTask] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


class HostedServices:
    """All services of a worker. readers_by_topic: input topic -> the services that read it."""

    def __init__(self, app: faust.App, services: Sequence[HostedService]) -> None:
        self._app = app
        self._services = tuple(services)
        readers: dict[str, list[HostedService]] = {}
        for hosted in services:
            for topic in hosted.inputs:
                readers.setdefault(topic, []).append(hosted)
        self.readers_by_topic: Mapping[str, Sequence[HostedService]] = readers

    def __iter__(self) -> Iterator[HostedService]:
        return iter(self._services)

    @property
    def consumer(self) -> FetchConsumer:
        """The worker's consumer, which they share; there once the app has started."""
        return cast("FetchConsumer", self._app.consumer)

    @property
    def assignor(self) -> GroupAssignor:
        """What knows the partitions of all workers."""
        return cast("GroupAssignor", self._app.assignor)

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


class Feeder:
    """Gives fetches to partition tasks, and pauses the partitions of tasks with a full inbox.

    backpressured: tasks with a full inbox. Their partitions' other readers wait with them.
    """

    def __init__(self, services: HostedServices) -> None:
        self.backpressured: set[PartitionTask] = set()
        self._services = services

    def feed(
        self, hosted: HostedService, topic: str, partition: int, inputs: Sequence[Any]
    ) -> None:
        """Give a fetch to its task; never waits."""
        task = hosted.tasks.get(partition)
        if task is None or task.feed(topic, inputs):
            return  # no task: delivered before the fencing or after the revocation, and comes again
        self.backpressured.add(task)
        self._pause()

    def on_backlog_drained(self, task: PartitionTask) -> None:
        """Fetch for this task again."""
        if task in self.backpressured:
            self.backpressured.discard(task)
            self._pause()

    def clear(self) -> None:
        """The tasks are closed: nothing is paused."""
        self.backpressured.clear()
        self._pause()

    def _pause(self) -> None:
        self._services.consumer.paused = frozenset(
            TP(topic, task.partition)
            for task in self.backpressured
            for topic in task.inbox.next_offsets
        )


class Committer:
    """Commits the consumer group's offsets: each input at the slowest of the services that read it.

    Only what a table's own progress row has may be committed. The metadata lists the services, for
    identity.py. committed: what this worker committed since the assignment: next offset and metadata.
    """

    def __init__(self, services: HostedServices) -> None:
        self.committed: dict[TP, tuple[int, str]] = {}
        self._services = services

    async def commit(self) -> None:
        """Commit what has changed. Raises KafkaError."""
        positions = {}
        for topic, readers in self._services.readers_by_topic.items():
            metadata = ",".join(sorted(hosted.name for hosted in readers))
            for partition in readers[0].tasks:
                tasks = [hosted.tasks.get(partition) for hosted in readers]
                offsets = [
                    task.checkpointed_offsets[topic]
                    for task in tasks
                    if task and task.is_open and topic in task.checkpointed_offsets
                ]
                tp = TP(topic, partition)
                if len(offsets) == len(readers):
                    position = (min(offsets) + 1, metadata)
                    if self.committed.get(tp) != position:
                        positions[tp] = position
        if positions and await self._services.consumer.commit_positions(positions):
            self.committed.update(positions)
