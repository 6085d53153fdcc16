"""What is read from an input topic: records, and items in place of those that can't be read.

- `ConsumedRecord`: a record, header names that are not UTF-8 escaped.
- `EmptyOffsets`: offsets at which there is no record: a transaction's marker, or compacted ones.
- `UnreadableRecord`: a record whose inside is broken; the ones around it are not.
- `UnreadableBatch`: from here on nothing can be read: the last item, again at every fetch, until
  somebody seeks beyond it.

Of a changelog it is runs of records (`RecordRun`) instead of the first three: whoever writes them into a
table needs no more of each than key and value.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faust.types import TP

MAX_ERROR_CHARS = 500
CREATE_TIME: Final = 0
"""A record's timestamp type: given by its producer. Topics should be set to the broker's own time
(LogAppendTime); records from before they were, and those of other topics, are checked here."""
EARLIEST_PLAUSIBLE_MS: Final = 1_577_836_800_000
"""2020: no record is older. -1, 0 and times of a clock that was never set say nothing."""
MAX_CLOCK_AHEAD_MS: Final = 5 * 60 * 1000
"""How far a producer's clock may be ahead of ours and still be believed."""


class ConsumedRecord(NamedTuple):
    """A consumed record as `aiokafka.ConsumerRecord` has it, made in a third of the time.

    Making these is half of what a fetch costs Python. timestamp: ms since 1970, -1 if none.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    checksum: int | None
    serialized_key_size: int
    serialized_value_size: int
    headers: tuple[tuple[str, bytes | None], ...]


class EmptyOffsets(ConsumedRecord):
    """Offsets `first` to `offset` (inclusive), at which there is no record."""

    first: int


class UnreadableRecord(ConsumedRecord):
    """A record whose inside is broken: `value` has its bytes as they are, `error` says what is."""

    error: str


class RecordRun(NamedTuple):
    """All records that a partition has from offset `first` to before `next_offset`, in order.

    records: each with `offset`, `key` and `value`; UnreadableRecords among them.
    """

    first: int
    next_offset: int
    records: Sequence[Any]


class UnreadableBatch(ConsumedRecord):
    """A batch that can't be read, at `offset`; what follows begins at `next_offset`."""

    error: str
    next_offset: int


ItemT = TypeVar("ItemT", bound=ConsumedRecord)


def arrival_ms(consumed: Any) -> int:
    """When a ConsumerRecord arrived, in milliseconds since the epoch; now for an implausible time.

    An order's clock never goes back: one record of the year 2099 would stop all its deadlines.
    """
    at_ms: int | None = consumed.timestamp
    if at_ms is not None and consumed.timestamp_type != CREATE_TIME:
        return at_ms
    now_ms = time.time_ns() // 1_000_000
    if at_ms is None or not EARLIEST_PLAUSIBLE_MS <= at_ms <= now_ms + MAX_CLOCK_AHEAD_MS:
        return now_ms
    return at_ms


def _item(
    kind: type[ItemT], topic: str, partition: int, offset: int, value: bytes | None, **facts: Any
) -> ItemT:
    """An item that is no proper record."""
    item = kind(topic, partition, offset, -1, 0, None, value, None, -1, -1, ())
    vars(item).update(facts)
    return item


def unreadable_batch(tp: TP, offset: int, end: int, exc: Exception) -> UnreadableBatch:
    """The end of what can be read; the fetch position stays there. end: where the next batch begins, or 0."""
    error, next_offset = f"{type(exc).__name__}: {exc}"[:MAX_ERROR_CHARS], max(offset + 1, end)
    return _item(UnreadableBatch, *tp, offset, None, error=error, next_offset=next_offset)


def unreadable_record(
    topic: str, partition: int, offset: int, raw: bytes | None, error: str
) -> UnreadableRecord:
    """The item of a broken record. raw: its bytes."""
    return _item(UnreadableRecord, topic, partition, offset, raw, error=error)


def empty_offsets(topic: str, partition: int, first: int, last: int) -> EmptyOffsets:
    """The item for offsets without records, `first` to `last` inclusive."""
    return _item(EmptyOffsets, topic, partition, last, None, first=first)
