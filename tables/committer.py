"""Commits the consumer group's offsets: each input at the slowest of the services that read it.

Only what a table's own progress row has may be committed. The metadata lists the services, so that a
lost table can be told apart from a new service's (identity.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.types import TP

if TYPE_CHECKING:
    from collections.abc import Callable

    from tables.hosted_service import HostedServices
    from tables.transport import FetchConsumer


class Committer:
    """committed: what this worker has committed since the assignment: next offset and metadata."""

    def __init__(
        self, services: HostedServices, consumer: Callable[[], FetchConsumer], partitions: int
    ) -> None:
        self.committed: dict[TP, tuple[int, str]] = {}
        self._services = services
        self._consumer = consumer
        self._partitions = partitions

    async def commit(self) -> None:
        """Commit what has changed. Raises KafkaError."""
        positions = {}
        for topic, readers in self._services.readers_by_topic.items():
            metadata = ",".join(sorted(hosted.name for hosted in readers))
            for partition in range(self._partitions):
                tasks = [hosted.tasks.get(partition) for hosted in readers]
                offsets = [
                    (task.checkpointed_offsets or {}).get(topic) if task and task.is_open else None
                    for task in tasks
                ]
                known = [offset for offset in offsets if offset is not None]
                tp = TP(topic, partition)
                if len(known) == len(readers):
                    position = (min(known) + 1, metadata)
                    if self.committed.get(tp) != position:
                        positions[tp] = position
        if positions and await self._consumer().commit_positions(positions):
            self.committed.update(positions)
