"""When a record came: Kafka's word, and what to make of times that producers gave."""

from __future__ import annotations

import time
from typing import Any, Final

CREATE_TIME: Final = 0
"""A record's timestamp type: its producer's word. Topics should be set to the broker's own time
(LogAppendTime); what came before they were, or comes to others, is looked at here."""
EARLIEST_PLAUSIBLE_MS: Final = 1_577_836_800_000
"""2020: no record is older. -1, 0 and times of a clock that was never set say nothing."""
MAX_CLOCK_AHEAD_MS: Final = 5 * 60 * 1000
"""How far a producer's clock may be ahead of ours and still be believed."""


def is_implausible(consumed: Any, now_ms: int) -> bool:
    """Whether the producer's time can't be when the record came."""
    at_ms = consumed.timestamp
    return at_ms is None or not EARLIEST_PLAUSIBLE_MS <= at_ms <= now_ms + MAX_CLOCK_AHEAD_MS


def arrival_ms(consumed: Any) -> int:
    """When a ConsumerRecord came, in milliseconds since the epoch; now for one that says an odd time.

    An order's clock never goes back: one record of the year 2099 would stop all its deadlines.
    """
    at_ms: int | None = consumed.timestamp
    if at_ms is not None and consumed.timestamp_type != CREATE_TIME:
        return at_ms
    now_ms = time.time_ns() // 1_000_000
    return now_ms if at_ms is None or is_implausible(consumed, now_ms) else at_ms
