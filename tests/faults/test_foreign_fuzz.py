"""Random foreign batches in every topic of an engine at work: no worker ends, and each record is named."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.faults.engine_run import PARTITIONS, Run
from tests.faults.engine_verify import verify
from tests.foreign import raw_consumer, senders
from tests.foreign.attack import Attack
from tests.foreign.kinds import PUT_BY_TEST, STOPPING
from tests.foreign.record_batches import CODECS, Batch, Record
from tests.foreign.senders import Message
from tests.support.kafka_topics import Read

WITHIN_S = MAX_WAIT_S
WORKERS = 2
# Batches, and honest inputs sent meanwhile.
LENGTHS = [
    pytest.param((150, 900), id="short"),
    pytest.param((6_000, 20_000), id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path) as run:
        for number in range(WORKERS):
            run.worker(number)
        for number in range(WORKERS):
            run.wait_ready(number)
        yield run


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of the batches: FUZZ_SEED, else the same each time, but another for each soak run."""
    is_soak = request.node.get_closest_marker("soak") is not None
    chosen = int(os.environ.get("FUZZ_SEED", "0")) or (random.randrange(1, 2**31) if is_soak else 1)
    print(f"FUZZ_SEED={chosen}")  # noqa: T201 -- shown when it fails
    return chosen


@pytest.fixture
def attack(run: Run, seed: int) -> Attack:
    readers: dict[str, list[str]] = {}
    for service in run.services:
        for topic in service.inputs:
            readers.setdefault(topic, []).append(service.name)
    own = {run.changelog(service): PARTITIONS for service in run.services}
    attack = Attack(
        run.bootstrap,
        readers,
        own | {run.dead_letter_topic: 1},
        partitions=PARTITIONS,
        dead_letters=run.dead_letter_topic,
        seed=seed,
    )
    attack.take_any_time()
    return attack


def unless_it_ends(run: Run, condition: Callable[[], bool], what: str) -> None:
    """Wait for something; a worker that ends meanwhile is what fails."""

    def ended() -> bool:
        return any(worker.exits for worker in run.workers.values())

    try:
        wait_until(lambda: ended() or condition(), what, timeout_s=WITHIN_S)
    except TimeoutError:
        tails = "\n".join(worker.log_tail(20) for worker in run.workers.values())
        raise TimeoutError(f"waited in vain for {what}\n{tails}") from None
    for worker in run.workers.values():
        assert not worker.exits, f"{worker.name} ended with {worker.exits}\n{worker.log_tail(60)}"


def send_honest(run: Run, rnd: random.Random) -> None:
    """Have other producers send what is to be decided, with every codec and in a transaction."""
    topic = run.outside_topics[1]
    for codec in CODECS:
        senders.by_librdkafka(run.bootstrap, codec, _honest(run, topic, rnd))
    senders.in_transaction(run.bootstrap, _honest(run, topic, rnd), is_committed=True, codec="lz4")


def _honest(run: Run, topic: str, rnd: random.Random) -> list[Message]:
    messages = []
    for number in range(20):
        message: dict[str, object] = {"id": uuid.UUID(int=rnd.getrandbits(128)).hex}
        partition = number % PARTITIONS
        key = f"honest-{partition}"
        run.sent[topic][key].append(message)
        headers = [("traceparent", str(message["id"]).encode())]
        messages.append(Message(topic, partition, key.encode(), orjson.dumps(message), headers))
    return messages


def read_ours(bootstrap: str, topic: str, partitions: int) -> list[Read]:
    """A topic's records without those that were put into it by hand."""
    return [
        _as_read(record)
        for partition in range(partitions)
        for record in raw_consumer.read_partition(bootstrap, topic, partition)
        if PUT_BY_TEST not in record.headers
    ]


def _as_read(record: raw_consumer.Stored) -> Read:
    headers = [(name.decode(), data or b"") for name, data in record.headers]
    return Read(record.partition, record.offset, record.key or b"", record.value or b"", headers)


@pytest.mark.parametrize("length", LENGTHS)
def test_random_batches_end_no_worker_and_each_is_named(
    run: Run, attack: Attack, length: tuple[int, int], seed: int
) -> None:
    batches, inputs = length
    run.load(inputs, seconds=inputs / 150, seed=seed)
    run.wait_sent(0.01)
    for topic in attack.readers:
        attack.put_each(topic, attack.rnd.randrange(PARTITIONS), attack.rnd.choice([0, 1, 2, 3, 4]))
    attack.put_random(batches)
    send_honest(run, attack.rnd)
    attack.send_junk()
    run.wait_sent(1)
    unless_it_ends(run, lambda: run.lag(list(attack.readers)) == 0, "all inputs to be done")
    for number in range(WORKERS):  # who recovers meets what was put into the changelogs
        before = run.ready_count(number)
        assert run.workers[number].terminate() == 0
        run.wipe_and_kill(number)
        run.worker(number)
        run.wait_ready(number, again_after=before)
    run.load(200, seconds=1, seed=seed + 1)
    run.wait_done(timeout_s=WITHIN_S)
    assert [worker.exits for worker in run.workers.values()] == [[0]] * WORKERS
    run.stop()
    unnamed = attack.unnamed()
    assert not unnamed, f"{len(unnamed)} are named by no dead letter: {set(unnamed.values())}"
    assert not attack.invented()
    letters = attack.letters_without_mark()
    verify(run, read_ours, foreign_keys=attack.keys, letters=letters)


def test_a_batch_that_nobody_can_read_stops_its_partition_alone(run: Run, attack: Attack) -> None:
    commands = run.outside_topics[0]
    run.load(100, seconds=0.5)
    run.wait_done()
    for kind in STOPPING.items():
        attack.put(commands, 1, *kind)
    attack.put(commands, 1, "behind it", Batch([Record()]))
    behind = len(STOPPING) + 1
    others = [topic for topic in attack.readers if topic != commands]
    for restarted in (False, True):
        if restarted:
            before = run.ready_count(0)
            assert run.workers[0].terminate() == 0
            run.workers[0].exits.clear()
            run.worker(0)
            run.wait_ready(0, again_after=before)
        run.load(300, seconds=2, seed=8 + restarted)
        run.wait_sent(1)
        unless_it_ends(run, lambda: run.lag(others) == 0, "the other topics to go on")
        unless_it_ends(
            run,
            lambda: not run.lag_of(commands, 0) and not run.lag_of(commands, 2),
            "the topic's other partitions to go on",
        )
        assert run.lag_of(commands, 1) >= behind
    assert not attack.letters()
