"""The platform's level: which one holds when, and which builds understand it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decision import DecisionBuilder
from app.version import VERSION
from models.events import EVENTS, EventType, UpgradeFinished
from models.levels import (
    BEGINS,
    LATEST,
    OLDEST,
    Build,
    Level,
    LevelHistory,
    build_of,
    client_id,
    why_not,
)
from models.order import OrderWork
from models.transition import Input, InputIdentity

CHANGES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1000)), max_size=12)


def history_of(changes: list[tuple[int, int]]) -> LevelHistory:
    history = LevelHistory()
    for level, from_ms in changes:
        history = history.raised(level, from_ms)
    return history


@given(CHANGES)
def test_a_level_never_goes_down(changes: list[tuple[int, int]]) -> None:
    history = history_of(changes)
    over_time = [history.at(ms) for ms in range(1002)]
    assert over_time == sorted(over_time)
    assert over_time[-1] == history.highest == max([OLDEST, *(level for level, _ in changes)])


@given(CHANGES, CHANGES)
def test_what_was_said_already_changes_nothing(
    first: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    """Workers that read on, and those that read all anew, have the same."""
    history = history_of(first)
    assert history_of([*first, *first]) == history
    later = history_of([*first, *more])
    assert later[: len(history)] == history


def test_a_platform_that_was_never_told_is_at_the_oldest() -> None:
    assert LevelHistory().at(2**60) == LevelHistory().highest == OLDEST


def test_it_begins_at_its_time() -> None:
    history = history_of([(1, 0), (2, 500)])
    assert [history.at(ms) for ms in (0, 499, 500)] == [1, 1, 2]
    assert history.highest == 2


def test_every_level_says_what_begins_with_it() -> None:
    assert set(BEGINS) == set(Level)
    assert all(BEGINS.values())
    assert max(Level) == LATEST
    assert sorted(Level) == list(range(1, LATEST + 1))


def test_a_build_is_known_by_its_client_id() -> None:
    assert build_of(client_id("1.2.0"), "h", (0, 1)) == Build("h", (0, 1), "1.2.0", LATEST)
    # What release 0.1.0 calls itself, and what anybody may.
    for other in ("faust-0.15.3", "tiffin-1.0", "tiffin-1-level-", "tiffin-1-level-²", ""):
        assert build_of(other, "h", ()) == Build("h", (), "", OLDEST)


@given(st.lists(st.integers(1, 5), min_size=1), st.integers(1, 5))
def test_a_level_needs_all_who_live_to_understand_it(known: list[int], target: int) -> None:
    builds = [Build("h", (number,), "1", level) for number, level in enumerate(known)]
    assert bool(why_not(target, builds)) is (min(known) < target)


def test_why_not_names_the_workers() -> None:
    old, new = Build("10.0.0.7", (0, 2), "", OLDEST), Build("10.0.0.8", (1,), "0.2.0", LATEST)
    (line,) = why_not(LATEST, [old, new])
    assert "the worker of partitions 0, 2 at 10.0.0.7 runs release 0.1.0" in line
    assert why_not(LATEST, [new]) == []
    assert "no worker is in the group" in why_not(LATEST, [])[0]


def test_a_type_is_not_emitted_before_its_level() -> None:
    kind = EventType.UPGRADE_FINISHED
    data = UpgradeFinished(
        level=2, begins_at="2026-11-27T00:00:00.000Z", reason="r", by="operator:a"
    )

    def emit(level: int) -> None:
        record = Input("order-commands", "order_1", InputIdentity("c"), None, 1, level=level)
        DecisionBuilder("orders", record, OrderWork()).emit(kind, data)

    emit(EVENTS[kind].since)
    with pytest.raises(ValueError, match="begins at level 2"):
        emit(EVENTS[kind].since - 1)


def test_the_version_is_pyprojects() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
