"""The engine under attack: whatever is killed, wiped, stopped or moved, nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.kafka import KafkaBroker, KafkaCluster
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.faults.engine_run import Run
from tests.faults.engine_verify import verify

# Inputs, over how many seconds, how many attacks.
LENGTHS = [
    pytest.param((3_000, 9.0, 3), id="short"),
    pytest.param(
        (60_000, 120.0, 30), id="long", marks=[pytest.mark.soak, pytest.mark.timeout(900)]
    ),
]


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path) as run:
        yield run


def start_workers(run: Run, count: int, **env: str) -> None:
    """With these environment variables; {number} in them is the worker's."""
    for number in range(count):
        run.worker(number, **{name: value.format(number=number) for name, value in env.items()})
    for number in range(count):
        run.wait_ready(number)


def finish(run: Run) -> None:
    run.wait_done()
    run.stop()
    report = verify(run)
    exits = {number: worker.exits for number, worker in run.workers.items()}
    for worker in run.workers.values():
        for line in worker.log_path.read_text(errors="replace").splitlines():
            if "CRITICAL" in line:
                print(worker.name, line)  # noqa: T201 -- likewise
    print(f"{run.name}: {report._replace(faults=+report.faults)} exits {exits}")  # noqa: T201 -- shown with -rP
    assert report.stores > 0


def attacks(run: Run, length: tuple[int, float, int]) -> Iterator[int]:
    """Start the load and yield once for each attack, spread over it."""
    inputs, seconds, count = length
    run.load(inputs, seconds=seconds)
    for number in range(count):
        run.wait_sent((number + 0.7) / (count + 0.7))
        yield number


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("wiped", [False, True], ids=["kept", "wiped"])
def test_killed_workers(run: Run, length: tuple[int, float, int], wiped: bool) -> None:
    start_workers(run, 3)
    for number in attacks(run, length):
        victim = number % 3
        run.wipe_and_kill(victim) if wiped else run.kill(victim)
    finish(run)
    assert any(-9 in worker.exits for worker in run.workers.values())


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    "env", [{"STANDBYS": "1"}, {"INSTANCE_ID": "worker-{number}"}], ids=["standbys", "static"]
)
def test_killed_workers_of_other_groups(
    run: Run, length: tuple[int, float, int], env: dict[str, str]
) -> None:
    """With tables kept warm at a second worker; with members that keep their place when they die."""
    start_workers(run, 3, **env)
    for number in attacks(run, length):
        victim = number % 3
        run.wipe_and_kill(victim) if number % 2 else run.kill(victim)
    finish(run)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_zombie_wakes_up(run: Run, length: tuple[int, float, int]) -> None:
    start_workers(run, 2)
    inputs, seconds, count = length
    for number in attacks(run, (inputs, seconds, (count + 1) // 2)):
        victim, other = number % 2, (number + 1) % 2
        before = run.ready_count(other)
        run.workers[victim].suspend()
        run.wait_ready(other, again_after=before)  # the other has taken over
        run.workers[victim].resume()
    finish(run)


@pytest.mark.parametrize("length", LENGTHS)
def test_workers_come_and_go(run: Run, length: tuple[int, float, int]) -> None:
    start_workers(run, 1)
    inputs, seconds, count = length
    for _ in attacks(run, (inputs, seconds, (count + 1) // 2)):
        for number in (1, 2):
            before = run.ready_count(number)
            run.worker(number)
            run.wait_ready(number, again_after=before)
        for number in (1, 2):
            assert run.workers[number].terminate() == 0
    finish(run)
    assert all(worker.exits[-1] == 0 for worker in run.workers.values())


@pytest.mark.parametrize("length", LENGTHS)
def test_the_broker_is_killed(tmp_path: Path, length: tuple[int, float, int]) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker, Run(broker.bootstrap, tmp_path) as run:
        start_workers(run, 2)
        inputs, seconds, count = length
        for _ in attacks(run, (inputs, seconds, max(1, count // 4))):
            broker.kill()
            broker.start()
        finish(run)


@pytest.mark.parametrize("length", LENGTHS)
def test_brokers_of_a_cluster_are_killed(
    cluster: KafkaCluster, tmp_path: Path, length: tuple[int, float, int]
) -> None:
    """One after the other, each the leader of partitions: what counts as sent is with another."""
    with Run(cluster.bootstrap, tmp_path, replicas=len(cluster.brokers)) as run:
        start_workers(run, 2)
        for number in attacks(run, length):
            wait_until(cluster.is_in_sync, "all copies to be whole", timeout_s=MAX_WAIT_S)
            victim = cluster.brokers[number % len(cluster.brokers)]
            victim.kill()
            victim.start()
        finish(run)


@pytest.mark.soak
@pytest.mark.parametrize("hanging", [0, 1, 2])
def test_a_broker_of_a_cluster_hangs(cluster: KafkaCluster, tmp_path: Path, hanging: int) -> None:
    """It takes connections and answers nothing: the others are enough to decide what was sent."""
    with Run(cluster.bootstrap, tmp_path, replicas=len(cluster.brokers)) as run:
        start_workers(run, 2)
        run.load(1_500, seconds=20)
        run.wait_sent(0.3)
        wait_until(cluster.is_in_sync, "all copies to be whole", timeout_s=MAX_WAIT_S)
        cluster.brokers[hanging].suspend()
        run.wait_sent(1)
        run.wait_done(timeout_s=300)
        cluster.brokers[hanging].resume()
        finish(run)


def test_kafka_wiped_under_kept_tables_is_refused(tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker, Run(broker.bootstrap, tmp_path) as run:
        start_workers(run, 1)
        run.load(200, seconds=0.5)
        run.wait_done()
        run.stop()
        port = broker.port
    with KafkaBroker(tmp_path / "kafka-2", port):
        run.make_topics()
        exits = len(run.workers[0].exits)
        run.worker(0)
        try:
            run.workers[0].wait_exits(exits + 1, timeout_s=MAX_WAIT_S)
        finally:
            run.stop()
        assert run.workers[0].exits[exits] == 78
        assert "remove this worker's data folder" in run.workers[0].log_path.read_text()


def test_a_service_added_later_begins_at_the_beginning(run: Run) -> None:
    first = run.worker(0, SERVICES="1")
    run.wait_ready(0)
    run.load(1_000, seconds=1)
    run.wait_sent(1)
    wait_until(lambda: run.lag(run.outside_topics) == 0, "counter to be done", timeout_s=MAX_WAIT_S)
    first.terminate()
    del run.workers[0]
    run.worker(0)
    run.load(500, seconds=1, seed=8)
    finish(run)
