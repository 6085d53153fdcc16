"""Whatever foreign producers send, the engine goes on: on real Kafka, with batches made byte by byte."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from sandbox.kafka import KafkaBroker
from tables import NotReadyError, NotStoppedError
from tables.batch_decoding import MAX_DECOMPRESSED_BYTES
from tests.foreign.raw_producer import RawProducer
from tests.foreign.record_batches import CODECS, Batch, Record, swelling
from tests.integration.engine_harness import EngineHarness, reached, running
from tests.support.waiting import until_true

KEY = "order_1"


def order(number: int) -> Record:
    return Record(key=KEY.encode(), value=orjson.dumps({"id": f"c{number}", "add": 1}))


@pytest.fixture
def world(kafka: KafkaBroker, tmp_path: Path) -> EngineHarness:
    return EngineHarness(kafka, tmp_path)


def raw(world: EngineHarness, topic: str, partition: int) -> RawProducer:
    return RawProducer(world.bootstrap, topic, partition)


async def test_records_of_every_codec_and_odd_ones_are_decided_or_named(
    world: EngineHarness,
) -> None:
    runtime = world.runtime()
    async with running(runtime):
        table = runtime.tables["first"]
        partition = table.partition_of(KEY)
        with raw(world, world.topic("commands"), partition) as foreign:
            for sent, codec in enumerate(CODECS.values(), 1):
                assert foreign.send(Batch([order(sent)], codec).encoded()).is_accepted
            odd = [
                Record(key=None), Record(value=None, key=KEY.encode()), Record(key=b"\xff\xfe"),
                Record(key=b"k" * 600), Record(key=b"a/b"),
                Record(key=KEY.encode(), value=b"{", headers=[(b"\xff\xfe", b"\xff")]),
                Record(key=KEY.encode(), value=b"{", headers=[(b"h", b"\x01" * 500_000)]),
                Record(key=KEY.encode(), value=b"{", timestamp_ms=-1),
            ]  # fmt: skip
            for record in odd:
                assert foreign.send(Batch([record]).encoded()).is_accepted
            lying = Batch([Record(key=KEY.encode(), offset_delta=5)])
            assert foreign.send(lying.encoded()).is_accepted
            assert foreign.send(Batch([order(6)]).encoded()).is_accepted
        await table.wait(KEY, reached(6), 60)
        assert runtime.stops.all() == []
        assert runtime.counters["first"].unreadable == len(odd) + 1
    letters = world.read("dlq", 1)
    assert len(letters) == len(odd) + 1
    messages = [dict(letter.headers())["kafka_dlt-exception-message"] for letter in letters]
    assert b"it says that its offset is" in messages[-1]
    assert max(sum(len(v) for _, v in letter.headers()) for letter in letters) < 20_000


async def test_transactions_leave_gaps_that_are_not_waited_for(world: EngineHarness) -> None:
    runtime = world.runtime()
    async with running(runtime):
        table = runtime.tables["first"]
        for number, commits in enumerate((True, False, True), 1):
            producer = Producer(
                {
                    "bootstrap.servers": world.bootstrap,
                    "transactional.id": f"{world.name}-{number}",
                    "partitioner": "murmur2_random",
                }
            )
            producer.init_transactions(30)
            producer.begin_transaction()
            value = orjson.dumps({"id": f"t{number}", "add": 1})
            producer.produce(world.topic("commands"), value, key=KEY)
            producer.flush(20)
            if commits:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
        world.send("commands", KEY, {"id": "after", "add": 1})
        await table.wait(KEY, reached(4), 60)
        partition = table.partition_of(KEY)
        await until_true(
            lambda: world.committed("commands").get(partition) == 7, "all to be committed"
        )
        assert runtime.counters["first"].gaps == 3  # a marker each
        assert runtime.counters["first"].holes == 0


async def test_a_batch_that_cannot_be_read_stops_its_partition_alone_until_it_is_skipped(
    world: EngineHarness,
) -> None:
    runtime = world.runtime()
    async with running(runtime):
        table = runtime.tables["first"]
        partition = table.partition_of(KEY)
        topic = world.topic("commands")
        with raw(world, topic, partition) as foreign:
            assert foreign.send(Batch([order(1)]).encoded()).is_accepted
            assert foreign.send(swelling(MAX_DECOMPRESSED_BYTES * 2).encoded()).is_accepted
            assert foreign.send(Batch([order(2)]).encoded()).is_accepted
        await table.wait(KEY, reached(1), 60)
        await until_true(lambda: runtime.stops.all() != [], "the partition to stop")
        (stop,) = runtime.stops.all()
        assert (stop.topic, stop.partition, stop.offset, stop.next_offset) == (
            topic,
            partition,
            1,
            2,
        )
        assert runtime.ready()
        # Another topic of the same partition, and another partition of the same topic, go on.
        world.send("shared", KEY, {"id": "shared", "add": 1})
        await table.wait(KEY, reached(2), 60)
        other = next(f"o{n}" for n in range(99) if table.partition_of(f"o{n}") != partition)
        world.send("commands", other, {"id": "other", "add": 1})
        await table.wait(other, reached(1), 60)
        with pytest.raises(NotStoppedError):
            runtime.stops.find(topic, partition, 0)
        await runtime.stops.skip(runtime.stops.find(topic, partition, 1))
        await table.wait(KEY, reached(3), 60)
        assert runtime.stops.all() == []
        await until_true(
            lambda: world.committed("commands").get(partition) == 3, "all to be committed"
        )


async def test_a_stopped_partition_stops_there_again_after_a_restart_and_what_was_skipped_stays_so(
    world: EngineHarness,
) -> None:
    runtime = world.runtime()
    async with running(runtime):
        partition = runtime.tables["first"].partition_of(KEY)
        with raw(world, world.topic("commands"), partition) as foreign:
            assert foreign.send(swelling(MAX_DECOMPRESSED_BYTES * 2).encoded()).is_accepted
        await until_true(lambda: runtime.stops.all() != [], "the partition to stop")
    again = world.runtime()
    async with running(again):
        await until_true(lambda: again.stops.all() != [], "the partition to stop again")
        await again.stops.skip(again.stops.all()[0])
        await until_true(
            lambda: world.committed("commands").get(partition) == 1, "the skip to be kept"
        )
    last = world.runtime(worker="another-worker")
    async with running(last):
        world.send("commands", KEY, {"id": "after", "add": 1})
        await last.tables["first"].wait(KEY, reached(1), 60)
        assert last.stops.all() == []


async def decide_one(world: EngineHarness) -> int:
    """Have a first worker take one command, and end; gives the command's partition."""
    first = world.runtime()
    async with running(first):
        world.send("commands", KEY, {"id": "c1", "add": 7})
        await first.tables["first"].wait(KEY, reached(1), 60)
        return first.tables["first"].partition_of(KEY)


async def test_foreign_records_in_a_changelog_change_nothing_at_a_failover(
    world: EngineHarness,
) -> None:
    partition = await decide_one(world)
    changelog = f"{world.name}-first-changelog"
    broken: list[tuple[bytes | None, bytes | None]] = [
        (KEY.encode(), None), (KEY.encode(), b'{"version":1}'), (KEY.encode(), b"\xff"),
        (b"\0progress", b"[]"), (b"\0progress", None), (b"\xff\xfe", b"{}"), (b"\0accepted", b"{}"),
    ]  # fmt: skip
    with raw(world, changelog, partition) as foreign:
        for key, value in broken:
            odd = Record(key=key, value=value, headers=[(b"\xff", None)])
            assert foreign.send(Batch([odd]).encoded()).is_accepted
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": world.name})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(changelog, b"{}", key=KEY, partition=partition)
    producer.commit_transaction(30)
    second = world.runtime(worker="another-worker")
    async with running(second):
        record = second.tables["first"].get(KEY)
        assert record.state["sum"] == 7
        assert second.counters["first"].ignored == len(broken) + 1  # and the transaction's
        world.send("commands", KEY, {"id": "c2", "add": 1})
        await second.tables["first"].wait(KEY, reached(2), 60)


async def test_a_changelog_batch_that_cannot_be_read_keeps_that_table_shut_alone(
    world: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tiffin.engine")
    partition = await decide_one(world)
    changelog = f"{world.name}-first-changelog"
    with raw(world, changelog, partition) as foreign:
        answer = foreign.send(swelling(MAX_DECOMPRESSED_BYTES * 2).encoded())
        assert answer.is_accepted
    second = world.runtime(worker="another-worker")
    async with running(second):
        (stop,) = second.stops.all()
        assert (stop.topic, stop.partition, stop.service) == (changelog, partition, "first")
        assert stop.offset == answer.offset
        with pytest.raises(NotReadyError):
            second.tables["first"].get(KEY)
        other = next(
            f"o{n}" for n in range(99) if second.tables["first"].partition_of(f"o{n}") != partition
        )
        world.send("commands", other, {"id": "other", "add": 1})
        await second.tables["first"].wait(other, reached(1), 60)
        await second.stops.skip(stop)
        assert second.stops.all() == []
        assert second.tables["first"].get(KEY).state["sum"] == 7
        world.send("commands", KEY, {"id": "c2", "add": 1})
        await second.tables["first"].wait(KEY, reached(2), 60)
    third = world.runtime(worker="third-worker")
    async with running(third):
        assert third.stops.all() == []
        assert third.tables["first"].get(KEY).state["sum"] == 8
    assert "index was made anew" not in caplog.text, "the skip wrote what the index covers"
