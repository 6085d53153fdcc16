"""A RocksDB in memory: what the engine uses of rocksdict, write batches that are whole or not there at all.

A killed process loses nothing of it. A machine that loses power loses the last write batches, as many as is
drawn: RocksDB's log is not synced.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Any

import rocksdict

from tests.simulation.virtual_time import put_in_place

UNSYNCED_BATCHES = 40
"""Write batches at most that a power cut takes."""
Undo = list[tuple[bytes, bytes | None]]


class WriteBatch:
    """In the place of `rocksdict.WriteBatch`."""

    def __init__(self, raw_mode: bool = False) -> None:  # noqa: FBT002 -- as rocksdict has it
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


put_in_place(rocksdict, WriteBatch=WriteBatch)


class Database:
    """In the place of `rocksdict.Rdict`."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._undo: deque[Undo] = deque(maxlen=UNSYNCED_BATCHES)

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._write([(key, value)])

    def delete(self, key: bytes) -> None:
        self._write([(key, None)])

    def delete_range(self, begin: bytes, end: bytes) -> None:
        at, until = bisect_left(self._keys, begin), bisect_left(self._keys, end)
        self._write([(key, None) for key in self._keys[at:until]])

    def write(self, batch: WriteBatch) -> None:
        self._write(batch.changes)

    def items(self, from_key: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in self.keys(from_key):
            yield key, self.values[key]

    def keys(self, from_key: bytes = b"") -> Iterator[bytes]:
        return iter(self._keys[bisect_left(self._keys, from_key) :])

    def set_options(self, _: Any) -> None:
        """How much memory it takes is not simulated."""

    def property_int_value(self, _: str) -> int:
        return 0

    def lose(self, batches: int) -> None:
        """Forget the last write batches."""
        for _ in range(min(batches, len(self._undo))):
            for key, value in reversed(self._undo.pop()):
                self._set(key, value)

    def _write(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        undo: Undo = []
        for key, value in changes:
            undo.append((key, self.values.get(key)))
            self._set(key, value)
        self._undo.append(undo)

    def _set(self, key: bytes, value: bytes | None) -> None:
        is_there = key in self.values
        if value is None:
            if is_there:
                del self.values[key]
                del self._keys[bisect_left(self._keys, key)]
        else:
            self.values[key] = value
            if not is_there:
                insort(self._keys, key)


class Disk:
    """A worker's data folder. Survives its processes."""

    def __init__(self) -> None:
        self.databases: dict[tuple[str, int], Database] = {}

    def database(self, table: str, partition: int) -> Database:
        return self.databases.setdefault((table, partition), Database())

    def lose_power(self, draw: Any) -> None:
        """Forget what was not synced, of each database another number of write batches."""
        for _, database in sorted(self.databases.items()):
            database.lose(draw.randrange(UNSYNCED_BATCHES))

    def wipe(self) -> None:
        self.databases.clear()


class Store:
    """In the place of Faust's RocksDB store: one database a partition, closed when the partition is lost."""

    offset_key = b"__faust\0offset__"

    def __init__(self, disk: Disk, table: str) -> None:
        self._disk, self._table = disk, table

    def _db_for_partition(self, partition: int) -> Database:
        return self._disk.database(self._table, partition)

    def persisted_offset(self, tp: Any) -> int | None:
        raw = self._db_for_partition(tp.partition).get(self.offset_key)
        return None if raw is None else int(raw)

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """Databases are there as soon as they are asked for."""

    async def on_recovery_completed(self, *_: Any, **__: Any) -> None:
        """Nothing was kept back."""
