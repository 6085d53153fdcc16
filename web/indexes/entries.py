"""Indexes that hold an entry for each record of a table, by partition and key.

They show what is durable, hold no personal data, and drop a partition when it leaves. What has ended before
this worker had a partition they are not fed; an index that lists it reads it when somebody first asks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final, Generic, TypeVar

from tables import NotOwnerError, NotReadyError, StateTable, StoredRecord

MAX_ENDED_KEPT: Final = 500
"""Records that have ended: of each status and partition, at least the latest so many."""

E = TypeVar("E")


class EntryIndex(Generic[E]):
    """A listener of a table. All methods run on the worker's event loop."""

    def __init__(self, entry_of: Callable[[str, StoredRecord], E | None]) -> None:
        """entry_of: what is held of a key's record; None for nothing."""
        self._entry_of = entry_of
        self._current: defaultdict[int, dict[str, E]] = defaultdict(dict)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record."""
        self._put(partition, key, self._entry_of(key, record))

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._current.pop(partition, None)

    def current(self, partition: int) -> Collection[E]:
        """All of a partition that have not ended."""
        return self._current.get(partition, {}).values()

    def partitions(self) -> Collection[int]:
        """Those that this worker has."""
        return self._current.keys()

    def _put(self, partition: int, key: str, entry: E | None) -> None:
        if entry is None:
            self._current[partition].pop(key, None)
        else:
            self._current[partition][key] = entry


class LatestEndedIndex(EntryIndex[E]):
    """Holds also the latest of what has ended, by status; the rest is in the table alone."""

    def __init__(
        self,
        table: StateTable,
        entry_of: Callable[[str, StoredRecord], E | None],
        ended_as: Callable[[StoredRecord], str | None],
        since_ms: Callable[[E], int],
    ) -> None:
        """ended_as: the status in which a record has ended; None for one that has not."""
        super().__init__(entry_of)
        self._table, self._ended_as, self._since_ms = table, ended_as, since_ms
        self._ended: defaultdict[int, dict[str, dict[str, E]]] = defaultdict(dict)
        self._left_out: set[tuple[int, str]] = set()
        self._reading: dict[int, asyncio.Task[None]] = {}

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Put the record's entry where it belongs now."""
        entry, status = self._entry_of(key, record), self._ended_as(record)
        ended = self._ended[partition]
        for same in ended.values():
            same.pop(key, None)
        self._put(partition, key, entry if status is None else None)
        if entry is None or status is None:
            return
        same = ended.setdefault(status, {})
        same[key] = entry
        if len(same) > 2 * MAX_ENDED_KEPT:  # halved at once, so that sorting costs little a record
            latest = sorted(same.items(), key=lambda item: self._since_ms(item[1]))
            ended[status] = dict(latest[-MAX_ENDED_KEPT:])
            self._left_out.add((partition, status))

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        super().closed(partition)
        self._ended.pop(partition, None)
        self._left_out = {place for place in self._left_out if place[0] != partition}
        if (reading := self._reading.pop(partition, None)) is not None:
            reading.cancel()

    def ended(self, partition: int, status: str | None = None) -> list[E]:
        """The latest that have ended, of one status or all, as far as `read_ended` has read."""
        found = self._ended.get(partition, {})
        return [
            entry
            for each, entries in found.items()
            if status in {None, each}
            for entry in entries.values()
        ]

    def left_out(self, partition: int, status: str | None = None) -> bool:
        """Whether there are older ones that are in the table alone."""
        return any(at == partition and status in {None, of} for at, of in self._left_out)

    async def read_ended(self, partition: int, within_s: float) -> None:
        """Once for each partition: learn of those that were left out when the index was built.

        Reads the whole partition, in slices that yield, and goes on when the caller leaves. Raises
        NotOwnerError, and NotReadyError also when it takes longer than the caller can wait.
        """
        reading = self._reading.get(partition)
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            reading = asyncio.create_task(self._read(partition), name=f"{self._table.name}: ended")
            self._reading[partition] = reading
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(reading)
        except TimeoutError:
            raise NotReadyError(self._table.name) from None
        except asyncio.CancelledError:
            if reading.cancelled():  # the partition has left; else our own caller has
                raise NotOwnerError(self._table.name) from None
            raise

    async def _read(self, partition: int) -> None:
        after = ""
        while slice_ := self._table.scan(partition, after):
            for record in slice_:
                # Read and taken in without a pause: nothing newer can be overwritten.
                self.updated(partition, record.key, record)
            after = slice_[-1].key
            await asyncio.sleep(0)
