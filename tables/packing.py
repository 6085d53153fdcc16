"""Ended records, packed: JSON compressed with a dictionary of its service, which knows how such records look.

A packed record is a line of JSON, PACKED and the dictionary's number from 1 (0: none), with what the record is
found by as its last field, and a raw deflate stream of the rest. What a dictionary once packed is read with it
for ever: it is never changed, a better one gets the next number.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKED = b'{"terminal":true,"packed":'
"""How a packed record begins: as every ended one."""
MAX_BYTES = 16 * 1024 * 1024
"""Of an unpacked record: far more than any record may have."""
_RAW_DEFLATE = -15
_MEMORY_LEVEL = 8


def pack(record: bytes, dictionaries: Sequence[bytes], index: bytes = b"") -> bytes:
    """Pack an ended record, with the last dictionary. index: the last field, with the comma before it."""
    dictionary = dictionaries[-1] if dictionaries else b""
    deflate = zlib.compressobj(
        zlib.Z_DEFAULT_COMPRESSION,
        zlib.DEFLATED,
        _RAW_DEFLATE,
        _MEMORY_LEVEL,
        zlib.Z_DEFAULT_STRATEGY,
        dictionary,
    )
    packed = deflate.compress(record) + deflate.flush()
    return b"%b%d%b}\n%b" % (PACKED, len(dictionaries), index, packed)


def head_of(stored: bytes) -> bytes:
    """All of a record that has its last field in it: of a packed one the line in front."""
    return stored[: stored.find(b"\n")] if stored.startswith(PACKED) else stored


def unpack(stored: bytes, dictionaries: Sequence[bytes]) -> bytes:
    """The record without its index; one that is not packed is given back.

    Raises ValueError for what can't be read.
    """
    if not stored.startswith(PACKED):
        return stored
    head, _, packed = stored.partition(b"\n")
    number = head[len(PACKED) : -1].partition(b",")[0]
    if not 0 <= int(number) <= len(dictionaries):
        raise ValueError("packed with a dictionary that is not known: by a later version")
    dictionary = dictionaries[int(number) - 1] if int(number) else b""
    inflate = zlib.decompressobj(_RAW_DEFLATE, dictionary)
    try:
        record = inflate.decompress(packed, MAX_BYTES)
    except zlib.error as exc:
        raise ValueError(str(exc)) from None
    if not inflate.eof:
        raise ValueError("a packed record that does not end")
    return record
