"""Timers ask once for each deadline that is due, and not before the partition is read up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.timers import Timers
from models import ids
from models.commands import Command, CommandType
from models.errors import KafkaUnavailableError
from models.order import OrderRecord, OrderWork
from sandbox.processes import MAX_WAIT_S
from tables import StoredRecord
from tests.support.senders import NoSender

ORDER = ids.order_id("guest", "timers")
DUE_MS = 1_000_000


class TimersHarness(NoSender):
    """A clock that stands, a sender that notes, partitions that are read up when they are told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sent: list[Command] = []
        self.is_up = True
        self.refused = 0
        self.read_up: dict[int, asyncio.Event] = {}
        self.timers = Timers(self, self.caught_up, repeat_after_s=10, now_s=lambda: self.now_s)

    async def send(self, command: Command) -> None:
        if not self.is_up:
            self.refused += 1
            raise KafkaUnavailableError
        self.sent.append(command)

    async def caught_up(self, services: tuple[str, ...], partition: int) -> None:
        assert services == ("payments", "orders")
        await self.read_up.setdefault(partition, asyncio.Event()).wait()

    def opened(self, partition: int = 0) -> None:
        self.read_up.setdefault(partition, asyncio.Event()).set()

    def has(self, deadlines: dict[str, int], partition: int = 0, key: str = ORDER) -> None:
        state = OrderRecord(work=OrderWork(deadlines=deadlines, correlation_id="c"))
        self.timers.updated(partition, key, record(key, state))

    async def at(self, now_s: float, until: Callable[[], Any] = lambda: True) -> None:
        """Let the time come, and the tasks do all that they can, until the condition holds."""
        self.now_s = now_s
        self.timers._new_earliest.set()
        async with asyncio.timeout(MAX_WAIT_S):
            for _ in range(20):
                await asyncio.sleep(0)
            while not until():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)


def record(key: str, state: OrderRecord) -> StoredRecord:
    return StoredRecord(key=key, version=1, state=state, sequences={}, outcomes={}, quarantine=None)


@pytest.fixture
async def world() -> AsyncIterator[TimersHarness]:
    made = TimersHarness()
    made.timers.start()
    yield made
    await made.timers.stop()


async def test_asks_when_it_is_due_and_not_before(world: TimersHarness) -> None:
    world.opened()
    world.has({"KITCHEN": DUE_MS})
    await world.at(DUE_MS / 1000 - 1)
    assert world.sent == []
    await world.at(DUE_MS / 1000, lambda: world.sent)
    (command,) = world.sent
    assert command.command_type is CommandType.CHECK_DEADLINE
    assert (command.data.deadline, command.data.due_at) == ("KITCHEN", DUE_MS)
    assert command.issued_by == "system:timers"


async def test_waits_until_the_partition_is_read_up(world: TimersHarness) -> None:
    world.has({"PAYMENT": DUE_MS})
    world.has({"KITCHEN": DUE_MS}, key="other")
    await world.at(DUE_MS / 1000 + 100)
    assert world.sent == []
    world.has({}, key="other")  # what lay in the inputs made it void
    world.opened()
    await world.at(DUE_MS / 1000 + 100, lambda: world.sent)
    assert [command.data.deadline for command in world.sent] == ["PAYMENT"]


async def test_a_deadline_that_is_gone_or_moved_is_not_asked_for(world: TimersHarness) -> None:
    world.opened()
    world.has({"PAYMENT": DUE_MS, "KITCHEN": DUE_MS})
    await world.at(0)
    world.has({"KITCHEN": DUE_MS + 5000})
    await world.at(DUE_MS / 1000 + 1)
    assert world.sent == []
    await world.at(DUE_MS / 1000 + 6, lambda: world.sent)
    assert [command.data.due_at for command in world.sent] == [DUE_MS + 5000]
    assert world.timers.pending == 1


async def test_the_next_owner_sends_the_same_command(world: TimersHarness) -> None:
    world.opened(0)
    world.opened(1)
    world.has({"PAYMENT": DUE_MS})
    await world.at(DUE_MS / 1000, lambda: world.sent)
    world.timers.closed(0)
    assert world.timers.pending == 0
    world.has({"PAYMENT": DUE_MS}, partition=1)
    await world.at(DUE_MS / 1000, lambda: len(world.sent) == 2)
    assert len({command.command_id for command in world.sent}) == 1


async def test_what_had_no_effect_is_asked_for_again_under_another_id(world: TimersHarness) -> None:
    world.opened()
    world.has({"PAYMENT": DUE_MS})
    await world.at(DUE_MS / 1000, lambda: world.sent)
    world.has({"PAYMENT": DUE_MS})  # some other input was stored; the deadline is still there
    await world.at(DUE_MS / 1000 + 9)
    assert len(world.sent) == 1
    await world.at(DUE_MS / 1000 + 10, lambda: len(world.sent) == 2)
    assert len({command.command_id for command in world.sent}) == 2
    world.has({})
    await world.at(DUE_MS / 1000 + 1000)
    assert len(world.sent) == 2


async def test_a_closed_partition_asks_for_nothing(world: TimersHarness) -> None:
    world.has({"PAYMENT": DUE_MS})
    world.timers.closed(0)
    world.opened()
    await world.at(DUE_MS / 1000 + 100)
    assert world.sent == []


async def test_goes_on_when_kafka_is_back(world: TimersHarness) -> None:
    world.opened()
    world.is_up = False
    world.has({"PAYMENT": DUE_MS})
    await world.at(DUE_MS / 1000, lambda: world.refused)
    world.is_up = True
    await world.at(DUE_MS / 1000 + 1, lambda: world.sent)
    assert len(world.sent) == 1


def shown(world: TimersHarness) -> dict[str, float]:
    """Every sample of the metrics by name and labels, without the prefix."""
    return {
        " ".join((s.name.removeprefix("tiffin_timers_"), *s.labels.values())): s.value
        for metric in world.timers.collect()
        for s in metric.samples
    }


async def test_metrics_tell_what_is_due_what_fired_and_how_late(world: TimersHarness) -> None:
    world.opened()
    assert {value for name, value in shown(world).items() if "created" not in name} == {0}
    world.is_up = False
    world.has({"PAYMENT": DUE_MS, "KITCHEN": DUE_MS + 60_000})
    world.has({"PAYMENT": DUE_MS + 1000}, key="other")
    await world.at(DUE_MS / 1000 + 1, lambda: world.refused >= 2)
    before = shown(world)
    assert (before["pending PAYMENT"], before["due PAYMENT"], before["due KITCHEN"]) == (2, 2, 0)
    assert before["fired_total PAYMENT"] == 0, "Kafka has none of it"
    world.is_up = True
    await world.at(DUE_MS / 1000 + 4, lambda: len(world.sent) == 2)
    await world.at(DUE_MS / 1000 + 20, lambda: len(world.sent) == 4)
    world.has({"KITCHEN": DUE_MS + 60_000})
    after = shown(world)
    assert (after["pending PAYMENT"], after["due PAYMENT"]) == (1, 1)
    assert (after["fired_total PAYMENT"], after["repeated_total PAYMENT"]) == (2, 2)
    assert (after["fired_total KITCHEN"], after["pending KITCHEN"]) == (0, 1)
    late = {name: value for name, value in after.items() if name.startswith("lateness")}
    assert (late["lateness_seconds_count PAYMENT"], late["lateness_seconds_sum PAYMENT"]) == (2, 7)
    assert late["lateness_seconds_bucket PAYMENT 2.5"] == 0
    assert late["lateness_seconds_bucket PAYMENT 5.0"] == 2
    assert late["lateness_seconds_count KITCHEN"] == 0
