"""Times: milliseconds since the epoch inside, RFC 3339 in UTC on the wire; lengths in milliseconds."""

import functools
import time
from datetime import UTC, datetime
from typing import Final

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
TIMES_END_MS: Final = 4_102_444_800_000
"""2100-01-01, in milliseconds since the epoch: a later time is a mistake."""
FIRST_MS: Final = -62_135_596_800_000
LAST_MS: Final = 253_402_300_799_999
"""The calendar's, years 1 to 9999; see `to_rfc3339`."""

CACHED_TIMES: Final = 1024
"""An order's records, written and read one after the other, are of few moments."""


def machine_now_ms() -> int:
    """The time by this machine's clock, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@functools.lru_cache(CACHED_TIMES)
def from_rfc3339(text: str) -> int:
    """Read a time with its zone, in milliseconds since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return round(moment.timestamp() * 1000)


@functools.lru_cache(CACHED_TIMES)
def to_rfc3339(at_ms: int) -> str:
    """Show milliseconds since the epoch as RFC 3339 with milliseconds in UTC.

    Never raises: a stored time that no calendar has is shown as the calendar's first or last moment.
    """
    at_ms = min(max(at_ms, FIRST_MS), LAST_MS)
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z".zfill(24)


def to_rfc3339_or_none(at_ms: int | None) -> str | None:
    """The same for a moment that may not have come."""
    return None if at_ms is None else to_rfc3339(at_ms)
