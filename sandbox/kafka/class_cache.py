"""Java's cache of Kafka's loaded and linked classes: with it a broker starts in half the processor time.

A broker that works a little and ends leaves it behind (JEP 514). Java itself leaves it alone once the
jars or Java are others; a broker without it only starts more slowly.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka.broker import CLASS_CACHE, BrokerError, KafkaBroker
from sandbox.processes import MAX_WAIT_S

TOPIC = "training"


class _TrainedBroker(KafkaBroker):
    """Writes down at its end what it has loaded."""

    stop_timeout_s = MAX_WAIT_S

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self._jvm_options = (*self._jvm_options, f"-XX:AOTCacheOutput={cache}")


def make_class_cache() -> Path:
    """Make it anew; gives the file. Raises BrokerError and JarError."""
    CLASS_CACHE.unlink(missing_ok=True)
    CLASS_CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CLASS_CACHE.parent) as folder:
        draft = Path(folder, CLASS_CACHE.name)
        with _TrainedBroker(Path(folder, "kafka"), draft) as broker:
            _train(broker.bootstrap)
        if not draft.exists():
            raise BrokerError(f"Java made no {CLASS_CACHE.name}")
        draft.rename(CLASS_CACHE)
    return CLASS_CACHE


def _train(bootstrap: str) -> None:
    """Have the broker do what workers ask of it: a topic, a transaction, a group's offset."""
    servers = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin = AdminClient(servers)
    admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(MAX_WAIT_S)
    producer = Producer({**servers, "transactional.id": TOPIC})
    producer.init_transactions(MAX_WAIT_S)
    producer.begin_transaction()
    producer.produce(TOPIC, b"record", key=b"key")
    producer.commit_transaction(MAX_WAIT_S)
    consumer = Consumer({**servers, "group.id": TOPIC, "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    try:
        for message in consumer.consume(1, MAX_WAIT_S):
            consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()
