"""The broker's clock as a worker reads it: within what bounds, whatever happens to the worker's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import CLOCK_NOT_SYNCED, BrokerClock
from models.errors import KafkaUnavailableError
from models.sender import Appended
from models.topics import WORKER_CLOCKS
from tests.support.senders import NoSender
from web.http.tokens import OrderTokens

NOW_S = 1_800_000_000.0


@dataclass
class Machines(NoSender):
    """A worker and brokers.

    wall_off_s: how far the worker's clock is ahead of the true time; brokers: likewise, by partition.
    there_s, back_s: how long a record takes, and its answer.
    """

    true_s: float = NOW_S
    wall_off_s: float = 0.0
    brokers: list[float] = field(default_factory=lambda: [0.0])
    there_s: float = 0.01
    back_s: float = 0.01
    stamps: bool = True
    is_up: bool = True
    records: list[tuple[str, int, Any]] = field(default_factory=list)

    def wall(self) -> float:
        return self.true_s + self.wall_off_s

    def steady(self) -> float:
        return self.true_s - NOW_S + 7

    async def put(
        self, topic: str, _key: Any, value: Any, headers: Any, partition: int | None = None
    ) -> Appended:
        assert partition is not None
        if not self.is_up:
            self.true_s += 5
            raise KafkaUnavailableError
        assert {name for name, _ in headers} >= {"ce_id", "ce_type", "ce_source", "traceparent"}
        self.records.append((topic, partition, orjson.loads(value)))
        self.true_s += self.there_s
        stamp_ms = int((self.true_s + self.brokers[partition]) * 1000)
        self.true_s += self.back_s
        return Appended(partition, len(self.records), stamp_ms if self.stamps else None)

    def clock(self, **options: Any) -> BrokerClock:
        return BrokerClock(
            self, worker="http://w:1", partitions=len(self.brokers), wall_clock_s=self.wall,
            monotonic_s=self.steady, **options,
        )  # fmt: skip


@given(
    wall_off_s=st.floats(-1e7, 1e7), broker_s=st.floats(-1e4, 1e4),
    there_s=st.floats(0, 20), back_s=st.floats(0, 20),
)  # fmt: skip
async def test_the_brokers_time_is_known_within_the_round_trip(
    wall_off_s: float, broker_s: float, there_s: float, back_s: float
) -> None:
    machines = Machines(wall_off_s=wall_off_s, brokers=[broker_s], there_s=there_s, back_s=back_s)
    clock = machines.clock()
    await clock.read()
    for later_s in (0, 3600):
        machines.true_s += later_s
        true_s = machines.true_s + broker_s
        assert abs(clock.now_s() - true_s) <= (there_s + back_s) / 2 + 0.01
        assert clock.earliest_now_s() <= true_s + 0.001, "what it says to have passed has"
    assert clock.offset_s is not None
    assert abs(clock.offset_s - (wall_off_s - broker_s)) <= (there_s + back_s) / 2 + 0.01


@pytest.mark.parametrize(("off_s", "words"), [(2400, "2400 s ahead of"), (-2400, "2400 s behind")])
async def test_a_worker_whose_clock_is_off_is_not_ready_and_says_why(
    off_s: float, words: str
) -> None:
    machines = Machines(wall_off_s=off_s)
    clock = machines.clock()
    assert clock.reasons() == (CLOCK_NOT_SYNCED,)
    await clock.read()
    (reason,) = clock.reasons()
    assert words in reason
    assert clock.problem() == reason
    assert abs(clock.now_s() - machines.true_s) < 0.1, "and goes by Kafka's all the same"
    metrics = {metric.name: metric.samples[0].value for metric in clock.collect()}
    assert metrics["tiffin_clock_offset_seconds"] == pytest.approx(off_s, abs=0.1)
    machines.wall_off_s = 0  # NTP is switched on; nothing has to be read anew for that
    assert clock.reasons() == ()
    assert clock.problem() == ""


async def test_a_clock_that_is_set_meanwhile_is_noticed_at_once_and_moves_nothing() -> None:
    machines = Machines()
    clock = machines.clock()
    await clock.read()
    assert clock.reasons() == ()
    machines.wall_off_s = -1_000
    assert clock.reasons()
    assert abs(clock.now_s() - machines.true_s) < 0.1


async def test_a_slow_answer_makes_nobody_unready_and_a_quick_one_is_not_forgotten_for_it() -> None:
    machines = Machines(there_s=80, back_s=0)
    clock = machines.clock()
    await clock.read()
    assert clock.reasons() == (), "the clocks may agree"
    machines.there_s = 0
    await clock.read()
    quick_s = abs(clock.now_s() - machines.true_s)
    assert quick_s < 0.01
    machines.there_s = 80
    await clock.read()
    assert abs(clock.now_s() - machines.true_s) < 0.2


async def test_a_broker_whose_clock_was_set_is_believed() -> None:
    machines = Machines()
    clock = machines.clock()
    await clock.read()
    machines.brokers = [-500.0]
    await clock.read()
    assert abs(clock.now_s() - (machines.true_s - 500)) < 0.1


async def test_of_brokers_that_differ_the_middle_one_is_gone_by_and_it_is_told() -> None:
    machines = Machines(brokers=[0.0, 2400.0, 0.2])
    clock = machines.clock()
    await clock.read()
    assert abs(clock.now_s() - machines.true_s) < 0.3
    assert clock.reasons() == (), "this worker is not the one to be mended"
    assert "the brokers' clocks differ by 2400 s" in clock.problem()
    assert {partition for _, partition, _ in machines.records} == {0, 1, 2}
    assert {topic for topic, _, _ in machines.records} == {WORKER_CLOCKS}


@pytest.mark.parametrize("case", ["away", "unstamped"])
async def test_where_kafkas_clock_cant_be_read_the_workers_own_is_taken_and_it_is_told(
    case: str,
) -> None:
    machines = Machines(is_up=case != "away", stamps=case != "unstamped", wall_off_s=5)
    clock = machines.clock()
    await clock.read()
    await clock.synced()
    assert clock.reasons() == ()
    assert clock.problem()
    assert clock.now_s() == clock.earliest_now_s() == machines.wall()
    assert list(clock.collect()) == []
    machines.is_up = machines.stamps = True
    await clock.read()
    assert clock.problem() == ""


def test_a_token_of_a_worker_whose_clock_is_ahead_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = OrderTokens("k" * 32)
    with monkeypatch.context() as ahead:
        ahead.setattr("web.http.tokens.time.time", lambda: NOW_S + 2400)
        token = tokens.issue("guest", "order_1")
    assert tokens.read(token).order_id == "order_1"
