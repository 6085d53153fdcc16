"""Which times of records are believed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tables.consumed_record import arrival_ms

NOW_S = 1_800_000_000.0


def consumed(timestamp: int | None, timestamp_type: int | None) -> Any:
    return SimpleNamespace(timestamp=timestamp, timestamp_type=timestamp_type)


@pytest.mark.parametrize("at_ms", [-1, 0, 1_000, 4_102_444_800_000, 2**63 - 1, None])
def test_a_time_that_a_producer_made_up_is_not_believed(
    at_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tables.consumed_record.time.time_ns", lambda: int(NOW_S) * 10**9)
    assert arrival_ms(consumed(at_ms, 0)) == NOW_S * 1000


def test_other_times_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.consumed_record.time.time_ns", lambda: int(NOW_S) * 10**9)
    now_ms = int(NOW_S) * 1000
    for at_ms in (now_ms, now_ms - 30 * 24 * 3600 * 1000, now_ms + 60_000):
        assert arrival_ms(consumed(at_ms, 0)) == at_ms
    late_ms = now_ms + 2400_000
    assert arrival_ms(consumed(late_ms, 1)) == late_ms, "Kafka's word, not our clock's"
