"""Ends of inputs that were asked for before the worker hung are no proof that records were lost."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from tables.cluster import Bounds, ClusterIds
from tables.identity import IdentityCheck
from tables.worker_exit import WrongKafkaError

COMMANDS = TP("commands", 1)
HOSTED: Any = SimpleNamespace(name="first", inputs=["commands"], changelog="first-changelog")


class GrowingTopic:
    """Kafka, in which the input topic grows between two questions."""

    def __init__(self, *ends: int) -> None:
        self.ends = list(ends)

    def ids(self, topics: Sequence[str], _: float) -> ClusterIds:
        return ClusterIds("cluster", dict.fromkeys(topics, "id"))

    def bounds(self, partitions: Sequence[tuple[str, int]], _: float) -> Bounds:
        end = self.ends.pop(0)
        return dict.fromkeys(partitions, (0, end))


async def begin(kafka: Any, processed: int) -> dict[str, int]:
    """Where a task begins whose table has processed the input up to an offset."""
    check = IdentityCheck([HOSTED], kafka)
    await check.learn_ids(1.0)
    await check.learn_bounds([(HOSTED, COMMANDS.partition)], 1.0)
    known = {COMMANDS.topic: processed}
    await check.learn_bounds_behind(HOSTED, COMMANDS.partition, known, 1.0)
    return check.first_offsets(HOSTED, COMMANDS.partition, known, {})


async def test_a_table_that_another_worker_carried_on_is_taken() -> None:
    assert await begin(GrowingTopic(5, 9), processed=8) == {"commands": 9}


async def test_ends_are_asked_for_once_where_they_tell_enough() -> None:
    kafka = GrowingTopic(5, 9)
    assert await begin(kafka, processed=4) == {"commands": 5}
    assert kafka.ends == [9]


async def test_records_that_are_gone_are_still_noticed() -> None:
    with pytest.raises(WrongKafkaError, match="the topic has lost records"):
        await begin(GrowingTopic(5, 5), processed=8)
