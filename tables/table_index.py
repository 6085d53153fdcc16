r"""The index of a table: what its records are found by, and sums over them, kept in its RocksDB beside them.

A service says for each state which entries it is found by, and what it adds to the sums. A record has that
as its last field, so that recovering it does not mean to understand it. Entries and sums change in the write
batch that changes the record, in owners and standby replicas alike; they are in no changelog. The entry OPEN
is the engine's own: of each record that has not ended.

Keys are `\0index/<entry>/<key of the record>`, without a value. `\0sums` has the sums, `\0indexed` the
changelog offset at which the index was last known to be whole, and VERSION: where that is not the table's own
offset, a build that keeps no index has written meanwhile, and the index is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import orjson
import rocksdict

from tables.keys import is_record_key, records_and_rows
from tables.packing import head_of
from tables.record import INDEX_FIELD, TERMINAL, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from models.transition import TransitionService

LOG = logging.getLogger("tiffin.engine")
INDEX_PREFIX: Final = b"\0index/"
AFTER_INDEX: Final = b"\0index0"
SUMS_KEY: Final = b"\0sums"
INDEXED_KEY: Final = b"\0indexed"
VERSION: Final = 1
"""Raised when a service gives other entries or sums for the same state: then all are made anew, for records
without the field are taken as today's services see them."""
OPEN: Final = "open"
SLICE_KEYS: Final = 500
REBUILD_LOG_S: Final = 5.0


class Indexed(NamedTuple):
    """What one record is in the index."""

    entries: Sequence[str]
    sums: Mapping[str, int]


FIELD: Final = msgspec.json.Decoder(tuple[list[str], dict[str, int]])
"""Of a record's entries and sums as they are stored."""
NOTHING: Final = Indexed((), {})


class TableIndex:
    """Keeps the index of one service's table, in whichever database of it.

    offset_key: under which RocksDB holds the changelog offset that the table is at.
    """

    def __init__(self, service: TransitionService) -> None:
        self._service = service

    def add_changes(
        self,
        batch: rocksdict.WriteBatch,
        database: rocksdict.Rdict,
        rows: Iterable[tuple[bytes, bytes]],
        offset_key: bytes,
        changelog_offset: int | None,
    ) -> None:
        """Add to a write batch what its rows change in the index. changelog_offset: which it reaches."""
        added: dict[str, int] = {}
        for key, raw in dict(rows).items():
            if not is_record_key(key):
                continue
            stored = database.get(key)
            before = self._of(key, stored) if stored is not None else NOTHING
            after = self._of(key, raw)
            was, is_ = set(before.entries), set(after.entries)  # an order's may be a hundred
            for entry in was - is_:
                batch.delete(_index_key(entry, key))
            for entry in is_ - was:
                batch.put(_index_key(entry, key), b"")
            if before.sums != after.sums:
                for name, value in after.sums.items():
                    added[name] = added.get(name, 0) + value
                for name, value in before.sums.items():
                    added[name] = added.get(name, 0) - value
        if any(added.values()):
            sums = read_sums(database)
            sums.update(added)
            batch.put(SUMS_KEY, _dump_sums(sums))
        if changelog_offset is not None and is_whole(database, offset_key):
            batch.put(INDEXED_KEY, mark(b"%d" % changelog_offset))

    async def make_whole(
        self, database: Callable[[], rocksdict.Rdict | None], offset_key: bytes
    ) -> bool:
        """Make the index anew where it is not whole, in slices that yield: reads the whole table, once.

        Nothing else may write meanwhile. `database` gives None once the partition has been taken away;
        then False is returned.
        """
        db = database()
        if db is None or is_whole(db, offset_key):
            return db is not None
        db.delete(INDEXED_KEY)
        db.delete_range(INDEX_PREFIX, AFTER_INDEX)
        began = told = time.monotonic()
        sums, start, records = Counter[str](), b"\1", 0
        while (db := database()) is not None:
            found = list(islice(records_and_rows(db, start), SLICE_KEYS))
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, raw in found:
                if not is_record_key(key):
                    continue
                indexed = self._of(key, raw)
                sums.update(indexed.sums)
                for entry in indexed.entries:
                    batch.put(_index_key(entry, key), b"")
                records += 1
            if len(found) < SLICE_KEYS:
                batch.put(SUMS_KEY, _dump_sums(sums))
                if (reached := db.get(offset_key)) is not None:
                    batch.put(INDEXED_KEY, mark(reached))
            db.write(batch)
            if len(found) < SLICE_KEYS:
                break
            start = found[-1][0] + b"\0"
            if time.monotonic() - told > REBUILD_LOG_S:
                told = time.monotonic()
                self._tell("making a table's index anew", records, began)
            await asyncio.sleep(0)
        if records:
            self._tell("a table's index was made anew", records, began)
        return db is not None

    def _tell(self, what: str, records: int, began_s: float) -> None:
        took_s = round(time.monotonic() - began_s, 1)
        LOG.info(what, extra={"service": self._service.name, "records": records, "took_s": took_s})

    def _of(self, key: bytes, raw: bytes) -> Indexed:
        try:
            head = head_of(raw)
            at = head.rfind(INDEX_FIELD)
            if at >= 0:
                entries, sums = FIELD.decode(head[at + len(INDEX_FIELD) - 1 : -1])
                has_ended = raw.startswith(TERMINAL)
            else:  # written by a build without indexes
                record = Record(key.decode(), raw, self._service)
                has_ended = record.has_ended(self._service)
                entries, sums = record.index(self._service, has_ended=has_ended)
            if not has_ended:
                entries.append(OPEN)
            return Indexed(entries, sums)
        except Exception:  # noqa: BLE001 -- whatever was stored is found; who reads it tells what it is
            return Indexed((OPEN,), {})


def is_whole(database: rocksdict.Rdict, offset_key: bytes) -> bool:
    """Whether the index covers all that the table holds."""
    offset = database.get(offset_key)
    return database.get(INDEXED_KEY) == (None if offset is None else mark(offset))


def mark(offset: bytes) -> bytes:
    """What `INDEXED_KEY` holds where the index covers all up to a changelog offset."""
    return b"%b v%d" % (offset, VERSION)


def read_sums(database: rocksdict.Rdict) -> Counter[str]:
    """The sums over all records of a database."""
    return Counter(orjson.loads(database.get(SUMS_KEY) or b"{}"))


def index_keys(database: Any, prefix: str, start: str = "") -> Iterator[str]:
    """What follows `prefix` in the keys of index entries, in order, from `start` on."""
    begin = INDEX_PREFIX + prefix.encode()
    for key in database.keys(from_key=begin + start.encode()):
        if not key.startswith(begin):
            return
        yield key[len(begin) :].decode()


def _index_key(entry: str, key: bytes) -> bytes:
    return b"%b%b/%b" % (INDEX_PREFIX, entry.encode(), key)


def _dump_sums(sums: Counter[str]) -> bytes:
    return orjson.dumps({name: value for name, value in sums.items() if value})
