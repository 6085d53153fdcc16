"""What tests share: one real Kafka a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from sandbox.kafka import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

# No test is timed: on a busy machine an example may take what it takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker for the whole session: use topics and groups of your own, don't stop it."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker
