"""Outputs with keys of their own under attack: what is given arrives, once and in each giver's order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from sandbox.kafka import KafkaBroker
from tables.keyed_outputs import SOURCE_HEADER
from tables.packing import unpack
from tests.faults.engine_run import PARTITIONS, Run
from tests.faults.test_engine_faults import LENGTHS, attacks, start_workers
from tests.support.kafka_topics import read_all


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path, is_keyed=True) as run:
        yield run


def finish(run: Run) -> None:
    """All that was sent was given and taken once; a source's numbers never fall but for repetitions."""
    run.wait_done()
    run.stop()
    _, taker = run.services
    changelog = read_all(run.bootstrap, run.changelog(taker), PARTITIONS)
    stored = {record.key: record.value for record in changelog if record.key.startswith(b"target")}
    states = [orjson.loads(unpack(value, ()))["state"] for value in stored.values()]
    taken = Counter(id_ for state in states for id_ in state["ids"])
    sent = {
        f"{topic}:{message['id']}"
        for topic, keys in run.sent.items()
        for messages in keys.values()
        for message in messages
    }
    print(f"{len(sent)} sent, {_repeated_gifts(run)} gifts sent again")  # noqa: T201 -- shown with -rP
    assert {id_: count for id_, count in taken.items() if count > 1} == {}
    assert set(taken) == sent
    assert [state["falls"] for state in states] == [0] * len(states)
    assert read_all(run.bootstrap, run.dead_letter_topic, 1) == []


def _repeated_gifts(run: Run) -> int:
    """How many gifts came again; first occurrences must come in the order of their numbers."""
    last: defaultdict[tuple[int, bytes], int] = defaultdict(int)
    seen: dict[bytes, bytes] = {}
    repeated = 0
    for record in read_all(run.bootstrap, f"{run.name}-gifts{run.suffix}", PARTITIONS):
        source = dict(record.headers)[SOURCE_HEADER]
        producer, _, number = source.rpartition(b"/")
        if source in seen:
            repeated += 1
            assert seen[source] == record.value
            continue
        seen[source] = record.value
        assert int(number) > last[record.partition, producer]
        last[record.partition, producer] = int(number)
    return repeated


@pytest.mark.parametrize("length", LENGTHS)
def test_givers_and_takers_are_killed(run: Run, length: tuple[int, float, int]) -> None:
    """Every second with its data folder gone."""
    start_workers(run, 3)
    for number in attacks(run, length):
        victim = number % 3
        run.wipe_and_kill(victim) if number % 2 else run.kill(victim)
    finish(run)
    assert any(-9 in worker.exits for worker in run.workers.values())


@pytest.mark.soak
def test_zombies_give_and_take(run: Run) -> None:
    start_workers(run, 2)
    for number in attacks(run, (30_000, 90.0, 6)):
        victim, other = number % 2, (number + 1) % 2
        before = run.ready_count(other)
        run.workers[victim].suspend()
        run.wait_ready(other, again_after=before)  # the other has taken over
        run.workers[victim].resume()
    finish(run)
