"""What the engine can't mend ends the worker: 78 when Kafka lost what tables build on, 70 for the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, wait_until
from tables.worker_exit import EXIT_FAULT, EXIT_WRONG_KAFKA
from tests.faults.engine_run import PARTITIONS, Run


@pytest.fixture
def run(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Run]:
    with Run(kafka.bootstrap, tmp_path) as run:
        yield run


def work_and_stop(run: Run) -> None:
    """One worker decides something, commits it, and stops in good order."""
    run.worker(0)
    run.load(200, seconds=0.5)
    run.wait_done()
    assert run.workers[0].terminate() == 0


def delete(run: Run, topic: str) -> None:
    """Delete a topic and wait until Kafka does not know it any more."""
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    for future in admin.delete_topics([topic]).values():
        future.result(20)
    wait_until(
        lambda: topic not in admin.list_topics(timeout=MAX_WAIT_S).topics,
        "the deletion",
        timeout_s=MAX_WAIT_S,
    )


def remake(run: Run, topic: str) -> None:
    """Delete a topic and make it again, empty."""
    delete(run, topic)
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(20)


def lose_data(run: Run) -> None:
    """Empty the worker's data folder, as a new machine has it."""
    shutil.rmtree(run.datadir(0))


def is_refused(run: Run, *words: str) -> None:
    """Start the worker again: it ends with 78 at once, and its log says why and what to do."""
    log = run.workers[0].log_path
    before, exits = len(log.read_text()), len(run.workers[0].exits)
    run.worker(0)
    ends(run, exits, EXIT_WRONG_KAFKA)
    text = log.read_text()[before:]
    assert all(word in text for word in words), text[-3000:]


def ends(run: Run, exits: int, status: int) -> None:
    """Wait until the worker ends the next time, `exits` times having been; then it is left ended."""
    try:
        run.workers[0].wait_exits(exits + 1, timeout_s=MAX_WAIT_S)
    finally:
        run.workers[0].terminate()
    assert run.workers[0].exits[exits] == status, run.workers[0].log_tail()


def test_a_changelog_made_again_under_kept_data_is_refused(run: Run) -> None:
    work_and_stop(run)
    changelog = run.changelog(run.services[0])
    delete(run, changelog)
    is_refused(run, f"topic {changelog} was deleted and made again", "remove this worker's data")


def test_a_lost_changelog_is_refused_until_the_group_begins_anew(run: Run) -> None:
    work_and_stop(run)
    delete(run, run.changelog(run.services[0]))
    lose_data(run)
    is_refused(run, "its changelog topic was deleted or emptied", "faust -A app restore")
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    for future in admin.delete_consumer_groups([run.name]).values():
        future.result(20)
    ready = run.ready_count(0)
    run.worker(0)
    run.wait_ready(0, again_after=ready)
    run.wait_done()


@pytest.mark.parametrize("is_data_lost", [False, True], ids=["kept", "lost"])
def test_an_input_topic_made_again_is_refused(run: Run, is_data_lost: bool) -> None:
    work_and_stop(run)
    topic = run.outside_topics[0]
    remake(run, topic)
    if is_data_lost:  # then the changelog tells which topic it was
        lose_data(run)
    is_refused(run, f"topic {topic} was deleted and made again", "restore the topics")


@pytest.mark.parametrize("is_input", [True, False], ids=["input", "changelog"])
def test_a_topic_made_again_under_a_running_worker_ends_it(run: Run, is_input: bool) -> None:
    run.worker(0, LIMITS=json.dumps({"inspect_s": 0.5}))
    run.load(200, seconds=0.5)
    run.wait_done()
    topic = run.outside_topics[0] if is_input else run.changelog(run.services[0])
    remake(run, topic)
    exits = run.workers[0].exits
    # Should it look just while there is no such topic, it ends with 70 and starts again.
    try:
        wait_until(
            lambda: EXIT_WRONG_KAFKA in exits, "the worker to end with 78", timeout_s=MAX_WAIT_S
        )
    finally:
        run.workers[0].terminate()
    assert set(exits[: exits.index(EXIT_WRONG_KAFKA)]) <= {EXIT_FAULT}
    assert f"topic {topic} was deleted and made again" in run.workers[0].log_path.read_text()


def test_an_input_topic_that_lost_its_last_records_is_refused(tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker, Run(broker.bootstrap, tmp_path) as run:
        work_and_stop(run)
        broker.stop()
        for partition in range(PARTITIONS):
            folder = broker.data_dir / "logs" / f"{run.outside_topics[0]}-{partition}"
            for file in folder.glob("0*"):
                file.unlink()
        broker.start()
        is_refused(run, "the topic has lost records", "Restore it")


@pytest.mark.parametrize("is_last", [False, True], ids=["a later one comes", "it is the last"])
def test_a_record_that_never_comes_ends_the_worker(run: Run, is_last: bool) -> None:
    topic = run.outside_topics[0]
    limits = {"gap_repair_s": 0.5, "gap_exit_s": 3, "tail_repair_s": 0.5, "tail_exit_s": 3}
    run.worker(0, LIMITS=json.dumps(limits), STEPPED_OVER=json.dumps([topic, 0, 0]))
    run.wait_ready(0)
    producer = Producer({"bootstrap.servers": run.bootstrap})
    for number in range(1 if is_last else 3):
        message = {"id": f"{number}", "command": 1}
        producer.produce(topic, json.dumps(message), key="k", partition=0)
    assert producer.flush(20) == 0
    ends(run, 0, EXIT_FAULT)
    log = run.workers[0].log_path.read_text()
    assert "DeliveryGapError: offset 0 of" in log
    assert "a delivery gap" in log  # it was asked for again, in vain
