"""A delivered order on real Kafka and RocksDB, swept by the engine: what it takes, and what it still knows."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from agents import services
from models.times import DAY_MS
from sandbox.kafka import KafkaBroker
from tables import ServiceRuntime
from tables.record import DUE
from tables.table_index import index_keys
from tests.compatibility import stored
from tests.integration.engine_harness import COMPACTED, PARTITIONS, EngineHarness, running
from tests.support.ended_order import LAST_MS, delivered_order, inputs_of, swept_order
from tests.support.kafka_topics import read_all
from tests.support.waiting import until_true

MAX_ORDER_BYTES = 3_000
"""Of a delivered order in all tables, 30 days after its end."""
REPEATED = 30
"""Times that each command comes again: the first few have offsets at which others were decided."""

COMMANDS = {
    "order-commands": "orders", "payment-commands": "payments", "delivery-commands": "deliveries",
}  # fmt: skip


class World(EngineHarness):
    """All services on their real topics, whose names are in records; the changelogs have a delivered order."""

    def __init__(self, kafka: KafkaBroker, folder: Path) -> None:
        super().__init__(kafka, folder)
        self.order_id, self.kept = delivered_order()
        self.services: list[Any] = list(services())
        names = {topic for each in self.services for topic in each.inputs}
        new = [NewTopic(name, PARTITIONS, 1) for name in names]
        new += [
            NewTopic(self.topic(f"{each.name}-changelog"), PARTITIONS, 1, config=COMPACTED)
            for each in self.services
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics(new).values():
            future.result(20)
        for name, kept in self.kept.items():
            self.send(f"{name}-changelog", self.order_id, kept.tables[self.key])

    @property
    def key(self) -> bytes:
        return self.order_id.encode()

    def records(self, runtime: ServiceRuntime) -> dict[str, bytes]:
        """What RocksDB holds of the order, by service."""
        return {name: self.database(runtime, name).get(self.key) for name in self.kept}

    def database(self, runtime: ServiceRuntime, name: str) -> Any:
        table: Any = runtime.app.tables[name]
        return table.database(runtime.tables[name].partition_of(self.order_id))

    def changelog(self, name: str) -> list[bytes]:
        """All that was written of the order, in order."""
        found = read_all(self.bootstrap, self.topic(f"{name}-changelog"))
        return [each.value for each in found if each.key == self.key]

    def repeat_commands(self) -> Tally[str]:
        """Send all commands of the order again; gives how many each service gets."""
        recording = stored.load(stored.names()[-1])
        producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random"})
        sent = Tally[str]()
        for command in inputs_of(recording, self.key).values():
            if service := COMMANDS.get(command.topic):
                sent[service] += REPEATED
                for _ in range(REPEATED):
                    producer.produce(command.topic, command.value, command.key)
        assert producer.flush(20) == 0
        return sent


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with KafkaBroker(tmp_path / "kafka") as broker:
        yield World(broker, tmp_path)


def size_of(world: World, records: dict[str, bytes]) -> int:
    return sum(len(world.key) + len(raw) for raw in records.values())


async def test_a_delivered_order_takes_3_kb_in_the_end_and_no_command_acts_twice(
    world: World,
) -> None:
    wanted = {name: kept.tables[world.key] for name, kept in swept_order(31)[1].items()}
    runtime = world.runtime()
    days = 0.0
    async with running(runtime):
        before = world.records(runtime)
        runtime.remove_due_by(lambda: int(LAST_MS + days * DAY_MS))
        assert size_of(world, before) > MAX_ORDER_BYTES
        days = 31
        await until_true(
            lambda: size_of(world, world.records(runtime)) <= MAX_ORDER_BYTES, "the sweep"
        )
        await until_true(lambda: not _due(world, runtime, LAST_MS + 31 * DAY_MS), "all that is due")
        swept = world.records(runtime)
        assert {name: len(raw) for name, raw in swept.items()} == pytest.approx(
            {name: len(raw) for name, raw in wanted.items()}, abs=8
        ), "as the same code leaves it in memory; epochs differ"
        for name, raw in swept.items():
            assert world.changelog(name)[-1] == raw, "owner and changelog agree"
        sent = world.repeat_commands()
        for name, count in sent.items():
            counters = runtime.counters[name]
            await until_true(
                lambda c=counters, n=count: c.redelivered + c.duplicates == n, f"{name} to know all"
            )
            assert counters.decided == counters.outputs == 0
        order = runtime.tables["orders"].get(world.order_id)
        assert order is not None
        assert not order.outcomes
        assert order.state.placed.contact, "for disputes, and for a refund's mail"
        days = 181
        await until_true(lambda: not _due(world, runtime, LAST_MS + 181 * DAY_MS), "the contact")
        order = runtime.tables["orders"].get(world.order_id)
        assert order is not None
        assert order.state.placed.contact is order.state.placed.address is None
    another = world.runtime(worker="another-worker")
    another.remove_due_by(lambda: int(LAST_MS + days * DAY_MS))
    async with running(another):
        left = world.records(another)
        rows = {name: len(world.changelog(name)) for name in left}
        assert {name: world.changelog(name)[-1] for name in left} == left
        await until_true(lambda: not _unwalked(another, world), "the walk")
        assert {name: len(world.changelog(name)) for name in left} == rows, "nothing is swept twice"


def _due(world: World, runtime: ServiceRuntime, now_ms: int) -> list[str]:
    return [
        f"{name} {entry}"
        for name in world.kept
        for entry in index_keys(world.database(runtime, name), DUE)
        if int(entry.partition("/")[0], 16) <= now_ms
    ]


def _unwalked(runtime: ServiceRuntime, world: World) -> list[str]:
    return [
        name
        for name in world.kept
        if name != "analytics"
        and b'"after":null' not in (world.database(runtime, name).get(b"\0retained") or b"")
    ]
