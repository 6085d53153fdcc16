"""What the consumer gives of a poll when a rebalance begins, or a partition is sought, meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from agents.payments import payments_service
from tables import ConsumedRecord, ServiceRuntime, make_app, transport
from tables.consumed_record import RecordRun
from tables.faust_internals import ConsumerInternals

Interruption = Callable[[Any], None]


def another_generation(consumer: Any) -> None:
    consumer.app.consumer_generation_id += 1


def flow_stopped(consumer: Any) -> None:
    consumer.stop_flow()


def sought(consumer: Any) -> None:
    consumer._seeks[TP("a-payments-changelog", 0)] += 1


class Reader:
    """A consumer whose next poll brings these fetches, with the tables that they are given to."""

    def __init__(self, folder: Path, found: dict[TP, list[Any]]) -> None:
        app = make_app("a", broker="kafka://127.0.0.1:1", datadir=folder, partitions=1)
        ServiceRuntime(app, [payments_service()], dead_letter_topic="dlq", partitions=1)
        consumer: Any = app.consumer
        self.consumer: Any = consumer
        self.given: list[tuple[int, int]] = []
        self.interrupt: Interruption | None = None
        self.far_behind: set[TP] = set()
        consumer.changelogs = {CHANGELOG: self}

        async def next_records(_: float) -> Any:
            return found, set(found)

        consumer.next_records = next_records
        consumer.highwater = lambda _: 9

    async def take(self, tp: TP, runs: list[RecordRun], is_current: Callable[[], bool]) -> None:
        """The table's."""
        for run in runs:
            if not is_current():
                return
            self.given.append((tp.partition, run.first))
            if self.interrupt is not None and self.given[-1] == (0, 3):
                self.interrupt(self.consumer)

    def is_far_behind(self, tp: TP) -> bool:
        """The table's."""
        return tp in self.far_behind


CHANGELOG = "a-payments-changelog"


@pytest.mark.parametrize(
    ("interrupt", "rest"),
    [(another_generation, []), (flow_stopped, []), (sought, [(1, at) for at in range(9)])],
)
async def test_the_rest_of_a_changelog_s_fetch_is_dropped(
    tmp_path: Path, interrupt: Interruption, rest: list[tuple[int, int]]
) -> None:
    runs = [RecordRun(at, at + 1, ()) for at in range(9)]
    reader = Reader(tmp_path, {TP(CHANGELOG, number): list(runs) for number in range(2)})
    reader.interrupt = interrupt
    assert [item async for item in reader.consumer.getmany(1.0)] == []
    assert reader.given == [(0, 0), (0, 1), (0, 2), (0, 3), *rest]


async def test_inputs_do_not_wait_for_changelogs(tmp_path: Path) -> None:
    tp = TP("payment-commands", 0)
    record = ConsumedRecord(*tp, 5, 0, 1, b"a", b"1", None, 1, 1, ())
    found = {TP(CHANGELOG, 0): [RecordRun(0, 1, ())], tp: [record]}
    reader = Reader(tmp_path, found)
    consumer: Any = reader.consumer
    async for _, message in consumer.getmany(1.0):
        assert message.value == [record]
        assert not reader.given
    assert reader.given == [(0, 0)]


async def test_few_changelogs_that_are_far_behind_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[TP]] = []

    async def fetch(_: Any, partitions: set[TP], __: float) -> dict[TP, Any]:
        asked.append(partitions)
        return {}

    monkeypatch.setattr(ConsumerInternals, "fetch", fetch)
    reader = Reader(tmp_path, {})
    tps = [TP(CHANGELOG, number) for number in range(9)]
    reader.far_behind = set(tps[:5])
    await reader.consumer.fetch({*tps, TP("payment-commands", 0)}, 1.0)
    assert asked == [{*tps[: transport.BULK_PARTITIONS], *tps[5:], TP("payment-commands", 0)}]
