"""A recovered table has all of its changelog, whatever gets lost on the way from Kafka to RocksDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.kafka import KafkaBroker
from tables import ServiceRuntime
from tables.table_index import INDEX_PREFIX, INDEXED_KEY, mark
from tests.integration.engine_harness import (
    PARTITIONS,
    TIMEOUT_S,
    EngineHarness,
    reached,
    running,
)
from tests.support.kafka_topics import read_all

INPUTS = 150


@pytest.fixture
def world(kafka: KafkaBroker, tmp_path: Path) -> EngineHarness:
    return EngineHarness(kafka, tmp_path)


def made_to_lose(runtime: ServiceRuntime, changelog: str, first: int, count: int) -> list[int]:
    """Have the worker's consumer leave batches out of what it fetched, once; gives where they begin."""
    lost: list[int] = []
    wanted = {*range(first, first + count)}
    transport: Any = runtime.app.transport

    class Losing(transport.Consumer):
        async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
            found = await super()._getmany(active_partitions, timeout)
            for tp, runs in found.items():
                if tp.topic == changelog:
                    met = [run for run in runs if {*range(run.first, run.next_offset)} & wanted]
                    gone = [run for run in met if run.first not in lost]
                    lost.extend(run.first for run in gone)
                    runs[:] = [run for run in runs if run not in gone]
            return found

    transport.Consumer = Losing
    return lost


async def fill(world: EngineHarness) -> int:
    """Have one key decide its inputs; gives the end of its partition's changelog."""
    async with running(world.runtime(worker="earlier")) as runtime:
        for number in range(INPUTS):
            world.send("commands", "k", {"id": f"c{number}", "add": number})
        await runtime.tables["first"].wait("k", reached(INPUTS), TIMEOUT_S)
    return len([r for r in changelog_of(world) if r.partition == partition_of(runtime)])


def changelog_name(world: EngineHarness) -> str:
    return f"{world.name}-first-changelog"


def changelog_of(world: EngineHarness) -> list[Any]:
    return read_all(world.bootstrap, changelog_name(world), PARTITIONS)


def partition_of(runtime: ServiceRuntime) -> int:
    return runtime.tables["first"].partition_of("k")


@pytest.mark.parametrize("from_end", [40, 5], ids=["in the middle", "at the end"])
async def test_records_lost_in_a_recovery_are_read_again(
    world: EngineHarness, from_end: int
) -> None:
    end = await fill(world)
    runtime = world.runtime(worker="another")
    # The last record of all is the fence of the worker that recovers.
    lost = made_to_lose(runtime, changelog_name(world), end + 1 - from_end, min(from_end, 20))
    async with running(runtime):
        assert lost
        record = await runtime.tables["first"].wait("k", reached(INPUTS), TIMEOUT_S)
        assert record is not None
        assert record.state["sum"] == sum(range(INPUTS))
        table: Any = runtime.app.tables["first"]
        stored = dict(table.database(partition_of(runtime)).items())
        assert stored.pop(INDEXED_KEY) == mark(stored[table.offset_key])
        stored = {key: value for key, value in stored.items() if not key.startswith(INDEX_PREFIX)}
    has = int(stored.pop(table.offset_key))
    assert stored == {
        record.key: record.value
        for record in changelog_of(world)
        if record.partition == partition_of(runtime) and record.offset <= has
    }
