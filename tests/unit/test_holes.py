"""A lane notices records that are due and do not come, whether or not a later one was delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace

import pytest

from tables.holes import Hole
from tables.lane import Lane
from tables.limits import Limits


@pytest.fixture
def lane() -> Lane:
    """Only what decides which offset is taken; nothing is applied."""
    lane = Lane.__new__(Lane)
    lane.is_open, lane.due, lane.holes, lane.waiting = True, {"t": 5}, {}, 0
    lane._inbox, lane._limits, lane._arrived = deque(), Limits(), asyncio.Event()
    return lane


def fetch(*offsets: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


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


def test_a_hole_is_asked_for_with_growing_pauses() -> None:
    hole, asked_at = Hole(due=5, since_s=0.0), []
    for age_s in range(40):
        if hole.is_due(age_s, 1.0):
            asked_at.append(age_s)
            hole = hole._replace(asked=hole.asked + 1)
    assert asked_at == [1, 2, 4, 8, 16, 32]
