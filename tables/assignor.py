"""Assigns partitions as Faust does, in groups whose workers do not all read the same topics, too.

While workers of a build with a new service run beside those of the build before, Faust gives each topic's
partitions to the workers that read it: those of the new topics to the newer build alone. Their numbers may be
others than the worker's of the other topics until all workers are of the new build.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet


class GroupAssignor(PartitionAssignor):
    """One a worker: assigns where it leads the group, and knows what every worker was assigned."""

    def on_assignment(self, assignment: Any) -> None:
        """Take what the group's leader assigned.

        A leader of the build before does not know that a new topic is a changelog. It names this worker's
        standbys of it and does not have Kafka assign them, which Faust's own code here takes for a bug, and the
        worker would never join.
        """
        told = ClientMetadata.loads(zlib.decompress(assignment.user_data))
        given = dict(assignment.assignment)
        standbys = told.assignment.standbys
        for topic in standbys.keys() & self.app.tables.changelog_topics:
            standbys[topic] = [each for each in standbys[topic] if each in given.get(topic, ())]
        user_data = zlib.compress(told.dumps())
        super().on_assignment(
            ConsumerProtocolMemberAssignment(assignment.version, assignment.assignment, user_data)
        )

    def assigned_to_all(self) -> Mapping[str, AbstractSet[int]]:
        """Topic -> its partitions that the workers of the group have, together."""
        found: dict[str, set[int]] = defaultdict(set)
        for _, topic, partitions in self._assigned():
            found[topic].update(partitions)
        return found

    def owner_url(self, topic: str, partition: int) -> URL | None:
        """The worker that a partition is assigned to, if any is."""
        for url, name, partitions in self._assigned():
            if name == topic and partition in partitions:
                return URL(url)
        return None

    def _assigned(self) -> Iterator[tuple[str, str, list[int]]]:
        """Worker's URL, topic, partitions. Which are changelogs the leader says, perhaps of an older build."""
        for assigned in (self.changelog_distribution, self.external_topic_distribution):
            for url, topics in assigned.items():
                for topic, partitions in topics.items():
                    yield url, topic, partitions
