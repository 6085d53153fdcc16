"""What a worker is told of Kafka while brokers come and go."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection

from tables.cluster import ClusterReader

PARTITION = ("topic", 0)
AGAIN = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError._NOENT,
    KafkaError._TIMED_OUT,
)
NO_COORDINATOR = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
ERRORS = {*AGAIN, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}


class Brokers:
    """Gives one of `answers` after the other: an offset, a topic's id, or an error's code."""

    def __init__(self, *answers: int) -> None:
        self._answers = list(answers)

    def list_topics(self, *, timeout: float) -> None:
        assert timeout > 0

    def list_offsets(self, requests: dict[Any, Any], *, request_timeout: float) -> dict[Any, Any]:
        assert request_timeout > 0
        futures = {}
        for partition in requests:
            futures[partition] = self._answer("offset")
        return futures

    def describe_cluster(self, *, request_timeout: float) -> Future[Any]:
        assert request_timeout > 0
        future: Future[Any] = Future()
        future.set_result(SimpleNamespace(cluster_id="cluster"))
        return future

    def describe_topics(self, topics: TopicCollection, *, request_timeout: float) -> dict[str, Any]:
        assert request_timeout > 0
        return {name: self._answer("topic_id") for name in topics.topic_names}

    def _answer(self, name: str) -> Future[Any]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        future: Future[Any] = Future()
        if answer in ERRORS:
            future.set_exception(KafkaException(KafkaError(answer)))
        else:
            future.set_result(SimpleNamespace(**{name: answer}))
        return future


class GroupConsumer:
    """Gives one of `answers` after the other: an offset, or an error's code."""

    def __init__(self, *answers: int) -> None:
        self._answers = list(answers)

    def committed(self, places: list[Any], timeout_s: float) -> list[Any]:
        assert timeout_s > 0
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer in NO_COORDINATOR or answer in ERRORS:
            raise KafkaException(KafkaError(answer))
        return [
            SimpleNamespace(topic=each.topic, partition=each.partition, offset=answer, error=None)
            for each in places
        ]


def committed(*answers: int, timeout_s: float = 20) -> dict[tuple[str, int], int | None]:
    made, consumer = ClusterReader({}), GroupConsumer(*answers)
    kept: dict[str, Any] = {"group": consumer}
    made._group_consumers = kept
    return made.committed("group", [PARTITION], timeout_s)


def reader(*answers: int) -> ClusterReader:
    made = ClusterReader({"bootstrap.servers": "127.0.0.1:1"})
    brokers: Any = Brokers(*answers)
    made.client = brokers
    return made


@pytest.mark.parametrize("none", [-1002, -1, *AGAIN])
def test_bounds_are_asked_for_again_while_there_is_no_leader(none: int) -> None:
    """With three brokers of which one is killed Kafka was seen to give an end of -1002."""
    assert reader(none, none, 40, 70).bounds([PARTITION], 20) == {PARTITION: (40, 70)}
    assert reader(40, none, none, 70).bounds([PARTITION], 20) == {PARTITION: (40, 70)}


def test_bounds_that_never_come_are_no_bounds() -> None:
    with pytest.raises(TimeoutError, match="topic/0 has no leader"):
        reader(-1002).bounds([PARTITION], 0.2)


def test_what_is_not_allowed_is_not_asked_for_again() -> None:
    with pytest.raises(KafkaException, match="authorization"):
        reader(KafkaError.TOPIC_AUTHORIZATION_FAILED).bounds([PARTITION], 20)


def test_a_topic_just_made_is_asked_for_again() -> None:
    """A broker does not know at once what another has made."""
    unknown = KafkaError.UNKNOWN_TOPIC_OR_PART
    assert reader(unknown, unknown, 70).ids(["topic"], 20).topics == {"topic": "70"}
    with pytest.raises(KafkaException, match="Unknown topic"):
        reader(unknown).ids(["topic"], 0.2)
    with pytest.raises(KafkaException, match="authorization"):
        reader(KafkaError.TOPIC_AUTHORIZATION_FAILED, 70).ids(["topic"], 20)


@pytest.mark.parametrize("none", NO_COORDINATOR)
def test_a_groups_offsets_are_asked_for_again_while_it_has_no_coordinator(none: int) -> None:
    """As at the first start at a new Kafka, where a worker ended with NOT_COORDINATOR and started again."""
    assert committed(none, none, 7) == {PARTITION: 7}
    assert committed(none, -1001) == {PARTITION: None}
    with pytest.raises(KafkaException):
        committed(none, timeout_s=0.2)
    with pytest.raises(KafkaException, match="authorization"):
        committed(KafkaError.TOPIC_AUTHORIZATION_FAILED, 7)
