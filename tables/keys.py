"""The keys of a table: which are records', which rows', which the engine's own or Faust's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.search_terms import SEARCH_ROW_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVED = (b"\0", b"__faust")
LOOKUP_PREFIX = SEARCH_ROW_PREFIX.encode()
AFTER_LOOKUP_ROWS = LOOKUP_PREFIX[:-1] + bytes([LOOKUP_PREFIX[-1] + 1])


def is_record_key(key: bytes) -> bool:
    """Whether a key of a table is a record's: rows have a slash, the engine's and Faust's own begin so."""
    return b"/" not in key and not key.startswith(RESERVED)


def records_and_rows(database: Any, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Records and rows from `start` on, without reserved keys.

    The rows by which orders are found are many, and passed over.
    """
    from_key: bytes | None = start
    while from_key is not None:
        items, from_key = database.items(from_key=from_key), None
        for key, value in items:
            if key.startswith(LOOKUP_PREFIX):
                from_key = AFTER_LOOKUP_ROWS
                break
            if not key.startswith(RESERVED):
                yield key, value
