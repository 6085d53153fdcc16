"""A task notices inputs that exist and do not come, whether or not a later one was delivered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tables.consumed_record import empty_offsets
from tables.inbox import MIN_FETCH_BYTES, DeliveryGap, Inbox
from tables.limits import Limits


@pytest.fixture
def inbox() -> Inbox:
    """Reads one topic, from offset 5 on."""
    inbox = Inbox(Limits())
    inbox.next_offsets["t"] = 5
    return inbox


def fetch(*offsets: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, value=b"") for offset in offsets]


def test_the_last_records_are_missed_though_nothing_comes_after_them(inbox: Inbox) -> None:
    inbox.expect("t", end=8)
    assert inbox.delivery_gaps["t"].next_offset == 5
    assert not inbox.delivery_gaps["t"].is_confirmed
    inbox.put("t", fetch(5, 6, 7))
    assert inbox.delivery_gaps == {}
    assert inbox.next_offsets["t"] == 8


def test_nothing_is_missed_at_the_end_or_while_inputs_wait(inbox: Inbox) -> None:
    inbox.expect("t", end=5)
    assert inbox.delivery_gaps == {}
    inbox.waiting = 3
    inbox.expect("t", end=9)
    assert inbox.delivery_gaps == {}


def test_a_later_record_makes_a_gap_certain(inbox: Inbox) -> None:
    inbox.expect("t", end=9)
    inbox.put("t", fetch(7, 8))
    assert inbox.delivery_gaps["t"].is_confirmed
    assert inbox.next_offsets["t"] == 5


def test_offsets_without_records_are_no_gap(inbox: Inbox) -> None:
    inbox.put("t", [empty_offsets("t", 0, 5, 7), *fetch(8)])
    assert inbox.delivery_gaps == {}
    assert inbox.next_offsets["t"] == 9
    inbox.put("t", [empty_offsets("t", 0, 7, 11)])  # begins with what is known
    assert inbox.next_offsets["t"] == 12
    inbox.put("t", [empty_offsets("t", 0, 14, 15)])
    assert (inbox.delivery_gaps["t"].next_offset, inbox.next_offsets["t"]) == (12, 12)


def test_large_values_fill_an_inbox_as_many_inputs_do() -> None:
    inbox = Inbox(Limits(inbox_bytes=MIN_FETCH_BYTES * 2 + 1000))
    inbox.next_offsets["t"] = 5
    small, large = fetch(5), [SimpleNamespace(offset=6, value=bytes(1000))]
    assert inbox.put("t", small)
    assert not inbox.put("t", large)


def test_a_gap_is_asked_for_with_growing_pauses() -> None:
    gap, asked_at = DeliveryGap(next_offset=5, since_s=0.0), []
    for age_s in range(40):
        if gap.is_retry_due(age_s, 1.0):
            asked_at.append(age_s)
            gap = gap._replace(requests=gap.requests + 1)
    assert asked_at == [1, 2, 4, 8, 16, 32]
