"""What a topic's configuration at the broker comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.payments import PAYMENTS
from app.kafka.topics import topic_config
from models.topics import TOPICS
from tables import ServiceRuntime, make_app


@pytest.mark.parametrize("name", TOPICS)
def test_no_record_counts_as_sent_while_one_of_three_replicas_alone_has_it(name: str) -> None:
    assert topic_config(TOPICS[name], 3)["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in topic_config(TOPICS[name], 1), (
        "one broker has no second one"
    )
    assert topic_config(TOPICS[name], 3)["cleanup.policy"] == "delete"


@pytest.mark.parametrize("name", TOPICS)
def test_kafka_stamps_every_record_itself(name: str) -> None:
    assert topic_config(TOPICS[name], 1)["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize(("replicas", "wanted"), [(1, None), (2, None), (3, 2)])
def test_changelogs_too_are_at_two_replicas_before_they_count(
    tmp_path: Path, replicas: int, wanted: int | None
) -> None:
    app = make_app(
        "a", broker="kafka://127.0.0.1:1", datadir=tmp_path, partitions=3, replication=replicas
    )
    ServiceRuntime(app, [PAYMENTS], dead_letter_topic="dlq", partitions=3)
    config = app.tables["payments"].changelog_topic.config or {}
    assert config.get("min.insync.replicas") == wanted
    assert config["max.message.bytes"] > 0
    assert config["message.timestamp.type"] == "LogAppendTime"
