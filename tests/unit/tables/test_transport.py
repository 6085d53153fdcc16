"""What the consumer gives of a poll when a rebalance begins, or a partition is sought, meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from agents.payments import payments_service
from tables import ConsumedRecord, ServiceRuntime, make_app

Interruption = Callable[[Any], None]


def another_generation(consumer: Any) -> None:
    consumer.app.consumer_generation_id += 1


def flow_stopped(consumer: Any) -> None:
    consumer.stop_flow()


def sought(consumer: Any) -> None:
    consumer._seeks[TP("a-payments-changelog", 0)] += 1


@pytest.mark.parametrize(
    ("interrupt", "rest"),
    [(another_generation, []), (flow_stopped, []), (sought, [(1, at) for at in range(9)])],
)
async def test_the_rest_of_a_changelog_s_fetch_is_dropped(
    tmp_path: Path, interrupt: Interruption, rest: list[tuple[int, int]]
) -> None:
    app = make_app("a", broker="kafka://127.0.0.1:1", datadir=tmp_path, partitions=1)
    ServiceRuntime(app, [payments_service()], dead_letter_topic="dlq", partitions=1)
    tps = [TP("a-payments-changelog", 0), TP("a-payments-changelog", 1)]
    consumer: Any = app.consumer

    async def next_records(_: float) -> Any:
        records = {
            tp: [ConsumedRecord(*tp, at, 0, 1, b"a/b", b"1", None, 3, 1, ()) for at in range(9)]
            for tp in tps
        }
        return records, set(tps)

    consumer.next_records = next_records
    consumer.highwater = lambda _: 9
    given = []
    async for tp, message in consumer.getmany(1.0):
        given.append((tp.partition, message.offset))
        if given[-1] == (0, 3):
            interrupt(consumer)
    assert given == [(0, 0), (0, 1), (0, 2), (0, 3), *rest]
