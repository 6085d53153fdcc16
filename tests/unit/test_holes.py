"""A lane notices records that are due and do not come, whether or not a later one was delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace

import pytest

from tables.holes import Hole
from tables.lane import LEAST_FETCH_BYTES, Lane
from tables.limits import Limits
from tables.record_batches import offset_gap


@pytest.fixture
def lane() -> Lane:
    """Only what decides which offset is taken; nothing is applied."""
    lane = Lane.__new__(Lane)
    lane.is_open, lane.due, lane.holes, lane.waiting, lane.waiting_bytes = True, {"t": 5}, {}, 0, 0
    lane._inbox, lane._limits, lane._arrived = deque(), Limits(), asyncio.Event()
    return lane


def fetch(*offsets: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, value=b"") for offset in offsets]


def test_the_last_records_are_missed_though_nothing_comes_after_them(lane: Lane) -> None:
    lane.expect("t", end=8)
    assert lane.holes["t"].due == 5
    assert not lane.holes["t"].is_seen
    lane.feed("t", fetch(5, 6, 7))
    assert lane.holes == {}
    assert lane.due["t"] == 8


def test_nothing_is_missed_at_the_end_or_while_inputs_wait(lane: Lane) -> None:
    lane.expect("t", end=5)
    assert lane.holes == {}
    lane.waiting = 3
    lane.expect("t", end=9)
    assert lane.holes == {}


def test_a_later_record_makes_a_hole_certain(lane: Lane) -> None:
    lane.expect("t", end=9)
    lane.feed("t", fetch(7, 8))
    assert lane.holes["t"].is_seen
    assert lane.due["t"] == 5


def test_offsets_without_records_are_no_hole(lane: Lane) -> None:
    lane.feed("t", [offset_gap("t", 0, 5, 7), *fetch(8)])
    assert lane.holes == {}
    assert lane.due["t"] == 9
    lane.feed("t", [offset_gap("t", 0, 7, 11)])  # begins with what is known
    assert lane.due["t"] == 12
    lane.feed("t", [offset_gap("t", 0, 14, 15)])
    assert (lane.holes["t"].due, lane.due["t"]) == (12, 12)


def test_large_values_fill_an_inbox_as_many_inputs_do(lane: Lane) -> None:
    lane._limits = Limits(inbox_bytes=LEAST_FETCH_BYTES * 2 + 1000)
    small, large = fetch(5), [SimpleNamespace(offset=6, value=bytes(1000))]
    assert lane.feed("t", small)
    assert not lane.feed("t", large)


def test_a_hole_is_asked_for_with_growing_pauses() -> None:
    hole, asked_at = Hole(due=5, since_s=0.0), []
    for age_s in range(40):
        if hole.is_due(age_s, 1.0):
            asked_at.append(age_s)
            hole = hole._replace(asked=hole.asked + 1)
    assert asked_at == [1, 2, 4, 8, 16, 32]
