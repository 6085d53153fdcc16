"""Gives fetches to partition tasks, and pauses the partitions of tasks with a full inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.types import TP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tables.hosted_service import HostedService
    from tables.partition_task import PartitionTask
    from tables.transport import FetchConsumer


class Feeder:
    """backpressured: tasks with a full inbox. Their partitions' other readers wait with them."""

    def __init__(self, consumer: Callable[[], FetchConsumer]) -> None:
        self.backpressured: set[PartitionTask] = set()
        self._consumer = consumer

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
        self._consumer().paused = frozenset(
            TP(topic, task.partition)
            for task in self.backpressured
            for topic in task.inbox.next_offsets
        )
