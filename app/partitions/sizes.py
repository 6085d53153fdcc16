"""How much a raise would copy. Blocks."""

import agents
from app.kafka.security import KafkaSecurity
from app.partitions.plan import copies
from app.partitions.state import read_generation
from app.settings import Settings
from models.generations import Generation
from tables.cluster import ClusterReader

TIMEOUT_S = 15.0


def rows_to_copy(settings: Settings, partitions: int) -> dict[str, int]:
    """Offsets of each topic and changelog that is there. Raises KafkaException, KafkaError, TimeoutError."""
    old = read_generation(settings)
    security = KafkaSecurity.of(settings)
    cluster = ClusterReader(
        {"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()}
    )
    wanted = copies(agents.services(), settings.app_id, old, Generation(old.number + 1, partitions))
    places = sorted(cluster.partitions({copy.old for copy in wanted}, TIMEOUT_S))
    bounds = cluster.bounds(places, TIMEOUT_S)
    rows: dict[str, int] = {}
    for (topic, _), (start, end) in bounds.items():
        rows[topic] = rows.get(topic, 0) + end - start
    return rows
