"""A task notices records that are next_offset and do not come, whether or not a later one was delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace

import pytest

from tables.limits import Limits
from tables.partition_task import MIN_FETCH_BYTES, DeliveryGap, PartitionTask
from tables.record_batches import empty_offsets


@pytest.fixture
def task() -> PartitionTask:
    """Only what decides which offset is taken; nothing is applied."""
    task = PartitionTask.__new__(PartitionTask)
    task.is_open, task.next_offsets, task.delivery_gaps, task.waiting, task.waiting_bytes = (
        True,
        {"t": 5},
        {},
        0,
        0,
    )
    task._inbox, task._limits, task._arrived = deque(), Limits(), asyncio.Event()
    return task


def fetch(*offsets: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, value=b"") for offset in offsets]


def test_the_last_records_are_missed_though_nothing_comes_after_them(task: PartitionTask) -> None:
    task.expect("t", end=8)
    assert task.delivery_gaps["t"].next_offset == 5
    assert not task.delivery_gaps["t"].is_confirmed
    task.feed("t", fetch(5, 6, 7))
    assert task.delivery_gaps == {}
    assert task.next_offsets["t"] == 8


def test_nothing_is_missed_at_the_end_or_while_inputs_wait(task: PartitionTask) -> None:
    task.expect("t", end=5)
    assert task.delivery_gaps == {}
    task.waiting = 3
    task.expect("t", end=9)
    assert task.delivery_gaps == {}


def test_a_later_record_makes_a_hole_certain(task: PartitionTask) -> None:
    task.expect("t", end=9)
    task.feed("t", fetch(7, 8))
    assert task.delivery_gaps["t"].is_confirmed
    assert task.next_offsets["t"] == 5


def test_offsets_without_records_are_no_hole(task: PartitionTask) -> None:
    task.feed("t", [empty_offsets("t", 0, 5, 7), *fetch(8)])
    assert task.delivery_gaps == {}
    assert task.next_offsets["t"] == 9
    task.feed("t", [empty_offsets("t", 0, 7, 11)])  # begins with what is known
    assert task.next_offsets["t"] == 12
    task.feed("t", [empty_offsets("t", 0, 14, 15)])
    assert (task.delivery_gaps["t"].next_offset, task.next_offsets["t"]) == (12, 12)


def test_large_values_fill_an_inbox_as_many_inputs_do(task: PartitionTask) -> None:
    task._limits = Limits(inbox_bytes=MIN_FETCH_BYTES * 2 + 1000)
    small, large = fetch(5), [SimpleNamespace(offset=6, value=bytes(1000))]
    assert task.feed("t", small)
    assert not task.feed("t", large)


def test_a_hole_is_asked_for_with_growing_pauses() -> None:
    gap, asked_at = DeliveryGap(next_offset=5, since_s=0.0), []
    for age_s in range(40):
        if gap.is_retry_due(age_s, 1.0):
            asked_at.append(age_s)
            gap = gap._replace(requests=gap.requests + 1)
    assert asked_at == [1, 2, 4, 8, 16, 32]
