"""This worker's share of Stripe's rate: a token bucket that serves the urgent first and backs off on 429."""

import asyncio
import heapq
import random
from enum import IntEnum
from itertools import count
from typing import Final

INITIAL_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 30.0


class Priority(IntEnum):
    """What goes first when there is less rate than work."""

    MONEY = 0
    """Confirms, cancels and refunds."""
    CREATE = 1
    """New payment intents: a customer waits for each."""
    LOOK_UP = 2
    """Reads that an effect, a request or a webhook waits for."""
    POLL = 3
    """What the reconciler asks by itself."""


class RateLimiter:
    """A token bucket of `rate_per_s` requests a second, one second's worth deep. For one event loop."""

    def __init__(self, rate_per_s: float) -> None:
        """rate_per_s: at least one request is let through at once, however small it is."""
        self._rate_per_s = rate_per_s
        self._depth = max(1.0, rate_per_s)
        self._tokens = self._depth
        self._refilled_at = 0.0
        self._closed_until = 0.0
        self._pause_s = 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, priority: Priority) -> None:
        """Wait for the right to send one request; without bound, so the caller sets one if need be."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._arrivals), turn))
        self._serve()
        await turn

    def wait_s(self, priority: Priority) -> float:
        """About how long a request that came now would wait for its turn."""
        now = asyncio.get_running_loop().time()
        before = sum(1 for each, _, turn in self._waiting if each <= priority and not turn.done())
        missing = before + 1 - self._tokens - max(0.0, now - self._refilled_at) * self._rate_per_s
        return max(self._closed_until - now, missing / self._rate_per_s, 0.0)

    def throttled(self, retry_after_s: float | None = None) -> None:
        """Stripe said 429: let nothing through for a while, longer each time."""
        self._pause_s = min(MAX_BACKOFF_S, max(INITIAL_BACKOFF_S, 2 * self._pause_s))
        # Workers that were refused together must not come back together.
        pause_s = retry_after_s or self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311
        until = asyncio.get_running_loop().time() + pause_s
        self._closed_until = max(self._closed_until, until)
        self._tokens = 0.0

    def succeeded(self) -> None:
        """Stripe answered: the next 429 begins with a short pause again."""
        self._pause_s = 0.0

    def _serve(self) -> None:
        now = asyncio.get_running_loop().time()
        gained = (now - max(self._refilled_at, self._closed_until)) * self._rate_per_s
        self._tokens = min(self._depth, self._tokens + max(0.0, gained))
        self._refilled_at = now
        while self._waiting and self._tokens >= 1 and now >= self._closed_until:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # the one who waited may have been cancelled
                self._tokens -= 1
                turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            wait_s = max(self._closed_until - now, (1 - self._tokens) / self._rate_per_s, 0.001)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._serve)
