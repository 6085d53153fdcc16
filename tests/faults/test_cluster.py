"""What is asked of a cluster of three brokers while one of them is away."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import KafkaCluster
from sandbox.processes import MAX_WAIT_S, wait_until
from tables.cluster import ClusterReader


@pytest.mark.parametrize(
    "killed", [pytest.param(1, id="short"), pytest.param(3, id="long", marks=pytest.mark.soak)]
)
def test_bounds_are_learned_from_the_leaders_that_there_are(
    cluster: KafkaCluster, killed: int
) -> None:
    name, partitions = f"asked-{killed}", 9
    topic = NewTopic(name, partitions, len(cluster.brokers))
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([topic])[name].result(30)
    reader = ClusterReader({"bootstrap.servers": cluster.bootstrap})
    asked = [(name, number) for number in range(partitions)]
    whole = dict.fromkeys(asked, (0, 0))
    assert reader.bounds(asked, 30) == whole
    for broker in cluster.brokers[:killed]:
        wait_until(cluster.is_in_sync, "all copies to be whole", timeout_s=MAX_WAIT_S)
        broker.kill()
        assert reader.bounds(asked, 30) == whole
        broker.start()
        assert reader.bounds(asked, 30) == whole
