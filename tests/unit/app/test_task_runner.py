"""Durable tasks: begun when they are stored, tried again, dropped when they are gone, reported to Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.task_runner import Backoff, RowTask, RowTasks
from models import ids
from models.commands import CancelPayment, Command, CommandType
from models.errors import KafkaUnavailableError
from models.transition import UnreadableError
from tables import StoredRecord
from tests.support.senders import NoSender

ORDER = ids.order_id("guest", "tasks")


@dataclass
class Item:
    """fails: how many tries do. hold: what a task waits for before it begins."""

    name: str
    fails: int = 0
    hold: asyncio.Event | None = None
    requested_ms: int = 0


@dataclass
class Done:
    order_id: str
    item: Item
    maybe_done: bool
    tries: int = 0
    told: list[Item] = field(default_factory=list)


class Sender(NoSender):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or KafkaUnavailableError("away")
        self.fails = 0
        self.sent: list[str] = []

    async def send(self, command: Command) -> None:
        if self.fails:
            self.fails -= 1
            raise self.error
        self.sent.append(command.command_id)


class Runner(RowTasks[Item, Done]):
    def __init__(self, sender: Sender, ready: asyncio.Event | None = None) -> None:
        super().__init__(sender, Backoff(0.0, 0.0), lambda: 1.0, ready.wait if ready else None)
        self.begun: list[Done] = []

    def _wanted(self, state: list[Item]) -> Mapping[str, Item]:
        return {item.name: item for item in state}

    def _begin(self, key: str, item: Item, _state: Any, opened_ms: float) -> Done:
        self.begun.append(Done(key, item, item.requested_ms <= opened_ms))
        return self.begun[-1]

    def _keep(self, each: RowTask[Done], item: Item, _state: Any) -> bool:
        each.work.told.append(item)
        return item.requested_ms == each.work.item.requested_ms

    def _failures_before(self, _work: Done) -> int:
        return 0

    async def _attempt(self, each: RowTask[Done]) -> bool:
        work = each.work
        if work.item.hold:
            each.is_held = True
            await work.item.hold.wait()
            each.is_held = False
        work.tries += 1
        if work.tries <= work.item.fails:
            return False
        await self._report(
            Command(
                order_id=work.order_id, command_id=work.item.name, issued_by="system:tests",
                command_type=CommandType.CANCEL_PAYMENT, issued_at="2026-01-01T00:00:00.000Z",
                data=CancelPayment(),
            )
        )  # fmt: skip
        return True


def stored(*items: Item) -> StoredRecord:
    return StoredRecord(ORDER, 1, list(items), {}, {}, None)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@given(st.floats(0.01, 10), st.floats(0.01, 1000), st.integers(0, 10_000))
def test_pauses_double_up_to_a_bound(first_s: float, longest_s: float, failures: int) -> None:
    exact = Backoff(first_s, longest_s, jitter=(1, 1))
    assert exact.delay_s(0) == 0
    assert exact.delay_s(1) == min(first_s, longest_s)
    assert exact.delay_s(failures) <= exact.delay_s(failures + 1) <= longest_s
    assert 0.5 * exact.delay_s(failures) <= Backoff(first_s, longest_s).delay_s(failures)
    assert Backoff(first_s, longest_s).delay_s(failures) <= exact.delay_s(failures)


async def test_an_item_is_tried_until_it_is_done_and_reported_until_kafka_has_it() -> None:
    sender = Sender()
    sender.fails = 2
    runner = Runner(sender)
    runner.updated(0, ORDER, stored(Item("a", fails=3)))
    runner.updated(0, ORDER, stored(Item("a", fails=3)))
    await settle()
    assert (sender.sent, [work.tries for work in runner.begun]) == (["a"], [4])
    assert runner.counters.errors == {"KafkaUnavailableError": 2}
    assert len(runner.begun[0].told) == 1, "the second update told the task that there was"


async def test_what_was_requested_before_the_partition_came_may_have_been_done() -> None:
    runner = Runner(Sender())
    runner.updated(0, ORDER, stored(Item("old", requested_ms=1000), Item("new", requested_ms=1001)))
    assert [work.maybe_done for work in runner.begun] == [True, False]
    await runner.stop()


async def test_nothing_begins_before_the_runner_is_ready() -> None:
    sender, ready = Sender(), asyncio.Event()
    runner = Runner(sender, ready)
    runner.updated(0, ORDER, stored(Item("a")))
    await settle()
    assert sender.sent == []
    ready.set()
    await settle()
    assert sender.sent == ["a"]


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_held_task_is_cancelled_when_it_is_not_wanted_any_more(is_replaced: bool) -> None:
    sender, hold = Sender(), asyncio.Event()
    runner = Runner(sender)
    runner.updated(0, ORDER, stored(Item("a", hold=hold)))
    await settle()
    runner.updated(0, ORDER, stored(*([Item("a", requested_ms=5)] if is_replaced else [])))
    hold.set()
    await settle()
    assert sender.sent == (["a"] if is_replaced else [])
    assert [work.tries for work in runner.begun] == ([0, 1] if is_replaced else [0])


async def test_a_closed_partition_and_a_stopped_runner_do_nothing_more() -> None:
    sender, hold = Sender(), asyncio.Event()
    runner = Runner(sender)
    for partition in (0, 1):
        runner.updated(partition, f"{ORDER}{partition}", stored(Item(str(partition), hold=hold)))
    await settle()
    runner.closed(0)
    hold.set()
    await settle()
    assert sender.sent == ["1"]
    runner.updated(0, ORDER, stored(Item("2", hold=asyncio.Event())))
    await runner.stop()
    await settle()
    assert (sender.sent, runner._tasks) == (["1"], set())


@pytest.mark.parametrize("error", [UnreadableError("amount"), ValueError("no text")])
async def test_a_report_that_cannot_be_written_neither_ends_the_task_nor_does_its_work_again(
    error: Exception,
) -> None:
    sender = Sender(error)
    sender.fails = 2
    runner = Runner(sender)
    runner.updated(0, ORDER, stored(Item("a")))
    await settle()
    assert (sender.sent, [work.tries for work in runner.begun]) == (["a"], [1])
    assert runner.counters.errors == {type(error).__name__: 2}
