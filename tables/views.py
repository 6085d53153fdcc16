"""The read side of a service's table on this worker: look-ups, waits, rows and index feeds.

Everything here shows what is durable, never what a task has in flight. All of it runs on the worker's
event loop; nothing keeps an iterator or a database across an await.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import defaultdict
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka.partitioner import murmur2

from models.levels import LevelHistory
from models.times import machine_now_ms
from models.transition import UNTIL, until
from tables.dry_run import dry_run_inputs
from tables.keys import records_and_rows
from tables.record import Record
from tables.table_index import OPEN, index_keys, read_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from rocksdict import Rdict
    from yarl import URL

    from models.transition import TransitionService
    from tables.dry_run import DryRunInput, DryRunResult
    from tables.record import StoredRecord

SLICE_KEYS = 500
MAX_BROKEN_KEYS = 1000
MAX_CACHED_RECORDS = 1000
"""Of a table: those that were read last. An order that somebody follows is read each few seconds."""
LOG = logging.getLogger("tiffin.engine")


@functools.lru_cache(20 * MAX_CACHED_RECORDS)
def _kafka_hash(key: str) -> int:
    """What Kafka's default partitioner takes a key's partition from. aiokafka's murmur2 is pure Python."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF)


class NotOwnerError(Exception):
    """This worker does not own the key's partition: ask `StateTable.owner_of`, or read later."""


class NotReadyError(Exception):
    """This worker owns the key's partition but still recovers it: read a little later."""


class BrokenRecordError(Exception):
    """A stored record can't be read: it is of another build, or damaged."""


class Listener(Protocol):
    """An index over one service's records, kept in memory; called on the event loop, must be quick.

    An exception ends the process: an index that misses a record is worse than a restart.
    """

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """A record as it is now: whenever a change of it is durable, and after recovery.

        Those that have ended are left out after recovery. An index must take the same one twice.
        """

    def closed(self, partition: int) -> None:
        """The partition is not this worker's any more: drop what is known of it."""


class StateTable:
    """One service's records on this worker. Made by `ServiceRuntime`.

    unreadable_keys: keys of stored records that were met and can't be read, MAX_BROKEN_KEYS at most.
    levels: the platform's, for dry runs.
    """

    def __init__(
        self, service: TransitionService, partitions: int, owner_url: Callable[[int], URL | None]
    ) -> None:
        self.name = service.name
        self.service = service
        self.partitions = partitions
        self.listeners: list[Listener] = []
        self.unreadable_keys: set[str] = set()
        self.levels: Callable[[], LevelHistory] = LevelHistory
        self._owner_url = owner_url
        self._assigned: set[int] = set()
        self._open: dict[int, Rdict] = {}
        self._cached: dict[str, StoredRecord] = {}
        self._waiters: defaultdict[bytes, set[asyncio.Future[None]]] = defaultdict(set)

    def partition_of(self, key: str) -> int:
        """Partition of a key: Kafka's murmur2, as every producer here uses it."""
        return _kafka_hash(key) % self.partitions

    def owner_of(self, key: str) -> URL | None:
        """Canonical URL of the worker that owns the key; None while that is not known."""
        return self._owner_url(self.partition_of(key))

    def owner_of_partition(self, partition: int) -> URL | None:
        """Canonical URL of the worker that owns the partition; None while that is not known."""
        return self._owner_url(partition)

    def owns(self, key: str) -> bool:
        """Whether this worker can answer for the key now."""
        return self.partition_of(key) in self._open

    def owned_partitions(self) -> tuple[int, ...]:
        """Partitions that are this worker's, those included that it can't answer for now."""
        return tuple(sorted(self._assigned | set(self._open)))

    def open_partitions(self) -> tuple[int, ...]:
        """Partitions that this worker answers for now."""
        return tuple(sorted(self._open))

    def get(self, key: str) -> StoredRecord | None:
        """The key's record, if there is one: the same object until it changes.

        Raises NotOwnerError, NotReadyError, BrokenRecordError.
        """
        cached = self._cached.get(key)
        if cached is not None:
            return cached
        raw = self._database(self.partition_of(key)).get(key.encode())
        if raw is None:
            return None
        record = self._load(key.encode(), raw)
        if record is None:
            raise BrokenRecordError(f"{self.name}: the record of {key} can't be read")
        if len(self._cached) >= MAX_CACHED_RECORDS:
            del self._cached[next(iter(self._cached))]
        self._cached[key] = record
        return record

    def _load(self, key: bytes, raw: bytes) -> StoredRecord | None:
        """A stored record; None for one that can't be read, which is remembered and logged once."""
        try:
            name = key.decode()
            return Record(name, raw, self.service).snapshot()
        except Exception as exc:  # noqa: BLE001 -- whatever was stored, its neighbours are shown
            name = key.decode(errors="backslashreplace")
            if name not in self.unreadable_keys and len(self.unreadable_keys) < MAX_BROKEN_KEYS:
                self.unreadable_keys.add(name)
                extra = {"service": self.name, "key": name, "error": type(exc).__qualname__}
                LOG.error("a stored record can't be read", extra=extra)  # noqa: TRY400 -- no values in logs
            return None

    def rows(self, prefix: str, partition: int | None = None) -> list[tuple[str, bytes]]:
        """All rows whose key begins with `prefix`, in key order.

        They lie in `partition`, or in that of the key before the prefix's first slash. Raises
        NotOwnerError, NotReadyError.
        """
        if partition is None:
            partition = self.partition_of(prefix.partition("/")[0])
        start = prefix.encode()
        found = []
        for key, value in records_and_rows(self._database(partition), start):
            if not key.startswith(start):
                break
            if b"/" in key:
                found.append((key.decode(), value))
        return found

    def scan(self, partition: int, after: str = "", limit: int = SLICE_KEYS) -> list[StoredRecord]:
        """A partition's next records in key order, those behind the key `after`; none: that was all.

        A slice at a time, so that the worker's other tasks get their turn in between. Those that can't be
        read are left out. Raises NotOwnerError, NotReadyError.
        """
        start = after.encode() + b"\0" if after else b"\x01"
        items = records_and_rows(self._database(partition), start)
        found = (self._load(key, raw) for key, raw in items if b"/" not in key)
        return list(islice((record for record in found if record is not None), limit))

    def items(
        self, partition: int, prefix: str = "", after: str = "", limit: int = SLICE_KEYS
    ) -> list[tuple[str, StoredRecord | bytes | None]]:
        """A partition's next records and rows whose keys begin with `prefix`, those behind the key `after`.

        A record, the value of a row, or None for a record that can't be read. In key order, a slice at a time
        as by `scan`. Raises NotOwnerError, NotReadyError.
        """
        begins = prefix.encode()
        start = max(begins or b"\1", after.encode() + b"\0" if after else b"")
        items = records_and_rows(self._database(partition), start)
        found = takewhile(lambda item: item[0].startswith(begins), items)
        return [
            (
                key.decode(errors="backslashreplace"),
                value if b"/" in key else self._load(key, value),
            )
            for key, value in islice(found, limit)
        ]

    def keys(self, partition: int, prefix: str, limit: int = SLICE_KEYS) -> list[str]:
        """Keys of records and rows with a prefix, in order: one seek. Raises NotOwnerError, NotReadyError."""
        start, database = prefix.encode(), cast("Any", self._database(partition))
        found = islice(database.items(from_key=start), limit)
        return [
            key.decode(errors="backslashreplace")
            for key, _ in takewhile(lambda item: item[0].startswith(start), found)
        ]

    def entries(self, partition: int, prefix: str, start: str = "") -> Iterator[str]:
        """What follows `prefix` in the index's entries, the record's key behind a slash, from `start` on.

        In order; nothing may be awaited while it is read. Raises NotOwnerError, NotReadyError.
        """
        return index_keys(self._database(partition), prefix, start)

    def sums(self, partition: int) -> Mapping[str, int]:
        """The index's sums over all records. Raises NotOwnerError, NotReadyError."""
        return read_sums(self._database(partition))

    def dry_run_inputs(self, inputs: Sequence[DryRunInput], at_ms: int) -> list[DryRunResult]:
        """What inputs of one key would lead to at Kafka's time `at_ms`, up to the first dead letter.

        Changes nothing. Raises NotOwnerError, NotReadyError.
        """
        partition = self.partition_of(inputs[0].key.decode())
        database = self._database(partition)
        return dry_run_inputs(
            self.service, database.get, inputs, partition=partition, at_ms=at_ms, levels=self.levels
        )

    async def wait(
        self, key: str, predicate: Callable[[StoredRecord | None], bool], timeout_s: float
    ) -> StoredRecord | None:
        """Wait until the stored record satisfies `predicate` and give it.

        Raises TimeoutError, and NotOwnerError or NotReadyError also when the partition leaves this
        worker meanwhile.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                record = self.get(key)
                if predicate(record):
                    return record
                await self._next_change(key.encode())

    async def _next_change(self, key: bytes) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[key].add(change)
        try:
            await change
        finally:
            self._waiters[key].discard(change)
            if not self._waiters[key]:
                del self._waiters[key]

    def add_listener(self, listener: Listener) -> None:
        """Feed an index. Add it before the worker starts: it gets nothing earlier. Raises ValueError."""
        if not self.service.is_indexed:
            raise ValueError(f"the table of {self.name} has no index of what is open")
        self.listeners.append(listener)

    # -- for the task manager and its tasks ------------------------------------------------

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are this worker's and being recovered."""
        self._assigned = set(partitions)

    async def build_indexes(self, partition: int, database: Callable[[], Rdict | None]) -> bool:
        """Give the listeners every record that has not ended, or that is wanted a while longer.

        In slices that yield. `database` gives None once the partition has been taken away; then False is
        returned.
        """
        still_wanted = f"{until(machine_now_ms()).removeprefix(UNTIL)}/"
        for prefix, first in ((f"{OPEN}/", ""), (UNTIL, still_wanted)) if self.listeners else ():
            start = first
            while (db := database()) is not None:
                entries = list(islice(index_keys(db, prefix, start), SLICE_KEYS))
                for entry in entries:
                    key = entry.rpartition("/")[2].encode()
                    raw = db.get(key)
                    record = self._load(key, raw) if raw is not None else None
                    if record is not None:
                        self._notify_listeners(partition, record)
                del db
                if len(entries) < SLICE_KEYS:
                    break
                start = f"{entries[-1]}\0"
                await asyncio.sleep(0)
        return database() is not None

    def open(self, partition: int, database: Rdict) -> None:
        """Answer readers from now on."""
        self._open[partition] = database

    def close(self, partition: int) -> None:
        """The partition left this worker: readers and waiters get NotOwnerError, indexes drop it."""
        self._assigned.discard(partition)
        self._open.pop(partition, None)
        self._cached.clear()
        for listener in self.listeners:
            listener.closed(partition)
        for key in [key for key in self._waiters if self.partition_of(key.decode()) == partition]:
            self._wake(key)

    def publish(
        self, partition: int, keys: Collection[bytes], records: Sequence[StoredRecord]
    ) -> None:
        """These are durable now, and since the last await: update the indexes, wake who waits."""
        for key in keys:
            self._cached.pop(key.decode(), None)
        for record in records:
            self._notify_listeners(partition, record)
        if self._waiters:
            for key in keys:
                self._wake(key)

    def _notify_listeners(self, partition: int, record: StoredRecord) -> None:
        for listener in self.listeners:
            listener.updated(partition, record.key, record)

    def _wake(self, key: bytes) -> None:
        for change in self._waiters.pop(key, ()):
            if not change.done():
                change.set_result(None)

    def _database(self, partition: int) -> Rdict:
        database = self._open.get(partition)
        if database is None:
            if partition in self._assigned:
                raise NotReadyError(f"{self.name}: partition {partition} is being recovered")
            raise NotOwnerError(f"{self.name}: partition {partition} is another worker's")
        return database
