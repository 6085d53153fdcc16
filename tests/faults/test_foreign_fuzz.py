"""Random foreign batches in every topic of an engine at work: no worker ends, and each record is named."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from sandbox.kafka import KafkaBroker
from sandbox.processes import wait_until
from tests.faults.engine_run import PARTITIONS, Run
from tests.faults.engine_verify import Read, verify
from tests.foreign import raw_consumer, senders
from tests.foreign.kinds import MARKED, ODD, ODD_BATCHES, PUT_BY_TEST, STOPPING, random_batch
from tests.foreign.raw_producer import RawProducer
from tests.foreign.record_batches import CODECS, Batch, Record
from tests.foreign.senders import Message, Place

SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.randrange(1, 2**31)
WITHIN_S = 120
NOT_FOR_COMPACTED = {"INVALID_RECORD", "MSG_SIZE_TOO_LARGE"}
"""What Kafka says to a record without a key, or a large one, in a changelog."""
ORIGIN = b"kafka_dlt-original-"
# Batches, and honest inputs sent meanwhile.
LENGTHS = [
    pytest.param((150, 900), id="short"),
    pytest.param((6_000, 20_000), id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]


class Attack:
    """What a test puts into a run's topics. places: of what must be named; perhaps: of what may be."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.rnd = random.Random(seed)
        self.places: dict[Place, str] = {}
        self.perhaps: set[Place] = set()
        self.keys: set[bytes] = set()
        self.readers: dict[str, list[str]] = {}
        for service in run.services:
            for topic in service.inputs:
                self.readers.setdefault(topic, []).append(service.name)
        self._producers: dict[tuple[str, int], RawProducer] = {}

    @property
    def own_topics(self) -> list[str]:
        """Topics that only the engine should write, and nobody reads as an input."""
        changelogs = [self.run.changelog(service) for service in self.run.services]
        return [*changelogs, self.run.dead_letter_topic]

    def take_any_time(self) -> None:
        """Have Kafka take records of the future into the run's topics."""
        entry = ConfigEntry(
            "message.timestamp.after.max.ms", str(2**63 - 1),
            incremental_operation=AlterConfigOpType.SET,
        )  # fmt: skip
        admin = AdminClient({"bootstrap.servers": self.run.bootstrap})
        resources = [
            ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
            for topic in (*self.readers, *self.own_topics)
        ]
        for future in admin.incremental_alter_configs(resources).values():
            future.result(20)

    def put(self, topic: str, partition: int, name: str, batch: Batch) -> None:
        """Send a batch and note where its records are."""
        producer = self._producers.get((topic, partition))
        if producer is None:
            producer = RawProducer(self.run.bootstrap, topic, partition)
            self._producers[topic, partition] = producer
        answer = producer.send(batch.encoded())
        if topic in self.readers:
            assert answer.is_accepted, f"{name} to {topic}: {answer}"
            places = {
                (topic, partition, answer.offset + n): name for n in range(len(batch.records))
            }
            self.places.update(places)
        else:
            assert answer.is_accepted or answer.error in NOT_FOR_COMPACTED, f"{name}: {answer}"
            self.keys |= {record.key or b"" for record in batch.records}

    def put_random(self, count: int) -> None:
        """Send random batches to random partitions of all topics."""
        topics = [*self.readers, *self.own_topics]
        for _ in range(count):
            topic = self.rnd.choice(topics)
            partitions = 1 if topic == self.run.dead_letter_topic else PARTITIONS
            self.put(topic, self.rnd.randrange(partitions), *random_batch(self.rnd))

    def put_each(self) -> None:
        """Send each kind to an input once."""
        for name, batch in {**{n: Batch([r]) for n, r in ODD.items()}, **ODD_BATCHES}.items():
            topic = self.rnd.choice(list(self.readers))
            self.put(topic, self.rnd.randrange(PARTITIONS), name, batch)
        for name, record in MARKED.items():
            before = set(self.places)
            self.put(self.run.outside_topics[0], 0, name, Batch([record]))
            for place in self.places.keys() - before:
                del self.places[place]
                self.perhaps.add(place)

    def send_honest(self) -> None:
        """Have other producers send what is to be decided, with every codec and in a transaction."""
        topic, bootstrap = self.run.outside_topics[1], self.run.bootstrap
        for codec in CODECS:
            senders.by_librdkafka(bootstrap, codec, self._honest(topic, 20))
        senders.in_transaction(bootstrap, self._honest(topic, 20), is_committed=True, codec="lz4")

    def send_junk(self) -> None:
        """Have other producers send what can't be acted on, some of it in transactions."""
        bootstrap = self.run.bootstrap
        messages = [senders.junk(t, p) for t in self.readers for p in range(PARTITIONS)]
        named = set(senders.in_transaction(bootstrap, messages, is_committed=True))
        self.perhaps |= set(senders.in_transaction(bootstrap, messages, is_committed=False))
        read, aborted = senders.by_java(bootstrap, messages)
        self.places.update(dict.fromkeys(named | read, "of another producer"))
        self.perhaps |= aborted

    def _honest(self, topic: str, count: int) -> list[Message]:
        messages = []
        for number in range(count):
            message: dict[str, object] = {"id": uuid.UUID(int=self.rnd.getrandbits(128)).hex}
            key, partition = f"honest-{number % PARTITIONS}", number % PARTITIONS
            self.run.sent[topic][key].append(message)
            headers = [("traceparent", str(message["id"]).encode())]
            messages.append(Message(topic, partition, key.encode(), orjson.dumps(message), headers))
        return messages

    def check_named(self) -> int:
        """Each record that had to be named is, by each of its readers; gives how many letters there are."""
        told: set[tuple[Place, str]] = set()
        letters = 0
        for letter in self.letters():
            headers = dict(letter.headers)
            topic, partition, offset, service = (
                (headers[name] or b"").decode()
                for name in (ORIGIN + b"topic", ORIGIN + b"partition", ORIGIN + b"offset", b"tiffin-service")
            )  # fmt: skip
            told.add(((topic, int(partition), int(offset)), service))
            letters += PUT_BY_TEST not in letter.headers
        wanted = {(at, name) for at in self.places for name in self.readers[at[0]]}
        unnamed = {self.places[at] for at, _ in wanted - told}
        assert not wanted - told, f"named by no dead letter: {unnamed}, {sorted(wanted - told)[:9]}"
        perhaps = {(at, name) for at in self.perhaps for name in self.readers[at[0]]}
        assert told <= wanted | perhaps, sorted(told - wanted - perhaps)[:9]
        return letters

    def letters(self) -> list[raw_consumer.Stored]:
        """The engine's own dead letters: its headers of the origin come last, whatever the record had."""
        found = raw_consumer.read_partition(self.run.bootstrap, self.run.dead_letter_topic, 0)
        return [
            letter
            for letter in found
            if (letter.header(ORIGIN + b"topic") or b"\xff") in self._names
        ]

    @property
    def _names(self) -> set[bytes]:
        return {topic.encode() for topic in self.readers}

    def read_ours(self, bootstrap: str, topic: str, partitions: int) -> list[Read]:
        """A topic's records without those that were put into it by hand."""
        stored = [
            record
            for partition in range(partitions)
            for record in raw_consumer.read_partition(bootstrap, topic, partition)
        ]
        return [_as_read(record) for record in stored if PUT_BY_TEST not in record.headers]


def _as_read(record: raw_consumer.Stored) -> Read:
    headers = [(name.decode(), data or b"") for name, data in record.headers]
    return Read(record.partition, record.offset, record.key or b"", record.value or b"", headers)


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path) as run:
        for number in range(2):
            run.worker(number)
        for number in range(2):
            run.wait_ready(number)
        yield run


def stay(run: Run) -> None:
    """No worker has ended so far."""
    exits = {worker.name: worker.exits for worker in run.workers.values() if worker.exits}
    tails = "\n".join(worker.log_tail(40) for worker in run.workers.values() if worker.exits)
    assert not exits, f"seed {SEED}: {exits}\n{tails}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("length", LENGTHS)
def test_random_batches_end_no_worker_and_each_is_named(run: Run, length: tuple[int, int]) -> None:
    print(f"FUZZ_SEED={SEED}")  # noqa: T201 -- shown when it fails
    batches, inputs = length
    attack = Attack(run, SEED)
    attack.take_any_time()
    run.load(inputs, seconds=inputs / 150, seed=SEED)
    run.wait_sent(0.01)
    attack.put_each()
    attack.put_random(batches)
    attack.send_honest()
    attack.send_junk()
    try:
        run.wait_done(timeout_s=WITHIN_S)
    finally:
        stay(run)
    for number in (0, 1):  # What was put into changelogs is met by those who recover from them.
        before = run.ready_count(number)
        assert run.workers[number].terminate() == 0
        run.wipe_and_kill(number)
        run.worker(number)
        run.wait_ready(number, again_after=before)
    run.load(200, seconds=1, seed=SEED + 1)
    run.wait_done(timeout_s=WITHIN_S)
    assert [worker.exits for worker in run.workers.values()] == [[0], [0]]
    run.stop()
    letters = attack.check_named()
    verify(run, attack.read_ours, foreign_keys=attack.keys, letters=letters)


@pytest.mark.timeout(240)
def test_a_batch_that_nobody_can_read_stops_its_partition_alone(run: Run) -> None:
    attack = Attack(run, SEED)
    commands = run.outside_topics[0]
    run.load(100, seconds=0.5)
    run.wait_done()
    for name, batch in STOPPING.items():
        attack.put(commands, 1, name, batch)
    attack.put(commands, 1, "behind it", Batch([Record()]))
    run.load(400, seconds=2, seed=8)
    others = [t for s in run.services for t in s.inputs if t != commands]
    wait_until(lambda: run.lag(others) == 0, "the other topics to go on", timeout_s=WITHIN_S)
    stay(run)
    before = run.ready_count(0)
    assert run.workers[0].terminate() == 0
    run.worker(0)
    run.wait_ready(0, again_after=before)
    run.load(200, seconds=1, seed=9)
    wait_until(lambda: run.lag(others) == 0, "the other topics to go on", timeout_s=WITHIN_S)
    assert [worker.exits for worker in run.workers.values()] == [[0], []]
