"""A record that ends the worker each time it is taken ends it three times, no more: then it is left alone."""

from __future__ import annotations

from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from sandbox.kafka import KafkaBroker
from sandbox.processes import wait_until
from tables.worker_exit import EXIT_FAULT, FAILURES_FILE, MAX_FAILURES_AT_ONE_OFFSET, FailureLog
from tests.faults.engine_run import Run


def limit_messages(run: Run, topic: str, size: int) -> None:
    """Have Kafka refuse larger messages in this topic than the engine knows of."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def ids_in(run: Run, topic: str, partition: int) -> set[str]:
    consumer = Consumer({"bootstrap.servers": run.bootstrap, "group.id": f"{run.name}-test"})
    try:
        place = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([place])
        found: list[bytes] = []
        while len(found) < end:
            found += [message.value() for message in consumer.consume(100, 1.0)]
        return {orjson.loads(value)["id"].split(":")[1] for value in found}
    finally:
        consumer.close()


def test_a_record_that_ends_the_worker_each_time_stops_its_partition_alone(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    with Run(kafka.bootstrap, tmp_path) as run:
        limit_messages(run, run.services[0].outputs, 2000)
        producer = Producer({"bootstrap.servers": run.bootstrap})

        def send(name: str, partition: int, header: bytes = b"") -> None:
            value = orjson.dumps({"id": name})
            topic = run.outside_topics[0]
            producer.produce(
                topic, value, key=f"k{partition}", partition=partition, headers=[("h", header)]
            )
            assert producer.flush(30) == 0

        send("before", 0)
        send("too-large", 0, b"x" * 3000)  # the event bears it on
        send("behind", 0)
        worker = run.worker(0)
        log = run.workers[0].log_path
        wait_until(
            lambda: "a partition is stopped" in log.read_text(), "it to be stopped", timeout_s=300
        )
        send("elsewhere", 1)
        wait_until(
            lambda: "elsewhere" in ids_in(run, run.services[0].outputs, 1),
            "another partition to go on",
            timeout_s=120,
        )
        # The first time it is not known which of a group it was.
        assert len(worker.exits) in {MAX_FAILURES_AT_ONE_OFFSET, MAX_FAILURES_AT_ONE_OFFSET + 1}
        assert set(worker.exits) == {EXIT_FAULT}
        # Once the cause is mended the partition is tried again, and nothing of it was lost.
        limit_messages(run, run.services[0].outputs, 1_000_000)
        FailureLog(run.datadir(0) / FAILURES_FILE).clear(run.services[0].name, 0)
        assert worker.terminate() == 0
        run.worker(0)
        wait_until(
            lambda: ids_in(run, run.services[0].outputs, 0) == {"before", "too-large", "behind"},
            "the partition to go on",
            timeout_s=120,
        )
