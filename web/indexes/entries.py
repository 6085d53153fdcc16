"""Indexes over the records of a table that have not ended, in memory; what has ended is read from the table.

They show what is durable, hold no personal data, and drop a partition when it leaves.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Generic, TypeVar

from tables import BrokenRecordError, StateTable, StoredRecord

E = TypeVar("E")


class EntryIndex(Generic[E]):
    """A listener of a table. All methods run on the worker's event loop."""

    def __init__(self, entry_of: Callable[[str, StoredRecord], E | None]) -> None:
        """entry_of: what is held of a key's record; None for nothing."""
        self._entry_of = entry_of
        self._current: defaultdict[int, dict[str, E]] = defaultdict(dict)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record."""
        entry = self._entry_of(key, record)
        if entry is None:
            self._current[partition].pop(key, None)
        else:
            self._current[partition][key] = entry

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._current.pop(partition, None)

    def current(self, partition: int) -> Collection[E]:
        """All of a partition that have not ended."""
        return self._current.get(partition, {}).values()

    def partitions(self) -> Collection[int]:
        """Those that this worker has."""
        return self._current.keys()


def has_ended(record: StoredRecord) -> bool:
    """Whether a record of orders or notifications is in the table's lists of what has ended.

    A quarantined one is not: somebody must act on it.
    """
    return record.quarantine is None and bool(record.state.has_ended)


def latest_ended(
    table: StateTable, partition: int, prefix: str, limit: int
) -> Iterator[StoredRecord]:
    """Records of a list of the table's index (`models.index_entries`), in its order: at most `limit`.

    Those that can't be read are left out. Raises NotOwnerError, NotReadyError.
    """
    for entry in list(islice(table.entries(partition, prefix), limit)):
        try:
            record = table.get(entry.rpartition("/")[2])
        except BrokenRecordError:
            continue
        if record is not None:
            yield record
