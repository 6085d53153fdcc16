"""What is asked of a cluster of three brokers while one of them is away."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import KafkaCluster
from sandbox.processes import MAX_WAIT_S, wait_until
from tables.cluster import ClusterReader

PARTITIONS = [("asked", number) for number in range(9)]


def test_bounds_are_learned_from_the_leaders_that_there_are(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path) as cluster:
        topic = NewTopic("asked", len(PARTITIONS), len(cluster.brokers))
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([topic])["asked"].result(30)
        reader = ClusterReader({"bootstrap.servers": cluster.bootstrap})
        whole = dict.fromkeys(PARTITIONS, (0, 0))
        assert reader.bounds(PARTITIONS, 30) == whole
        for broker in cluster.brokers:
            wait_until(cluster.is_in_sync, "all copies to be whole", timeout_s=MAX_WAIT_S)
            broker.kill()
            assert reader.bounds(PARTITIONS, 30) == whole
            broker.start()
            assert reader.bounds(PARTITIONS, 30) == whole
