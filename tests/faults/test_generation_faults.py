"""The same attacks where topics have the names of a later generation: what `partitions raise` leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.kafka import KafkaBroker
from tests.faults import test_keyed_faults
from tests.faults.engine_run import Run
from tests.faults.test_engine_faults import LENGTHS, attacks, finish, start_workers

SUFFIX = ".g2"


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path, is_keyed=request.param, suffix=SUFFIX) as run:
        yield run


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("run", [False, True], ids=["own keys", "other keys"], indirect=True)
def test_killed_workers(run: Run, length: tuple[int, float, int]) -> None:
    """Every second with its data folder gone: outboxes are taken over by the names that Kafka has."""
    start_workers(run, 3)
    for number in attacks(run, length):
        victim = number % 3
        run.wipe_and_kill(victim) if number % 2 else run.kill(victim)
    test_keyed_faults.finish(run) if run.is_keyed else finish(run)
    assert any(-9 in worker.exits for worker in run.workers.values())
