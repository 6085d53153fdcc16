"""What a topic's configuration at the broker comes to."""

from __future__ import annotations

import pytest

from app.kafka.topics import topic_config
from models.topics import TOPICS


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
