"""An input that ends the worker wherever it stands in a group is found, and the lane left there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rocksdict

from tables import lane as lanes
from tables.lane import Lane
from tables.limits import Counters, Limits
from tables.stops import FAILURES_AT_ONE_PLACE, Failures
from tests.unit.test_apply import Consumed, Echo, body

BAD, INPUTS = 300, 800
WATCH_S = 0.02
"""Stands in for the coordinator's second."""


class SlowBatches:
    """A producer that needs a moment, so that inputs gather in groups."""

    def __init__(self, _: Any) -> None:
        self.count = 0

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
        self.service = Echo()

    def stored(self, *_: Any) -> None:
        pass


class Origin:
    def dump(self, _: Any) -> bytes:
        return b"{}"


class Claim:
    epoch, producer = 1, None


@pytest.fixture(autouse=True)
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "Batches", SlowBatches)
    monkeypatch.setattr(rocksdict, "WriteBatch", Writes)


def make(fail: Any) -> Lane:
    parts: list[Any] = [Table(), 0, Claim(), Store()]
    return Lane(
        *parts, changelog="c", offset_key=b"o", origin=Origin(),
        dead_letter_topic="d", limits=Limits(), counters=Counters(), readers={}, fail=fail,
        relieved=lambda _: None,
    )  # fmt: skip


def inputs() -> Sequence[Any]:
    return [Consumed(b"k%d" % n, body(str(n)), n, topic="in-a") for n in range(INPUTS)]


async def one_life(failures: Failures, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """A process from its start until it ends; gives the last offset that it recorded as done."""
    ended = asyncio.get_running_loop().create_future()

    def fail(lane: Lane, _: str, error: BaseException) -> None:
        known = lane.inputs_in_flight()
        assert known is not None
        failures.note("echo", 0, *known, error)
        lane.is_open = False
        ended.set_result(None)

    lane = make(fail)
    apply = lane._applier.apply

    def apply_or_end(topic: str, given: Sequence[Any]) -> int:
        if any(consumed.offset == BAD for consumed in given):
            raise MemoryError
        return apply(topic, given)

    monkeypatch.setattr(lane._applier, "apply", apply_or_end)
    failure = failures.of("echo", 0)
    lane.is_careful = failure is not None
    lane.open({"in-a": 0, "in-b": 0}, None)
    lane.feed("in-a", inputs())
    while not ended.done():
        await asyncio.wait([ended], timeout=WATCH_S)
        failure = failures.of("echo", 0)
        if lane.is_open and lane.is_careful and (failure is None or failure.is_passed(lane.done)):
            failures.clear("echo", 0)
            lane.is_careful = False
    done = lane.done["in-a"]
    lane.close()
    return done


async def test_a_bad_input_in_a_group_ends_few_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = Failures(tmp_path / "failures.json")
    lives = 0
    while (known := failures.of("echo", 0)) is None or known.count < FAILURES_AT_ONE_PLACE:
        await one_life(failures, monkeypatch)
        lives += 1
        assert lives <= FAILURES_AT_ONE_PLACE + 1
    assert (known.topic, known.offset) == ("in-a", BAD)


async def test_a_careful_lane_goes_on_by_itself() -> None:
    lane = make(fail=None)
    lane.is_careful = True
    lane.open({"in-a": 0, "in-b": 0}, None)
    lane.feed("in-a", inputs()[:200])
    async with asyncio.timeout(60):
        while lane.done["in-a"] < 199:  # noqa: ASYNC110 -- nobody marks it meanwhile, as a watch would
            await asyncio.sleep(0.01)
    lane.close()
