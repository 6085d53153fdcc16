"""What tests share: one real Kafka a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.kafka import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker for the whole session: use topics and groups of your own, don't stop it."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker
