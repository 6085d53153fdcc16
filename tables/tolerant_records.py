"""Reads a batch's records one by one, whatever some of them say of themselves.

aiokafka's decoder gives up at the first record that it can't read; this one, slower, goes on behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import decode_varint as decode_varint_unbounded

from tables.consumed_record import UnreadableRecord, unreadable_record

BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and greatest
timestamp, producer id and epoch, base sequence, number of records."""
LOG_APPEND_TIME = 0x08
MAX_HEADERS = 1000
MAX_RECORDS_IN_LARGE_BATCH = 100_000
MAX_ITEMS_IN_LARGE_BATCH = 10_000
"""Records and headers of a large batch in which a record can't be read: reading on behind it takes some
microseconds for each; of small ones it would take seconds a megabyte."""


class DecodedRecord(NamedTuple):
    """A record as aiokafka's decoder gives it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def tolerant_records(raw: bytes) -> Iterator[DecodedRecord | UnreadableRecord]:
    """Records of an uncompressed batch, found one by one, so that a broken one hides no other.

    Brokers read a compressed batch's records on from where each ends, whatever its length field says;
    where one can't be read its length is all there is to go by. Raises CorruptRecordException when
    neither leads on.
    """
    fields = BATCH_HEADER.unpack_from(raw)
    base, attributes, first_ms, greatest_ms, count = (fields[i] for i in (0, 5, 7, 8, 12))
    appended_ms = greatest_ms if attributes & LOG_APPEND_TIME else None
    body, at = bytearray(raw), BATCH_HEADER.size  # which aiokafka's decoder wants
    for number in range(count):
        start, length = at, -1
        try:
            length, start = decode_varint(body, at)
            record, at = _read_record(body, start, base, first_ms, appended_ms)
            error = f"its length is given as {length}" if at != start + length else ""
        except (ValueError, IndexError) as exc:
            error, at = str(exc) or repr(exc), start + length
            if length <= 0 or at > len(body):
                raise CorruptRecordException(f"record {number} can't be read: {error}") from None
        if error:
            yield unreadable_record("", -1, base + number, bytes(body[start:at]), error)
        else:
            yield record


def _read_record(
    body: bytearray, at: int, base: int, first_ms: int, appended_ms: int | None
) -> tuple[DecodedRecord, int]:
    """Read the record at `at`; gives it and where it ends. Raises ValueError or IndexError."""
    _, at = decode_varint(body, at)  # attributes, unused
    delta_ms, at = decode_varint(body, at)
    delta, at = decode_varint(body, at)
    key, at = _read_bytes(body, at)
    value, at = _read_bytes(body, at)
    count, at = decode_varint(body, at)
    if not 0 <= count <= len(body):
        raise ValueError(f"{count} headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, at = _read_bytes(body, at)
        if name is None:
            raise ValueError("a header without a name")
        header, at = _read_bytes(body, at)
        headers.append((name.decode(errors="backslashreplace"), header))
    timestamp = first_ms + delta_ms if appended_ms is None else appended_ms
    record = DecodedRecord(
        base + delta, timestamp, int(appended_ms is not None), key, value, headers
    )
    return record, at


def _read_bytes(body: bytearray, at: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(body, at)
    if size < 0:
        return None, at
    if size > len(body) - at:
        raise ValueError(f"a field of {size} bytes where {len(body) - at} are left")
    return bytes(body[at : at + size]), at + size


def check_large(raw: bytes, count: int) -> int:
    """Raise CorruptRecordException for a batch that would take seconds, or gigabytes, to decode.

    A header takes two bytes in a batch and a hundred in memory. Gives the number of records and headers.
    """
    if count > MAX_RECORDS_IN_LARGE_BATCH:
        raise CorruptRecordException(f"{count} records in {len(raw)} bytes")
    body, at = bytearray(raw), BATCH_HEADER.size
    items, most = count, 0
    for _ in range(count):
        length, start = decode_varint(body, at)
        at = start + length
        if length <= 0 or at > len(body):
            raise CorruptRecordException(f"a record of {length} bytes")
        headers = max(0, _count_headers(body, start))
        items, most = items + headers, max(most, headers)
    if items > MAX_ITEMS_IN_LARGE_BATCH and most > MAX_HEADERS:
        raise CorruptRecordException(f"a record with more than {MAX_HEADERS} headers")
    return items


def decode_varint(body: bytearray, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises IndexError at the end of the body, which aiokafka's reads past."""
    if at < len(body):
        value, end = decode_varint_unbounded(body, at)
        if end <= len(body):
            return value, end
    raise IndexError("the records end inside a number")


def _count_headers(body: bytearray, at: int) -> int:
    for _ in range(3):  # attributes, timestamp, offset
        _, at = decode_varint(body, at)
    for _ in range(2):  # key, value
        size, at = decode_varint(body, at)
        at += max(0, size)
    count: int = decode_varint(body, at)[0]
    return count
