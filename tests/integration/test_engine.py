"""The engine on real Kafka and RocksDB, in this process: what services, views and indexes are promised."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.transition import Decision, Input
from sandbox.kafka import KafkaBroker
from tables import SERVICE_HEADER, CommitReport, NotOwnerError, StoredRecord
from tests.integration.engine_harness import (
    TIMEOUT_S,
    EngineHarness,
    SummingService,
    reached,
    running,
)
from tests.support.waiting import until_true


class Index:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.records: dict[str, StoredRecord] = {}
        self.closed_partitions: list[int] = []

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        del partition
        self.records[key] = record

    def closed(self, partition: int) -> None:
        self.closed_partitions.append(partition)


@pytest.fixture
def world(kafka: KafkaBroker, tmp_path: Path) -> EngineHarness:
    return EngineHarness(kafka, tmp_path)


def test_agents_and_tables_are_exactly_those_of_the_services(world: EngineHarness) -> None:
    runtime = world.runtime()
    name = world.name
    assert set(runtime.app.agents) == {
        f"first.{name}-commands",
        f"first.{name}-shared",
        f"second.{name}-events",
        f"second.{name}-shared",
    }
    assert set(runtime.app.tables) == {"first", "second"} == set(runtime.tables)


async def test_two_services_each_decide_what_they_read(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        for number in range(20):
            world.send("commands", f"k{number % 5}", {"id": f"c{number}", "add": 1})
            world.send("shared", f"k{number % 5}", {"id": f"s{number}", "add": 10})
        first, second = runtime.tables["first"], runtime.tables["second"]
        for key in (f"k{n}" for n in range(5)):
            record = await first.wait(key, reached(8), TIMEOUT_S)
            assert record is not None
            assert record.state["sum"] == 44
            # Its own four of `shared`, and the eight events of the first service.
            record = await second.wait(key, reached(12), TIMEOUT_S)
            assert record is not None
            assert record.state["sum"] == 44 + 40
            assert record.sequences == {f"{world.topic('events')}/first": 8}
            assert [row for row, _ in first.rows(f"{key}/")] == [
                f"{key}/{n:04d}" for n in range(1, 9)
            ]
        ends = Tally(m.partition() for m in world.read("shared"))
        await until_true(
            lambda: world.committed("shared") == ends | dict.fromkeys(range(3), 0) | ends, "commits"
        )
        counters = runtime.counters["first"]
        await until_true(lambda: counters.inputs == 40, "the first service's inputs to be done")
        assert (counters.decided, counters.duplicates, counters.unreadable) == (40, 0, 0)
    events = world.read("events")
    assert len(events) == 40
    assert all(m.headers() == [("traceparent", b"00-trace")] for m in events)


async def test_outcomes_and_positions_are_kept_with_the_record(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        world.send("commands", "k", {"id": "c1", "add": 5})
        table = runtime.tables["first"]
        record = await table.wait("k", lambda r: r is not None and "c1" in r.outcomes, TIMEOUT_S)
        assert record is not None
        assert record.outcomes["c1"].outcome.positions == {world.topic("events"): 1}
        assert record.outcomes["c1"].at_ms > 0
        assert str(table.owner_of("k")) == "http://this-worker:8080"
        assert table.get("unknown") is None
        with pytest.raises(TimeoutError):
            await table.wait("k", reached(99), 0.05)
        positions = {(p.service, p.topic) for p in runtime.positions()}
        assert ("second", world.topic("events")) in positions


async def test_repeated_ids_and_sequences_are_dropped(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        for id_ in ("a", "b", "a", "b", "c"):
            world.send("commands", "k", {"id": id_, "add": 1})
        for sequence in (1, 2, 1, 2, 3):
            message = {"id": f"x{sequence}", "producer": "up", "sequence": sequence, "add": 100}
            world.send("shared", "k", message)
        await until_true(lambda: runtime.counters["first"].inputs == 10, "all inputs")
        record = runtime.tables["first"].get("k")
        assert record is not None
        assert record.state["sum"] == 303
        assert runtime.counters["first"].duplicates == 4


async def test_unreadable_inputs_become_dead_letters_and_the_stream_goes_on(
    world: EngineHarness,
) -> None:
    async with running(world.runtime()) as runtime:
        world.send("commands", "k", b"no json")
        world.send("commands", None, {"id": "no key"})
        world.send("commands", b"\xff\xfe", {"id": "no text"})
        world.send("commands", "k", None)
        world.send("commands", "k", {"id": "good", "add": 7})
        record = await runtime.tables["first"].wait("k", reached(1), TIMEOUT_S)
        assert record is not None
        assert record.state["sum"] == 7
        await until_true(lambda: runtime.counters["first"].inputs == 5, "all inputs to be done")
    letters = world.read("dlq", 1)
    origin = {
        (h["kafka_dlt-original-partition"], h["kafka_dlt-original-offset"]): (m.key(), m.value())
        for m in letters
        for h in [dict(m.headers())]
        if h["kafka_dlt-original-topic"] == world.topic("commands").encode()
        and h[SERVICE_HEADER] == b"first"
    }
    sent = {
        (b"%d" % m.partition(), b"%d" % m.offset()): (m.key(), m.value())
        for m in world.read("commands")
    }
    assert len(letters) == len(origin) == 4
    assert origin.items() <= sent.items()


async def test_a_decide_that_raises_stops_one_key_only(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        table = runtime.tables["first"]
        world.send("commands", "bad", {"id": "1", "add": 1})
        world.send("commands", "bad", {"id": "2", "poison": True})
        world.send("commands", "bad", {"id": "3", "add": 1})
        for number in range(10):
            world.send("commands", f"good{number}", {"id": f"g{number}", "add": 1})
        record = await table.wait(
            "bad", lambda r: r is not None and r.quarantine is not None, TIMEOUT_S
        )
        for number in range(10):
            await table.wait(f"good{number}", reached(1), TIMEOUT_S)
        record = await table.wait(
            "bad",
            lambda r: (
                r is not None and r.quarantine is not None and r.quarantine.dead_lettered == 2
            ),
            TIMEOUT_S,
        )
        assert record is not None
        assert record.state["sum"] == 1
        await until_true(lambda: runtime.counters["first"].inputs == 13, "all inputs to be done")
    assert [orjson.loads(m.value())["id"] for m in world.read("dlq", 1)] == ["2", "3"]


async def test_an_index_is_fed_after_a_restart_and_dropped_with_its_partitions(
    world: EngineHarness,
) -> None:
    async with running(world.runtime()) as runtime:
        for number in range(12):
            message = {"id": f"{number}", "add": 1, "close": number % 2 == 0}
            world.send("commands", f"k{number}", message)
        for number in range(12):
            await runtime.tables["first"].wait(f"k{number}", reached(1), TIMEOUT_S)
    index, again = Index(), world.runtime()
    again.tables["first"].add_listener(index)
    async with running(again) as runtime:
        # Ready means fed: all but the terminal ones, nothing waited for.
        assert set(index.records) == {f"k{n}" for n in range(1, 12, 2)}
        world.send("commands", "k1", {"id": "more", "add": 5, "close": True})
        await until_true(lambda: index.records["k1"].state["closed"], "the index to hear of it")
        assert index.records["k1"].state["sum"] == 6
        record = runtime.tables["first"].get("k0")
        assert record is not None
        assert record.state["closed"]
    assert sorted(index.closed_partitions) == [0, 1, 2]
    with pytest.raises(NotOwnerError):
        again.tables["first"].get("k0")


async def test_a_wiped_data_folder_recovers_rows_records_and_progress(world: EngineHarness) -> None:
    async with running(world.runtime()) as runtime:
        world.send("commands", "k", {"id": "1", "add": 3})
        await runtime.tables["second"].wait("k", reached(1), TIMEOUT_S)
    (world.folder / "this-worker").rename(world.folder / "lost")
    async with running(world.runtime()) as runtime:
        table = runtime.tables["first"]
        record = table.get("k")
        assert record is not None
        assert record.state["sum"] == 3
        assert table.rows("k/") == [("k/0001", b"1")]
        world.send("commands", "k", {"id": "2", "add": 4})
        record = await table.wait("k", reached(2), TIMEOUT_S)
        assert record is not None
        assert record.state["sum"] == 7
        await until_true(lambda: runtime.counters["first"].inputs == 1, "only the new input")
        assert runtime.counters["first"].redelivered == 0
    assert len(world.read("events")) == 2


async def test_a_full_lane_pauses_its_partitions_and_others_go_on(world: EngineHarness) -> None:
    class Slow(SummingService):
        def decide(
            self, state: Any, record: Input, read: Callable[[str], bytes | None]
        ) -> Decision:
            if record.message.get("slow"):
                time.sleep(0.002)
            return super().decide(state, record, read)

    slow = Slow("first", world.services[0].inputs, world.services[0].outputs)
    limits = {"inbox_inputs": 50, "commit_batch_inputs": 20}
    for number in range(1_000):
        message = orjson.dumps({"id": f"{number}", "add": 1, "slow": True})
        world.producer.produce(world.topic("commands"), message, key="hot")
    assert world.producer.flush(20) == 0
    paused: list[bool] = []
    async with running(world.runtime([slow, world.services[1]], **limits)) as runtime:
        table = runtime.tables["first"]
        other = next(
            f"o{n}" for n in range(99) if table.partition_of(f"o{n}") != table.partition_of("hot")
        )
        world.send("commands", other, {"id": "other", "add": 1})

        def done() -> bool:
            paused.extend(p.paused for p in runtime.positions())
            record = table.get("hot")
            return record is not None and record.state["sequence"] == 1_000

        await table.wait(other, reached(1), TIMEOUT_S)
        await until_true(done, "the hot key")
    assert any(paused)


async def test_a_service_that_gathers_takes_inputs_together_until_a_batch_is_full_or_it_closes(
    world: EngineHarness,
) -> None:
    never = 10 * TIMEOUT_S
    engine = world.runtime(gather_s=never, commit_batch_inputs=5, commit_batch_s=never)
    batches: list[int] = []

    def note(batch: CommitReport) -> None:
        if batch.service == "first":
            batches.append(batch.inputs)

    engine.on_commit_batch(note)
    async with running(engine) as runtime:
        table = runtime.tables["first"]
        for number in range(1, 6):
            world.send("commands", "o1", {"id": f"{number}", "add": 1})
        await table.wait("o1", reached(5), TIMEOUT_S)
        await until_true(lambda: bool(batches), "the outputs of the full batch")
        assert batches == [5]
        world.send("commands", "o1", {"id": "6", "add": 1})

        def is_decided() -> bool:
            return any(each.service == "first" and each.in_flight for each in runtime.positions())

        await until_true(is_decided, "the sixth command, which waits for others")
        assert table.get("o1").state["sequence"] == 5
    async with running(world.runtime()) as runtime:
        await runtime.tables["second"].wait("o1", reached(6), TIMEOUT_S)
        assert runtime.counters["first"].redelivered == 0
    assert len(world.read("sums")) == 6


async def test_a_large_record_is_stored_and_one_beyond_the_limit_quarantined(
    world: EngineHarness,
) -> None:
    async with running(world.runtime()) as runtime:
        table = runtime.tables["first"]
        world.send("commands", "k", {"id": "1", "note": "n" * 600_000})  # more than a batch holds
        await table.wait("k", reached(1), TIMEOUT_S)
        world.send("commands", "k", {"id": "2", "note": "n" * 600_000})
        record = await table.wait(
            "k", lambda r: r is not None and r.quarantine is not None, TIMEOUT_S
        )
        assert record is not None
        assert record.quarantine is not None
        assert record.quarantine.reason == "tables.apply.TooLargeError"
        assert len(record.state["notes"]) == 600_000
    async with running(world.runtime()) as runtime:
        record = runtime.tables["first"].get("k")
        assert record is not None
        assert len(record.state["notes"]) == 600_000
