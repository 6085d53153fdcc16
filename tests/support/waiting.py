"""Polling in async tests, with the patience of a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sandbox.processes import MAX_WAIT_S

WITHIN_S = MAX_WAIT_S
POLL_INTERVAL_S = 0.1

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T | None]], what: str, within_s: float = WITHIN_S) -> T:
    """Poll until the answer is neither None nor False; returns it. Raises TimeoutError that names `what`."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = await ask()
                if answer is not None and answer is not False:
                    return answer
                await asyncio.sleep(POLL_INTERVAL_S)
    except TimeoutError:
        raise TimeoutError(f"waited {within_s:g} s in vain for {what}") from None


async def until_true(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Let other tasks run until it holds. Raises TimeoutError that names `what`."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110 -- what is waited for has no event of its own
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise TimeoutError(f"waited {WITHIN_S:g} s in vain for {what}") from None
