"""Records that Faust steps over are asked for again, and those that expired are counted as lost.

Faust does so around rebalances, now and then; here the consumer is made to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.fetcher import Fetcher
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from sandbox.kafka import KafkaBroker
from tables import ServiceRuntime
from tests.integration.engine_harness import PARTITIONS, TIMEOUT_S, EngineHarness, running
from tests.support.waiting import until_true

NEVER_S = 3600.0
BOTH = ("first", "second")
"""Both services read `shared`, through the one consumer of their worker."""


@pytest.fixture
def world(kafka: KafkaBroker, tmp_path: Path) -> EngineHarness:
    return EngineHarness(kafka, tmp_path)


class Steps:
    """Ids of messages that the consumer steps over, and how often it does."""

    def __init__(self) -> None:
        self.over = ""
        self.times = 1
        self.done: Tally[str] = Tally()

    def keep(self, record: Any) -> bool:
        id_ = orjson.loads(record.value)["id"]
        if id_ not in self.over or self.done[id_] == self.times:
            return True
        self.done[id_] += 1
        return False


def made_to_step(runtime: ServiceRuntime, topic: str) -> Steps:
    """Have the worker's consumer leave records out of what it fetched; its position is past them."""
    steps = Steps()
    transport: Any = runtime.app.transport

    class Stepping(transport.Consumer):
        async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
            found = await super()._getmany(active_partitions, timeout)
            return {
                tp: [record for record in records if tp.topic != topic or steps.keep(record)]
                for tp, records in found.items()
            }

    transport.Consumer = Stepping
    return steps


def made_to_leap(runtime: ServiceRuntime, to: Mapping[TP, int]) -> None:
    """Have the worker's consumer begin there, wherever the tasks say that they are."""
    transport: Any = runtime.app.transport

    class Leaping(transport.Consumer):
        async def perform_seek(self) -> None:
            await super().perform_seek()
            await self.seek_to(to)

    transport.Consumer = Leaping


def send_notes(world: EngineHarness, notes: str, *, key: str = "k") -> None:
    for note in notes:
        world.send("shared", key, {"id": note, "note": note})


async def took(runtime: ServiceRuntime, notes: str, *, key: str = "k") -> None:
    """Wait until both services have decided a key's inputs: these, each once and in order."""
    for name in BOTH:
        table = runtime.tables[name]
        # The second service also counts the first one's events, which bear no notes.
        record = await table.wait(
            key, lambda r: r is not None and len(r.state["notes"]) >= len(notes), TIMEOUT_S
        )
        assert record is not None
        assert record.state["notes"] == notes
        assert runtime.counters[name].duplicates == 0


def asked_again(runtime: ServiceRuntime) -> list[bool]:
    return [runtime.counters[name].holes > 0 for name in BOTH]


def expire(world: EngineHarness, partition: int, before: int) -> None:
    """Do what retention does: drop the first records of a partition of `shared`."""
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    wanted = TopicPartition(world.topic("shared"), partition, before)
    for future in admin.delete_records([wanted]).values():
        assert future.result(20).low_watermark == before


def told_expired(caplog: pytest.LogCaptureFixture) -> set[tuple[str, int, int]]:
    """(service, first offset, count) of what the log says expired."""
    return {
        (record.__dict__["service"], record.__dict__["first_offset"], record.__dict__["count"])
        for record in caplog.records
        if record.levelno == logging.ERROR and record.msg.startswith("inputs expired")
    }


async def test_records_stepped_over_are_asked_for_when_a_later_one_comes(
    world: EngineHarness,
) -> None:
    runtime = world.runtime(gap_repair_s=0.1, tail_repair_s=NEVER_S, tail_exit_s=NEVER_S)
    steps = made_to_step(runtime, world.topic("shared"))
    async with running(runtime):
        send_notes(world, "a")
        await took(runtime, "a")
        steps.over = "bc"
        send_notes(world, "bcd")
        await took(runtime, "abcd")
        assert asked_again(runtime) == [True, True]
    assert steps.done == {"b": 1, "c": 1}


async def test_the_last_records_are_asked_for_though_no_later_one_comes(
    world: EngineHarness,
) -> None:
    runtime = world.runtime(gap_repair_s=0.1, tail_repair_s=0.2)
    steps = made_to_step(runtime, world.topic("shared"))
    async with running(runtime):
        send_notes(world, "a")
        await took(runtime, "a")
        steps.over = "bc"
        send_notes(world, "bc")
        await took(runtime, "abc")
        assert asked_again(runtime) == [True, True]
    assert steps.done == {"b": 1, "c": 1}


async def test_what_lies_there_at_the_start_is_asked_for_when_reading_begins_behind_it(
    world: EngineHarness,
) -> None:
    async with running(world.runtime()) as runtime:
        send_notes(world, "a")
        await took(runtime, "a")
    send_notes(world, "bc")
    ends = Tally(message.partition() for message in world.read("shared"))
    runtime = world.runtime(gap_repair_s=0.1, tail_repair_s=0.2)
    made_to_leap(runtime, {TP(world.topic("shared"), p): end for p, end in ends.items()})
    async with running(runtime):
        await took(runtime, "abc")
        assert asked_again(runtime) == [True, True]


async def test_a_fetch_that_a_seek_overtook_does_not_keep_back_what_was_sought(
    world: EngineHarness,
) -> None:
    """Both wait on the worker's loop, the longer the busier it is: first the stale one is taken."""
    runtime = world.runtime(gap_repair_s=NEVER_S, tail_repair_s=NEVER_S, tail_exit_s=NEVER_S)
    steps = made_to_step(runtime, world.topic("shared"))
    transport: Any = runtime.app.transport
    overtaken: list[int] = []

    class Overtaken(transport.Consumer):
        async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
            found = await super()._getmany(active_partitions, timeout)
            for tp, records in found.items():
                if tp.topic != world.topic("shared") or overtaken:
                    continue
                if any(b'"id":"d"' in record.value for record in records):
                    overtaken.append(runtime._services.next_offsets()[tp])
                    await self.seek_to({tp: overtaken[0]})
            return found

    transport.Consumer = Overtaken
    async with running(runtime):
        send_notes(world, "a")
        await took(runtime, "a")
        steps.over = "b"
        send_notes(world, "bcd")
        await took(runtime, "abcd")
    assert overtaken == [1]


async def test_inputs_that_expired_while_no_worker_ran_are_told_and_the_rest_is_taken(
    world: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(world.runtime()) as runtime:
        send_notes(world, "a")
        await took(runtime, "a")
        partition = runtime.tables["first"].partition_of("k")
    send_notes(world, "bcde")
    expire(world, partition, 3)
    async with running(world.runtime()) as runtime:
        await took(runtime, "ade")
        send_notes(world, "f")
        await took(runtime, "adef")
        await until_true(lambda: world.committed("shared").get(partition) == 6, "the commit")
    assert told_expired(caplog) == {("first", 1, 2), ("second", 1, 2)}


@pytest.mark.parametrize("sent", ["bcd", "b"], ids=["others-come-after-it", "it-is-the-last"])
async def test_an_input_that_expires_before_it_is_asked_for_again_is_told(
    world: EngineHarness, caplog: pytest.LogCaptureFixture, sent: str
) -> None:
    runtime = world.runtime(
        gap_repair_s=0.1, gap_exit_s=NEVER_S, tail_repair_s=0.2, tail_exit_s=NEVER_S
    )
    steps = made_to_step(runtime, world.topic("shared"))
    async with running(runtime):
        send_notes(world, "a")
        await took(runtime, "a")
        steps.over, steps.times = "b", 1_000_000
        send_notes(world, sent)
        await until_true(lambda: all(asked_again(runtime)), "the hole to be seen")
        expire(world, runtime.tables["first"].partition_of("k"), 2)
        await until_true(lambda: len(told_expired(caplog)) == len(BOTH), "the loss to be told")
        send_notes(world, "e")
        await took(runtime, f"a{sent[1:]}e")
    assert told_expired(caplog) == {("first", 1, 1), ("second", 1, 1)}


async def test_a_worker_survives_while_it_looks_up_where_a_partition_begins(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's check of all partitions fails on one that has no position for the moment."""
    runtime = world.runtime()
    transport: Any = runtime.app.transport
    checks, lookups, look_up = [0], [0], Fetcher._update_fetch_positions

    class Checked(transport.Consumer):
        async def verify_all_partitions_active(self) -> None:
            await super().verify_all_partitions_active()
            checks[0] += 1

    async def look_up_late(self: Fetcher, *args: Any) -> Any:
        before = checks[0]
        # One may have begun before this partition's turn.
        await until_true(lambda: checks[0] >= before + 2, "Faust's check")
        lookups[0] += 1
        return await look_up(self, *args)

    transport.Consumer = Checked
    async with running(runtime):
        send_notes(world, "ab")
        await took(runtime, "ab")
        partition = runtime.tables["first"].partition_of("k")
        expire(world, partition, 1)
        monkeypatch.setattr(Fetcher, "_update_fetch_positions", look_up_late)
        await runtime._services.consumer.seek_to({TP(world.topic("shared"), partition): 0})
        await until_true(lambda: lookups[0] > 0, "the partition's first offset to be looked up")
        send_notes(world, "c")
        await took(runtime, "abc")


@pytest.mark.parametrize(
    "unknown", ["shared", "commands shared events first-changelog second-changelog"]
)
async def test_a_worker_is_not_ready_until_topics_that_kafka_had_not_told_of_are_assigned(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch, unknown: str
) -> None:
    """Of one topic, or of none: like a worker that gets no partition but leads the group."""
    hidden = {world.topic(name) for name in unknown.split()}
    update = ClusterMetadata.update_metadata

    def update_without(self: ClusterMetadata, metadata: Any) -> None:
        metadata.topics = [topic for topic in metadata.topics if topic[1] not in hidden]
        update(self, metadata)

    monkeypatch.setattr(ClusterMetadata, "update_metadata", update_without)
    runtime = world.runtime()
    app = runtime.app
    app.finalize()
    await app.start()
    try:
        await until_true(lambda: bool(runtime._task_manager._watchers), "the first assignment")
        assert not runtime._task_manager.is_assignment_complete
        assert not runtime.ready()
        send_notes(world, "a")
        hidden.clear()
        await until_true(runtime.ready, "the worker to be ready")
        await took(runtime, "a")
    finally:
        await asyncio.shield(app.stop())


async def test_workers_too_many_are_ready_without_partitions(world: EngineHarness) -> None:
    workers = [world.runtime(worker=f"worker-{number}") for number in range(PARTITIONS + 1)]
    async with AsyncExitStack() as stack:
        for runtime in workers:
            await stack.enter_async_context(running(runtime))
        await until_true(
            lambda: all(runtime.ready() for runtime in workers) and _idle(workers) == 1,
            "all to be ready, one of them idle",
        )


def _idle(workers: Sequence[ServiceRuntime]) -> int:
    return sum(not list(runtime._services.tasks()) for runtime in workers)


async def test_nothing_is_watched_once_the_worker_has_stopped(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        watchers = list(runtime._task_manager._watchers)
        assert watchers
    assert all(watcher.done() for watcher in watchers), (
        "one that finds no consumer ends the process"
    )
