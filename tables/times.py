"""When a record arrived: by the broker's time, or by a producer's if that is plausible."""

from __future__ import annotations

import time
from typing import Any, Final

CREATE_TIME: Final = 0
"""A record's timestamp type: given by its producer. Topics should be set to the broker's own time
(LogAppendTime); records from before they were, and those of other topics, are checked here."""
EARLIEST_PLAUSIBLE_MS: Final = 1_577_836_800_000
"""2020: no record is older. -1, 0 and times of a clock that was never set say nothing."""
MAX_CLOCK_AHEAD_MS: Final = 5 * 60 * 1000
"""How far a producer's clock may be ahead of ours and still be believed."""


def is_implausible(consumed: Any, now_ms: int) -> bool:
    """Whether the record can't have arrived at the producer's time."""
    at_ms = consumed.timestamp
    return at_ms is None or not EARLIEST_PLAUSIBLE_MS <= at_ms <= now_ms + MAX_CLOCK_AHEAD_MS


def arrival_ms(consumed: Any) -> int:
    """When a ConsumerRecord arrived, in milliseconds since the epoch; now for an implausible one.

    An order's clock never goes back: one record of the year 2099 would stop all its deadlines.
    """
    at_ms: int | None = consumed.timestamp
    if at_ms is not None and consumed.timestamp_type != CREATE_TIME:
        return at_ms
    now_ms = time.time_ns() // 1_000_000
    return now_ms if at_ms is None or is_implausible(consumed, now_ms) else at_ms
