"""What the records of `platform-partitions` come to, in whichever order runs wrote them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.partitions.state import serving, under_way
from models.generations import Generation, PartitionsState, RaiseState

AT = "2026-11-23T10:00:00Z"
COPYING, PAUSED, SERVING, ABANDONED = RaiseState


def told(*states: tuple[int, RaiseState]) -> list[PartitionsState]:
    """Records of generations with ten partitions more each."""
    return [
        PartitionsState(state=state, generation=number, partitions=10 * number, at=AT)
        for number, state in states
    ]


def test_a_platform_begins_with_its_setting() -> None:
    assert serving([], 3) == Generation(1, 3)
    assert under_way([]) is None


def test_only_what_serves_counts() -> None:
    states = told((2, COPYING), (2, PAUSED))
    assert serving(states, 3) == Generation(1, 3)
    assert under_way(states) == states[-1]
    states += told((2, SERVING))
    assert serving(states, 3) == Generation(2, 20)
    assert under_way(states) is None


def test_one_that_was_undone_is_not_under_way() -> None:
    states = told((2, COPYING), (2, ABANDONED))
    assert (serving(states, 3), under_way(states)) == (Generation(1, 3), None)
    states += told((3, COPYING))
    assert under_way(states) == states[-1]


def test_a_run_that_did_not_hear_that_it_serves_changes_nothing() -> None:
    states = told((2, COPYING), (2, PAUSED), (2, SERVING), (2, COPYING))
    assert (serving(states, 3), under_way(states)) == (Generation(2, 20), None)


@given(st.lists(st.tuples(st.integers(2, 5), st.sampled_from(RaiseState)), max_size=20))
def test_what_is_under_way_never_serves(states: list[tuple[int, RaiseState]]) -> None:
    found = told(*states)
    way = under_way(found)
    assert way is None or way.generation > max(
        (told.generation for told in found if told.state is SERVING), default=1
    )
