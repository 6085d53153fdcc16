"""Inputs that Faust delivered to a partition task and that it has not decided yet.

Around rebalances Faust may deliver too early, again, or step over records. So an inbox takes only the next
offset of each topic, and remembers what was stepped over (gap_repair.py has it read again).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tables.consumed_record import EmptyOffsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tables.limits import Limits

MIN_FETCH_BYTES = 256 * 1024
"""What a fetch counts for at least: keys and headers can weigh more than values."""


class DeliveryGap(NamedTuple):
    """An input that Faust stepped over: its offset, and since when that is known (monotonic).

    is_confirmed: a later record was delivered; else only the broker's end offset shows the gap.
    requests: how often the input was asked for again.
    """

    next_offset: int
    since_s: float
    is_confirmed: bool = True
    requests: int = 0

    def is_retry_due(self, age_s: float, first_s: float) -> bool:
        """Whether to ask for it again: first after `first_s`, then each time after twice as long.

        Asking throws away what is being fetched: a busy worker must have the time to get it.
        """
        return age_s >= first_s * (1 << self.requests)


class Inbox:
    """The fetches of one partition in the order of their delivery; each is one topic's records.

    next_offsets: topic -> next input to take; delivery_gaps: topic -> what did not come; waiting:
    inputs not decided yet, those of the fetch at work included; waiting_bytes: of their values.
    """

    def __init__(self, limits: Limits) -> None:
        self.next_offsets: dict[str, int] = {}
        self.delivery_gaps: dict[str, DeliveryGap] = {}
        self.waiting = 0
        self.waiting_bytes = 0
        self._limits = limits
        self._fetches: deque[tuple[str, Sequence[Any], int]] = deque()
        self._arrived = asyncio.Event()

    def put(self, topic: str, inputs: Sequence[Any]) -> bool:
        """Take a fetch's records, in offset order and without gaps. False: now the inbox is full."""
        next_offset, first = self.next_offsets[topic], inputs[0]
        if inputs[-1].offset < next_offset:
            return True
        begins = first.first if type(first) is EmptyOffsets else first.offset
        if begins > next_offset:
            if topic not in self.delivery_gaps or not self.delivery_gaps[topic].is_confirmed:
                self.delivery_gaps[topic] = DeliveryGap(next_offset, time.monotonic())
            return True
        if begins < next_offset:
            inputs = [consumed for consumed in inputs if consumed.offset >= next_offset]
        self.delivery_gaps.pop(topic, None)
        self.next_offsets[topic] = inputs[-1].offset + 1
        size = MIN_FETCH_BYTES + sum(len(item.value) for item in inputs if item.value)
        self.waiting += len(inputs)
        self.waiting_bytes += size
        self._fetches.append((topic, inputs, size))
        self._arrived.set()
        limits = self._limits
        return self.waiting < limits.inbox_inputs and self.waiting_bytes < limits.inbox_bytes

    def expect(self, topic: str, end: int) -> None:
        """Note a gap when the topic has records up to `end`, and nothing of it waits here.

        Faust may also step over the last records of a partition; nothing delivered later would show it.
        """
        next_offset = self.next_offsets[topic]
        if next_offset < end and not self.waiting and topic not in self.delivery_gaps:
            gap = DeliveryGap(next_offset, time.monotonic(), is_confirmed=False)
            self.delivery_gaps[topic] = gap

    async def next_fetch(self) -> tuple[str, Sequence[Any], int]:
        """Wait for a fetch; gives its topic, its records and the size to give to `settle`."""
        while not self._fetches:
            self._arrived.clear()
            await self._arrived.wait()
        return self._fetches.popleft()

    def settle(self, count: int, size: int) -> bool:
        """A fetch was decided. True: at most half of what the inbox may hold waits."""
        self.waiting -= count
        self.waiting_bytes -= size
        has_few_inputs = self.waiting <= self._limits.inbox_inputs // 2
        return has_few_inputs and self.waiting_bytes <= self._limits.inbox_bytes // 2

    def clear(self) -> None:
        """Drop what waits; it is delivered again."""
        self._fetches.clear()
