"""The configuration of changelogs, and who waits until a service has caught up.

What is behind a stop is not waited for; all that lies before it is, and nobody else's stop counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from agents.payments import payments_service
from tables import InputPosition, PartitionStop, ServiceRuntime, caught_up, make_app

TOPIC = "payment-events"


@pytest.mark.parametrize(("replicas", "wanted"), [(1, None), (2, None), (3, 2)])
def test_changelogs_too_are_at_two_replicas_before_they_count(
    tmp_path: Path, replicas: int, wanted: int | None
) -> None:
    app = make_app(
        "a", broker="kafka://127.0.0.1:1", datadir=tmp_path, partitions=3, replication=replicas
    )
    ServiceRuntime(app, [payments_service()], dead_letter_topic="dlq", partitions=3)
    config = app.tables["payments"].changelog_topic.config or {}
    assert config.get("min.insync.replicas") == wanted
    assert config["max.message.bytes"] > 0
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["max.compaction.lag.ms"] == 24 * 3600 * 1000, "small ones are compacted too"


async def read_ends(partitions: Sequence[TP]) -> dict[TP, int]:
    return dict.fromkeys(partitions, 100)


def stop(offset: int, service: str = "", partition: int = 0) -> PartitionStop:
    return PartitionStop(TOPIC, partition, offset, offset + 1, service, "x", 0)


@pytest.mark.parametrize(
    ("durable_offset", "stops", "is_caught_up"),
    [
        (99, [], True), (98, [], False), (49, [stop(60, "timeline")], False),
        (49, [stop(60)], False), (59, [stop(60)], True), (59, [stop(60, partition=1)], False),
    ],
)  # fmt: skip
async def test_caught_up(
    durable_offset: int, stops: list[PartitionStop], is_caught_up: bool
) -> None:
    at = InputPosition(
        service="orders", topic=TOPIC, partition=0, next_offset=durable_offset + 1,
        durable_offset=durable_offset, committed=None, waiting=0, in_flight=0, paused=False,
    )  # fmt: skip
    runtime: Any = SimpleNamespace(
        positions=lambda: [at], stops=SimpleNamespace(all=lambda: stops), read_ends=read_ends
    )
    waiting = asyncio.create_task(caught_up(runtime, ["orders"], 0))
    done_now, _ = await asyncio.wait([waiting], timeout=30 if is_caught_up else 0.3)
    assert bool(done_now) is is_caught_up
    waiting.cancel()
