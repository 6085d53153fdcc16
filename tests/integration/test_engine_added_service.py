"""A rolling deployment adds a service: workers with it and workers without are in one group for a while."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import KafkaBroker
from tables import ServiceRuntime
from tests.integration.engine_harness import (
    COMPACTED,
    PARTITIONS,
    EngineHarness,
    SummingService,
    running,
)
from tests.support.waiting import until_true

KEYS = [f"key-{number}" for number in range(12)]


@pytest.fixture
def world(kafka: KafkaBroker, tmp_path: Path) -> EngineHarness:
    return EngineHarness(kafka, tmp_path)


@pytest.fixture
def added(world: EngineHarness) -> SummingService:
    """A service that reads a topic that others read already, and one that is as new as itself."""
    topics = [NewTopic(world.topic(name), PARTITIONS, 1) for name in ("asked", "told")]
    topics.append(NewTopic(world.topic("added-changelog"), PARTITIONS, 1, config=COMPACTED))
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    for future in admin.create_topics(topics).values():
        future.result(20)
    inputs = [world.topic("shared"), world.topic("asked")]
    return SummingService("added", inputs, world.topic("told"))


def sums(workers: Sequence[ServiceRuntime], table: str) -> dict[str, int]:
    """Key -> its sum, of keys that one of the workers answers for."""
    tables = [worker.tables[table] for worker in workers if table in worker.tables]
    records = {key: t.get(key) for key in KEYS for t in tables if t.owns(key)}
    return {key: record.state["sum"] for key, record in records.items() if record is not None}


@pytest.mark.parametrize("leads", ["older", "newer"])
async def test_both_builds_go_on_and_the_service_has_everything_in_the_end(
    world: EngineHarness, added: SummingService, leads: str
) -> None:
    def worker(build: str) -> ServiceRuntime:
        services = world.services if build == "older" else [*world.services, added]
        return world.runtime(services, worker=build, standbys=1)

    older, newer = worker("older"), worker("newer")
    async with AsyncExitStack() as newers, AsyncExitStack() as olders:
        for each in (older, newer) if leads == "older" else (newer, older):
            await (newers if each is newer else olders).enter_async_context(running(each))
        await until_true(lambda: older.ready() and newer.ready(), "both to be ready")
        for key in KEYS:
            world.send("shared", key, {"id": f"shared-{key}", "add": 1})
        ones, elevens = dict.fromkeys(KEYS, 1), dict.fromkeys(KEYS, 11)
        await until_true(lambda: sums([older, newer], "first") == ones, "the service of before")
        await olders.aclose()
        await until_true(newer.ready, "the newer to have all partitions")
        for key in KEYS:
            world.send("asked", key, {"id": f"asked-{key}", "add": 10})
        await until_true(lambda: sums([newer], "added") == elevens, "what came before it, too")
        assert sums([newer], "first") == ones
