"""What the engine counts on in every service, also for a key whose first input is turned away."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import agents
from agents.service import topic_uses
from models.topics import ORDER_AUDIT, PAYMENT_COMMANDS, PAYMENT_EVENTS, TOPICS, TopicUse
from tests.e2e import expected_topics

SERVICES = agents.services()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_state_of_a_key_never_seen_can_be_stored(service: Any) -> None:
    dumped = orjson.dumps(service.dump(service.load(None)))
    assert orjson.dumps(service.dump(service.load(orjson.loads(dumped)))) == dumped
    assert set(service.inputs) <= set(TOPICS)


def test_topics_are_written_and_read_by_whom_the_declarations_say() -> None:
    pinned = [service for service in SERVICES if service.name in expected_topics.SERVICES]
    uses = {use.topic.name: use for use in topic_uses(pinned)}
    assert list(uses) == list(TOPICS)
    topic = TOPICS.__getitem__
    assert uses[PAYMENT_COMMANDS] == TopicUse(
        topic(PAYMENT_COMMANDS), ("orders", "web", "effects", "reconciler"), ("payments",)
    )
    assert uses[PAYMENT_EVENTS] == TopicUse(
        topic(PAYMENT_EVENTS), ("payments", "orders"), ("orders", "analytics", "timeline")
    )
    assert uses[ORDER_AUDIT] == TopicUse(
        topic(ORDER_AUDIT),
        ("payments", "orders", "deliveries", "notifications", "operators"),
        ("timeline",),
    )
