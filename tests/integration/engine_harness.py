"""A small world for the engine's tests: topics on real Kafka, services, a worker in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from models.transition import Decision, Input, Outcome, Output
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S
from tables import Limits, ServiceRuntime, StoredRecord, make_app
from tests.support.engine_services import ToyService
from tests.support.waiting import until_true

PARTITIONS = 3
TIMEOUT_S = MAX_WAIT_S


class SummingService(ToyService):
    """Adds up what it is told; a command has an outcome, `poison` raises, `close` is terminal."""

    def __init__(self, name: str, inputs: Sequence[str], outputs: str) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = outputs

    def load(self, raw: Any) -> Any:
        return raw or {"sum": 0, "sequence": 0, "closed": False, "notes": ""}

    def has_ended(self, state: Any) -> bool:
        return bool(state["closed"])

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        if record.message.get("poison"):
            raise ValueError("poison")
        new = {
            "sum": state["sum"] + record.message.get("add", 0),
            "sequence": state["sequence"] + 1,
            "closed": record.message.get("close", False),
            "notes": state["notes"] + record.message.get("note", ""),
        }
        event = {
            "id": f"{self.name}-{record.identity.id}",
            "producer": self.name,
            "sequence": new["sequence"],
            "add": record.message.get("add", 0),
        }
        line = f"{record.key}/{new['sequence']:04d}"
        assert read(line) is None
        outcome = Outcome(accepted=True, positions={self.outputs: new["sequence"]})
        outputs = [Output(self.outputs, record.key, orjson.dumps(event), record.headers)]
        return Decision(new, outputs, {line: record.identity.id.encode()}, outcome)


COMPACTED = {"cleanup.policy": "compact"}


class EngineHarness:
    """Topics of one test and its worker; started again as often as the test wants."""

    def __init__(self, kafka: KafkaBroker, folder: Path) -> None:
        self.bootstrap = kafka.bootstrap
        self.folder = folder
        self.name = f"engine{uuid.uuid4().hex[:8]}"
        self.services = [
            SummingService(
                "first", [self.topic("commands"), self.topic("shared")], self.topic("events")
            ),
            SummingService(
                "second", [self.topic("events"), self.topic("shared")], self.topic("sums")
            ),
        ]
        topics = [
            NewTopic(self.topic(n), PARTITIONS, 1) for n in ["commands", "shared", "events", "sums"]
        ]
        # Known before the worker asks: one that makes them joins its group again once it hears of them.
        topics += [
            NewTopic(self.topic(f"{each.name}-changelog"), PARTITIONS, 1, config=COMPACTED)
            for each in self.services
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics([*topics, NewTopic(self.topic("dlq"), 1, 1)]).values():
            future.result(20)
        self.producer = Producer(
            {"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random"}
        )

    def topic(self, name: str) -> str:
        return f"{self.name}-{name}"

    def send(self, topic: str, key: str | bytes | None, value: Any) -> None:
        """Send a message, as JSON unless it is bytes; returns once Kafka has it."""
        raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
        headers = [("traceparent", b"00-trace")]
        self.producer.produce(self.topic(topic), raw, key=key, headers=headers)
        assert self.producer.flush(20) == 0

    def runtime(
        self,
        services: Sequence[Any] | None = None,
        *,
        worker: str = "this-worker",
        standbys: int = 0,
        **limits: Any,
    ) -> ServiceRuntime:
        app = make_app(
            self.name,
            broker=f"kafka://{self.bootstrap}",
            datadir=self.folder / worker,
            partitions=PARTITIONS,
            commit_interval_s=0.2,
            web_enabled=False,
            canonical_url=f"http://{worker}:8080",
            standby_replicas=standbys,
        )
        return ServiceRuntime(
            app,
            services or self.services,
            dead_letter_topic=self.topic("dlq"),
            partitions=PARTITIONS,
            limits=Limits(**limits),
        )

    def read(self, topic: str, partitions: int = PARTITIONS) -> list[Any]:
        """All messages of a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        wanted = [TopicPartition(self.topic(topic), p, 0) for p in range(partitions)]
        ends = [consumer.get_watermark_offsets(tp, timeout=MAX_WAIT_S)[1] for tp in wanted]
        consumer.assign(wanted)
        found: list[Any] = []
        deadline = time.monotonic() + MAX_WAIT_S
        while len(found) < sum(ends) and time.monotonic() < deadline:
            found += consumer.consume(500, 0.1)
        consumer.close()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def committed(self, topic: str) -> dict[int, int]:
        """Partition -> the group's committed offset, of those that have one."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name})
        wanted = [TopicPartition(self.topic(topic), p) for p in range(PARTITIONS)]
        found = {tp.partition: tp.offset for tp in consumer.committed(wanted, timeout=MAX_WAIT_S)}
        consumer.close()
        return {partition: offset for partition, offset in found.items() if offset >= 0}


@asynccontextmanager
async def running(runtime: ServiceRuntime) -> AsyncIterator[ServiceRuntime]:
    """The worker, ready; stopped in good order."""
    app = runtime.app
    app.finalize()
    await app.start()
    try:
        await until_true(runtime.ready, "the worker to be ready")
        yield runtime
    finally:
        await app.stop()


def reached(number: int) -> Callable[[StoredRecord | None], bool]:
    return lambda record: record is not None and record.state["sequence"] >= number
