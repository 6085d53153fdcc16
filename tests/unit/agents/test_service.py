"""What the engine counts on in every service, also for a key whose first input is turned away."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import agents
from models.topics import TOPICS, inputs_of

SERVICES = [getattr(agents, name)() for name in agents.__all__]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_state_of_a_key_never_seen_can_be_stored(service: Any) -> None:
    dumped = orjson.loads(orjson.dumps(service.dump(service.load(None))))
    assert service.dump(service.load(dumped)) == service.dump(service.load(None))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_reads_what_the_registry_says(service: Any) -> None:
    assert service.inputs == inputs_of(service.name)
    assert set(service.inputs) <= set(TOPICS)
