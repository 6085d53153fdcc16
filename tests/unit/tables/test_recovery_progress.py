"""What a worker says of its recovery: rows and seconds left, in the log once in a while, and its end."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from tables import RecoveryProgress, recovery_progress
from tables.recovery_progress import RecoveryWatch


class Clock:
    """The time module's."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recovery_progress, "time", clock)
    return clock


def test_rows_and_seconds_left(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tiffin.engine")
    left: dict[TP, int] = {}
    table: Any = SimpleNamespace(rows_taken=7, rows_left=lambda: left)
    services: Any = [SimpleNamespace(table=table)]
    watch = RecoveryWatch(services)
    watch.look()
    assert watch.progress == RecoveryProgress()
    left.update({TP("c", 0): 6000, TP("c", 1): 4000})
    watch.look()
    assert watch.progress == RecoveryProgress(2, 10_000, None)
    for _ in range(4):
        clock.now_s += 1
        table.rows_taken += 1000
        left[TP("c", 0)] -= 1000
        watch.look()
    assert watch.progress == RecoveryProgress(2, 6000, 6)
    left.clear()
    clock.now_s += 1
    table.rows_taken += 6000
    watch.look()
    assert watch.progress == RecoveryProgress()
    told = [(record.message, vars(record)) for record in caplog.records]
    assert [message for message, _ in told] == ["recovering tables", "tables are recovered"]
    assert told[0][1]["rows_left"] == 10_000
    assert (told[1][1]["rows"], told[1][1]["took_s"]) == (10_000, 5.0)
    watch.look()
    assert len(caplog.records) == 2
