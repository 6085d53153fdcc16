"""An input that ends the worker wherever it stands in a commit batch is found, and the task left there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rocksdict

from tables import partition_task as tasks
from tables.cluster import ClusterIds
from tables.limits import Counters, Limits
from tables.partition_task import PartitionTask, TaskContext
from tables.worker_exit import MAX_FAILURES_AT_ONE_OFFSET, FailureLog
from tests.support.engine_services import Consumed, EchoService, body

BAD, INPUTS = 300, 800
WATCH_S = 0.02
"""Stands in for the second of the task manager's watch."""


class SlowBatches:
    """A producer that needs a moment, so that inputs gather in groups."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.count = 0

    async def send_all(self, items: Sequence[Any], _: Any) -> int:
        return len(items)

    def append(self, _: Any) -> None:
        self.count += 1

    async def send(self, _: Any) -> int:
        if self.count:
            await asyncio.sleep(0.002)
        return -1


class Store(dict[bytes, bytes]):
    def write(self, _: Any) -> None:
        pass


class Writes:
    def __init__(self, *, raw_mode: bool) -> None:
        pass

    def put(self, *_: Any) -> None:
        pass


class Table:
    name, listeners = "echo", ()

    def __init__(self) -> None:
        self.service = EchoService()

    def publish(self, *_: Any) -> None:
        pass

    def partition_of(self, _: str) -> int:
        return 0


class ProducerFence:
    epoch, producer = 1, None


@pytest.fixture(autouse=True)
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "Batches", SlowBatches)
    monkeypatch.setattr(rocksdict, "WriteBatch", Writes)


class Exit:
    """In place of the process's end."""

    def __init__(self, fail_at: Any = None) -> None:
        self.fail_at = fail_at


def make(worker_exit: Any) -> PartitionTask:
    table: Any = Table()
    context = TaskContext(
        table=table, changelog="c", offset_key=b"o", index=None, dead_letter_topic="d", limits=Limits(),
        counters=Counters(), readers={}, cluster_ids=ClusterIds("c", {}),
        worker_exit=worker_exit, on_backlog_drained=lambda _: None,
    )  # fmt: skip
    parts: list[Any] = [0, ProducerFence(), Store()]
    return PartitionTask(context, *parts)


def inputs() -> Sequence[Any]:
    return [Consumed(b"k%d" % n, body(str(n)), n, topic="in-a") for n in range(INPUTS)]


async def run_until_failure(failures: FailureLog, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """A process from its start until it ends; gives the last offset that it recorded as done."""
    ended = asyncio.get_running_loop().create_future()

    def fail_at(
        service: str, partition: int, known: tuple[Any, Any], _: str, error: BaseException
    ) -> None:
        failures.note(service, partition, known, error)
        task.is_open = False
        ended.set_result(None)

    task = make(Exit(fail_at))
    process = task._processor.process

    def apply_or_end(topic: str, given: Sequence[Any]) -> int:
        if any(consumed.offset == BAD for consumed in given):
            raise MemoryError
        return process(topic, given)

    monkeypatch.setattr(task._processor, "process", apply_or_end)
    failure = failures.of("echo", 0)
    task.isolates_inputs = failure is not None
    task.open({"in-a": 0, "in-b": 0}, {})
    task.feed("in-a", inputs())
    while not ended.done():
        await asyncio.wait([ended], timeout=WATCH_S)
        failure = failures.of("echo", 0)
        if (
            task.is_open
            and task.isolates_inputs
            and (failure is None or failure.is_behind(task.durable_offsets))
        ):
            failures.clear("echo", 0)
            task.isolates_inputs = False
    done = task.durable_offsets["in-a"]
    task.close()
    return done


async def test_a_bad_input_in_a_group_ends_few_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = FailureLog(tmp_path / "failures.json")
    lives = 0
    while (known := failures.of("echo", 0)) is None or known.count < MAX_FAILURES_AT_ONE_OFFSET:
        await run_until_failure(failures, monkeypatch)
        lives += 1
        assert lives <= MAX_FAILURES_AT_ONE_OFFSET + 1
    assert (known.topic, known.offset) == ("in-a", BAD)


async def test_a_task_that_isolates_its_inputs_goes_on_by_itself() -> None:
    task = make(Exit())
    task.isolates_inputs = True
    task.open({"in-a": 0, "in-b": 0}, {})
    task.feed("in-a", inputs()[:200])
    async with asyncio.timeout(60):
        while task.durable_offsets["in-a"] < 199:  # noqa: ASYNC110 -- nobody marks it meanwhile, as a watch would
            await asyncio.sleep(0.01)
    task.close()
