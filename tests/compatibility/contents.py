"""What a platform left in Kafka and in RocksDB, read for a recording."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from rocksdict import AccessType, Options, Rdict

from sandbox.processes import MAX_WAIT_S
from tests.compatibility.adapter import SERVICES
from tests.compatibility.day import BY_HAND
from tests.compatibility.stored import CHANGELOG, DEAD_LETTERS, Stored


def read_topic(bootstrap: str, topic: str) -> list[Stored]:
    """All records of a topic, partition by partition."""
    return sorted(_read_topic(bootstrap, topic), key=lambda r: (r.partition, r.offset))


def _read_topic(bootstrap: str, topic: str) -> Iterator[Stored]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"recorder-{uuid.uuid4()}"})
    try:
        known = consumer.list_topics(topic, timeout=MAX_WAIT_S).topics[topic]
        places = [TopicPartition(topic, partition, 0) for partition in known.partitions]
        marks = [consumer.get_watermark_offsets(place, timeout=MAX_WAIT_S) for place in places]
        assert not any(low for low, _ in marks), f"{topic} has lost its first records"
        left = sum(high for _, high in marks)
        consumer.assign(places)
        while left:
            (record,) = consumer.consume(1, timeout=MAX_WAIT_S)
            assert record.error() is None, record.error()
            left -= 1
            headers = tuple(record.headers() or ())
            place = (record.partition(), record.offset(), record.timestamp()[1])
            by = () if topic.endswith(CHANGELOG) else _by(topic, record.partition(), headers)
            yield Stored(topic, *place, record.key(), record.value(), headers, by)
    finally:
        consumer.close()


def _by(topic: str, partition: int, headers: tuple[tuple[str, Any], ...]) -> Any:
    """The service that sent a record, and for which of its partitions."""
    told = {name: value.decode(errors="replace") for name, value in headers if value is not None}
    if topic == DEAD_LETTERS:
        is_letter = "tiffin-service" in told and "tiffin-marker" not in told
        return (
            (told["tiffin-service"], int(told["kafka_dlt-original-partition"])) if is_letter else ()
        )
    name = told.get("ce_source", "").removeprefix("/tiffin/")
    is_services = name in SERVICES and BY_HAND[0] not in told and "tiffin-redrive" not in told
    return (name, partition) if is_services else ()


def read_tables(folder: Path) -> dict[str, dict[int, dict[bytes, bytes]]]:
    """What RocksDB holds: service -> partition -> key -> value."""
    tables: dict[str, dict[int, dict[bytes, bytes]]] = {}
    for path in sorted(folder.glob("**/*.db")):
        service, _, partition = path.stem.rpartition("-")
        database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
        found = {bytes(key): bytes(value) for key, value in database.items()}
        tables.setdefault(service, {})[int(partition)] = found
        database.close()
    return tables
