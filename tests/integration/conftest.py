"""Workers run in the tests' own process: one that ends itself must not take pytest with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_worker_ends_itself(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test in which an engine ends the process; its log says what was wrong."""
    statuses: list[int] = []

    def end(status: int) -> NoReturn:
        statuses.append(status)
        raise AssertionError(f"the worker ended itself with status {status}")

    monkeypatch.setattr(os, "_exit", end)
    yield
    assert not statuses, "the worker ended itself: see what it logged as critical"
