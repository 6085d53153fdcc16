"""Asks Kafka, where no fetch is in the way, for the cluster, its topics, and their partitions' bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

WITHOUT_LEADER = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,  # noqa: SLF001 -- documented; librdkafka's word when no partition asked has a leader
    KafkaError._TIMED_OUT,  # noqa: SLF001 -- likewise
)
"""Errors for a partition whose topic was only just created, or whose leader went away."""
WITHOUT_COORDINATOR = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
"""Errors for a group that is new, or whose broker went away: over in a moment."""
LEADER_POLL_S = 0.1
Bounds = dict[tuple[str, int], tuple[int, int]]
"""(topic, partition) -> first offset that exists, and the next one to come."""
BROKER_ANSWER_S = 1.0
"""How long to wait for a broker before the request is repeated, perhaps to another leader."""


@dataclass(frozen=True, slots=True)
class ClusterIds:
    """A cluster's id and the ids of one service's topics in it, as Kafka gives them now."""

    cluster: str
    topics: Mapping[str, str]


class ClusterReader:
    """An admin client's questions. They block: call them in a thread."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: librdkafka's, bootstrap.servers and, if need be, security."""
        self._settings = {"log_level": 0, **settings}
        self._group_consumers: dict[str, Consumer] = {}

    def ids(self, topics: Sequence[str], timeout_s: float) -> ClusterIds:
        """Ids of the cluster and of these topics; waits a while for one just made. Raises KafkaException."""
        names, client = TopicCollection(list(topics)), self.client
        cluster = client.describe_cluster(request_timeout=timeout_s).result().cluster_id
        deadline_s = time.monotonic() + timeout_s / 2
        while True:
            described = client.describe_topics(names, request_timeout=timeout_s)
            try:
                ids = {name: str(future.result().topic_id) for name, future in described.items()}
            except KafkaException as error:
                is_unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
                if not is_unknown or time.monotonic() > deadline_s:
                    raise
                time.sleep(LEADER_POLL_S)
            else:
                return ClusterIds(cluster, ids)

    def bounds(self, partitions: Sequence[tuple[str, int]], timeout_s: float) -> Bounds:
        """Bounds of partitions; waits while one has no leader. Raises KafkaException, TimeoutError."""
        client, deadline_s = self.client, time.monotonic() + timeout_s
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        left = [TopicPartition(*partition) for partition in partitions]
        while left:
            # Without this the client asks the leaders it knows for minutes, though they are gone.
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

    def partitions(self, topics: AbstractSet[str], timeout_s: float) -> set[tuple[str, int]]:
        """The partitions of these topics; none of one that does not exist. Raises KafkaException."""
        known = self.client.list_topics(timeout=timeout_s).topics
        found = set()
        for topic in topics & known.keys():
            if known[topic].error is not None:
                raise KafkaException(known[topic].error)
            found |= {(topic, partition) for partition in known[topic].partitions}
        return found

    def committed(
        self, group: str, places: Sequence[tuple[str, int]], timeout_s: float
    ) -> dict[tuple[str, int], int | None]:
        """A group's committed offset of each partition, None without one; waits for its coordinator.

        Raises KafkaException.

        Through a consumer that joins nothing and is kept: a new one's first answer takes a second, on a busy
        machine with TLS several. AdminClient's list_consumer_group_offsets ends the process (SIGSEGV in
        librdkafka) where Kafka answers NOT_COORDINATOR, as it does at the first request for a new group:
        https://github.com/confluentinc/confluent-kafka-javascript/issues/374.
        """
        if group not in self._group_consumers:
            settings = {**self._settings, "group.id": group, "enable.auto.commit": False}
            self._group_consumers.setdefault(group, Consumer(settings))
        consumer, deadline_s = self._group_consumers[group], time.monotonic() + timeout_s
        while True:
            try:
                found = _committed(consumer, places, timeout_s)
                break
            except KafkaException as error:
                has_none = error.args[0].code() in WITHOUT_COORDINATOR
                if not has_none or time.monotonic() > deadline_s:
                    raise
                time.sleep(LEADER_POLL_S)
        return {
            (each.topic, each.partition): each.offset if each.offset >= 0 else None
            for each in found
        }

    @cached_property
    def client(self) -> AdminClient:
        """The client, for other questions; connects at the first call."""
        return AdminClient(self._settings)


def _committed(
    consumer: Consumer, places: Sequence[tuple[str, int]], timeout_s: float
) -> list[TopicPartition]:
    """Ask once. Raises KafkaException, for an error of one partition too."""
    found = consumer.committed([TopicPartition(*each) for each in places], timeout_s)
    for each in found:
        if each.error is not None:
            raise KafkaException(each.error)
    return list(found)


def _answered_offsets(
    asked: Mapping[TopicPartition, Future[Any]],
) -> Iterator[tuple[TopicPartition, int]]:
    """Offsets of partitions that have a leader. Without one Kafka may also answer a negative offset."""
    for partition, future in asked.items():
        try:
            offset = future.result().offset
        except KafkaException as error:
            if error.args[0].code() not in WITHOUT_LEADER:
                raise
        else:
            if offset >= 0:
                yield partition, offset
