"""The records of one partition on disk, by order: memory does not grow with them.

A temporary database of SQLite, which has no name in any folder and ends with the process: order commands hold
contacts and addresses.
"""

from __future__ import annotations

import sqlite3
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import orjson

from tables import ConsumedRecord
from tables.consumed_record import unreadable_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.kafka.records import FetchedRecord

CACHE_KIB: Final = 32 * 1024
STAMPED_BY_BROKER: Final = 1
RECORDS: Final = """
CREATE TABLE records (
    key BLOB, topic TEXT, partition INT, offset INT, at_ms INT, value BLOB, headers BLOB, error TEXT
)"""


class RecordStore:
    """What was read of one partition. Methods block."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            f"PRAGMA cache_size = -{CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            RECORDS,
            "CREATE TABLE cuts (key BLOB, service TEXT, value BLOB, PRIMARY KEY (key, service))",
            "BEGIN",
        ):
            self._database.execute(statement)

    def add(self, records: Iterable[FetchedRecord]) -> None:
        """Keep records of topics."""
        rows = (
            (
                r.key,
                r.topic,
                r.partition,
                r.offset,
                r.timestamp_ms,
                r.value,
                _packed(r.headers),
                r.error,
            )
            for r in records
        )
        self._database.executemany("INSERT INTO records VALUES (?,?,?,?,?,?,?,?)", rows)

    def add_cuts(self, service: str, records: Iterable[FetchedRecord]) -> None:
        """Keep the first of each key's records that a table's changelog has."""
        rows = ((record.key, service, record.value) for record in records)
        self._database.executemany("INSERT OR IGNORE INTO cuts VALUES (?,?,?)", rows)

    def count(self) -> int:
        """How many records of topics there are."""
        (count,) = self._database.execute("SELECT count(*) FROM records").fetchone()
        return int(count)

    def orders(self) -> Iterator[tuple[bytes | None, list[ConsumedRecord]]]:
        """Each key with its records, each topic in order; when everything has been added."""
        self._database.execute("CREATE INDEX by_key ON records (key, topic, offset)")
        rows = self._database.execute("SELECT * FROM records ORDER BY key, topic, offset")
        for key, found in groupby(rows, key=lambda row: row[0]):
            yield key, [_consumed(row) for row in found]

    def cuts(self, key: bytes | None) -> Mapping[str, bytes]:
        """Service -> what its table held of a key."""
        rows = self._database.execute("SELECT service, value FROM cuts WHERE key IS ?", (key,))
        return {service: value for service, value in rows if value is not None}

    def close(self) -> None:
        """Forget everything."""
        self._database.close()


def _packed(headers: Iterable[tuple[str, bytes]]) -> bytes:
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def _consumed(row: tuple[Any, ...]) -> ConsumedRecord:
    key, topic, partition, offset, at_ms, value, packed, error = row
    if error is not None:
        return unreadable_record(topic, partition, offset, value, error)
    headers = tuple((name, text.encode("latin-1")) for name, text in orjson.loads(packed))
    sizes = (len(key or b""), len(value or b""))
    return ConsumedRecord(
        topic, partition, offset, at_ms, STAMPED_BY_BROKER, key, value, None, *sizes, headers
    )
