"""analytics and takings on real Kafka and RocksDB: each payment counts once, at its restaurant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from agents.analytics import ANALYTICS
from agents.takings import takings_service
from models import ids, topics
from models.events import EventType
from models.levels import LATEST, LevelChange, LevelHistory
from models.messages import encode
from models.takings import DayTakings
from sandbox.kafka import KafkaBroker
from tables import ServiceRuntime
from tests.integration.engine_harness import COMPACTED, PARTITIONS, EngineHarness, running
from tests.support.waiting import until_true
from tests.unit.agents.test_analytics import event

E = EventType
RESTAURANTS = ("hinode-kyoto", "petra-amman")


class World(EngineHarness):
    """Both services on their real topics."""

    def __init__(self, kafka: KafkaBroker, folder: Path) -> None:
        super().__init__(kafka, folder)
        self.services = [ANALYTICS, takings_service()]  # type: ignore[list-item]
        names = (topics.PAYMENT_EVENTS, topics.RESTAURANT_TAKINGS)
        new = [NewTopic(name, PARTITIONS, 1) for name in names]
        new += [
            NewTopic(self.topic(f"{each.name}-changelog"), PARTITIONS, 1, config=COMPACTED)
            for each in self.services
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics(new).values():
            future.result(20)

    def worker(self, name: str) -> ServiceRuntime:
        runtime = self.runtime(worker=name)
        runtime.use_levels(lambda: LevelHistory((LevelChange(LATEST, 0),)))
        return runtime

    def topic(self, name: str) -> str:
        """Those of the platform have their own names."""
        return name if name in topics.TOPICS else super().topic(name)

    def tell(self, number: int, *, refunded: int = 0) -> None:
        """An order of 1000 that is paid; part of it may go back. All of it comes twice, as after a crash."""
        order_id, now_ms = ids.order_id("guest", str(number)), int(time.time() * 1000)
        told = [
            event(order_id, 1, E.PAYMENT_INITIATED, now_ms, restaurant_id=RESTAURANTS[number % 2]),
            event(order_id, 2, E.PAYMENT_PROCESSING, now_ms),
            event(order_id, 3, E.PAYMENT_COMPLETED, now_ms),
        ]
        if refunded:
            more = {"amount": refunded, "refunded_total": refunded}
            told.append(event(order_id, 4, E.PAYMENT_REFUND_PARTIAL, now_ms, **more))
        for each in (*told, *told):
            self.producer.produce(topics.PAYMENT_EVENTS, encode(each), key=order_id)
        assert self.producer.flush(20) == 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with KafkaBroker(tmp_path / "kafka") as broker:
        yield World(broker, tmp_path)


def sums_of(runtime: ServiceRuntime, restaurant: str) -> DayTakings:
    """Over its days: it may be midnight."""
    record = runtime.tables["takings"].get(restaurant)
    days = record.state.days.values() if record else ()
    sums = [day["INR"] for day in days]
    fields = ("orders", "gross", "refunded")
    return DayTakings(**{name: sum(getattr(each, name) for each in sums) for name in fields})


async def test_each_payment_counts_once_at_its_restaurant(world: World) -> None:
    async with running(world.worker("first")) as runtime:
        for number in range(20):
            world.tell(number)
        wanted = DayTakings(orders=10, gross=10_000)
        for each in RESTAURANTS:
            await until_true(lambda r=each: sums_of(runtime, r) == wanted, f"all of {each}")
    for number in range(20, 30):
        world.tell(number, refunded=300)
    async with running(world.worker("another")) as runtime:
        wanted = DayTakings(orders=15, gross=15_000, refunded=1_500)
        for each in RESTAURANTS:
            await until_true(lambda r=each: sums_of(runtime, r) == wanted, f"all of {each}")
        told = {
            (m.key(), dict(m.headers())["tiffin-source"])
            for m in world.read(topics.RESTAURANT_TAKINGS)
        }
    assert len(told) == 40, "one record when an order is paid, and one of each refund"
