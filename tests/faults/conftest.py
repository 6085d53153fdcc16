"""One cluster of three brokers for all tests that kill brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.kafka import KafkaCluster
from sandbox.processes import MAX_WAIT_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with KafkaCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster(running_cluster: KafkaCluster) -> KafkaCluster:
    """All of it up and in sync; use topics and groups of your own, and leave no broker down."""
    wait_until(running_cluster.is_in_sync, "all copies to be whole", timeout_s=MAX_WAIT_S)
    return running_cluster
