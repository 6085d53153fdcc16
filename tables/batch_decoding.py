"""Decodes a batch's inside where aiokafka's decoders don't do: bounded, and behind a broken record.

aiokafka's expand without a limit, though a batch of 1 MB can be made to expand to many GB, and choke on
what Kafka's broker and Java's client take: several streams one after the other, garbage behind the last.
They give up at the first record that they can't read; `tolerant_records`, slower, goes on behind it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import cramjam
from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import decode_varint as decode_varint_unbounded

from tables.consumed_record import UnreadableRecord, unreadable_record

MAX_DECOMPRESSED_BYTES = 32 * 1024 * 1024
"""What one compressed batch may expand to; producers' batches are of 16 KB to some MB."""
MIN_BUFFER_BYTES = 64 * 1024
GZIP = zlib.MAX_WBITS | 16
MAX_GZIP_MEMBERS = 64
GZIP_MAGIC = b"\x1f\x8b"
XERIAL_MAGIC = b"\x82SNAPPY\0"
XERIAL_HEADER_BYTES = 16
LZ4_HAS_DICTIONARY, LZ4_HAS_CHECKSUM, LZ4_HAS_SIZE, LZ4_HAS_BLOCK_CHECKSUMS = 1, 4, 8, 16
"""Flags in a frame's descriptor."""
LZ4_BLOCK_SIZE = 0x7FFFFFFF
"""Without the bit that says that the block is not compressed."""
BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and greatest
timestamp, producer id and epoch, base sequence, number of records."""
LOG_APPEND_TIME = 0x08
MAX_HEADERS = 1000
MAX_RECORDS_IN_LARGE_BATCH = 100_000
MAX_ITEMS_IN_LARGE_BATCH = 10_000
"""Records and headers of a large batch in which a record can't be read: reading on behind it takes some
microseconds for each; of small ones it would take seconds a megabyte."""
_Decoder = Callable[[memoryview], bytes]


# -- compression ------------------------------------------------------------------------------


def decompress(codec: int, data: memoryview) -> bytes:
    """Records of a compressed batch. codec: by Kafka's number, 1 to 4.

    Raises CorruptRecordException, cramjam.DecompressionError, zlib.error or struct.error when they can't
    be decompressed, or are more than MAX_DECOMPRESSED_BYTES.
    """
    if codec not in DECODERS:
        raise CorruptRecordException(f"there is no compression {codec}")
    return DECODERS[codec](data)


def _gunzip(data: memoryview) -> bytes:
    """One gzip member after the other, as Java reads them; garbage behind them is left alone."""
    rest, plain = bytes(data), bytearray()
    for _ in range(MAX_GZIP_MEMBERS):
        if plain and not rest.startswith(GZIP_MAGIC):
            break
        stream = zlib.decompressobj(GZIP)
        plain += stream.decompress(rest, MAX_DECOMPRESSED_BYTES + 1 - len(plain))
        if len(plain) > MAX_DECOMPRESSED_BYTES:
            raise _too_large()
        if not stream.eof:
            raise CorruptRecordException("its gzip stream is cut off")
        rest = stream.unused_data
    return bytes(plain)


def _unsnappy(data: memoryview) -> bytes:
    """Raw snappy, or the blocks of it that Java's library writes, in one stream or several."""
    if data[: len(XERIAL_MAGIC)] != XERIAL_MAGIC:
        return _unsnappy_block(data, MAX_DECOMPRESSED_BYTES)
    at, plain = 0, bytearray()
    while at < len(data):
        if data[at : at + len(XERIAL_MAGIC)] == XERIAL_MAGIC:
            at += XERIAL_HEADER_BYTES
            continue
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            raise CorruptRecordException(f"a snappy block of {size} bytes")
        plain += _unsnappy_block(data[at : at + size], MAX_DECOMPRESSED_BYTES - len(plain))
        at += size
    return bytes(plain)


def _unsnappy_block(data: memoryview, room: int) -> bytes:
    block = bytes(data)
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise _too_large()
    return bytes(cramjam.snappy.decompress_raw(block))


def _unlz4(data: memoryview) -> bytes:
    return _bounded(cramjam.lz4.decompress_into, data[: _lz4_frame_size(data)])


def _lz4_frame_size(data: memoryview) -> int:
    """Where the first frame ends: as Java, what follows it is left alone. Raises struct.error.

    Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
    """
    flags = data[4]
    at = 4 + 2 + (8 if flags & LZ4_HAS_SIZE else 0) + (4 if flags & LZ4_HAS_DICTIONARY else 0) + 1
    block_checksum = 4 if flags & LZ4_HAS_BLOCK_CHECKSUMS else 0
    while True:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if not size:
            return at + (4 if flags & LZ4_HAS_CHECKSUM else 0)
        at += (size & LZ4_BLOCK_SIZE) + block_checksum


def _bounded(decompress_into: Callable[[bytes, bytearray], int], data: memoryview) -> bytes:
    """Decompress into ever more room: a frame need not say how much it needs, or may lie."""
    packed, size = bytes(data), max(MIN_BUFFER_BYTES, 4 * len(data))
    while True:
        room = bytearray(min(size, MAX_DECOMPRESSED_BYTES))
        try:
            return bytes(memoryview(room)[: decompress_into(packed, room)])
        except cramjam.DecompressionError:
            if len(room) == MAX_DECOMPRESSED_BYTES:
                raise
        size *= 8


def _too_large() -> CorruptRecordException:
    return CorruptRecordException(f"it expands to more than {MAX_DECOMPRESSED_BYTES} bytes")


_unzstd: _Decoder = partial(_bounded, cramjam.zstd.decompress_into)
DECODERS: dict[int, _Decoder] = {1: _gunzip, 2: _unsnappy, 3: _unlz4, 4: _unzstd}
"""Kafka's codecs by their number in a batch's attributes: gzip, snappy, lz4, zstd."""


# -- records ----------------------------------------------------------------------------------


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
    times = (timestamp, int(appended_ms is not None))
    return DecodedRecord(base + delta, *times, key, value, headers), at


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
