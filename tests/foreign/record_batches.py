"""Kafka record batches made byte by byte, whole ones and broken ones, and compressed by hand.

Nothing here uses the engine's or a client's encoder: these batches show what reaches a reader when the
producer is not ours. The format: https://kafka.apache.org/41/implementation/message-format/. Compressed
frames hold their data uncompressed ("stored"), as each format allows; producers that really compress are in
producers.py.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL, DELETE_HORIZON = 0x08, 0x10, 0x20, 0x40
"""Bits of a batch's attributes above the codec's three; bits 7 to 15 have no meaning yet."""

NOW_MS = 1_790_000_000_000
YEAR_2099_MS = 4_070_908_800_000

_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_FROM = 21
"""The checksum is of what follows it: from the attributes on."""
_XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
_ZSTD_BLOCK = 128 * 1024
_ZSTD_START = b"\x28\xb5\x2f\xfd\0\x38"
"""Of a frame of unknown size, with a window of one block."""
_BLOCK = 60 * 1024

Header = tuple[bytes | None, bytes | None]
"""Name and value. A name of None is written with the length -1, which no producer should send."""


def varint(value: int) -> bytes:
    """A number as the format has it: zigzag, seven bits a byte; up to 64 bits."""
    rest = ((value << 1) ^ (value >> 63)) & (1 << 64) - 1
    parts = bytearray()
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*parts, rest])


def _sized(data: bytes | None, length: int | None = None) -> bytes:
    told = length if length is not None else -1 if data is None else len(data)
    return varint(told) + (data or b"")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a batch. What is None at the bottom is what it should be; else it is a lie.

    timestamp_ms: absolute. Lengths in bytes. `tail` follows the headers, inside the record.
    """

    key: bytes | None = b"key"
    value: bytes | None = b"value"
    headers: Sequence[Header] = ()
    timestamp_ms: int = NOW_MS
    attributes: int = 0
    tail: bytes = b""
    length: int | None = None
    offset_delta: int | None = None
    key_length: int | None = None
    value_length: int | None = None
    header_count: int | None = None
    name_length: int | None = None
    raw: bytes | None = None
    """These bytes instead of the whole record, its length included."""

    def encoded(self, number: int, base_timestamp_ms: int) -> bytes:
        """As it is in a batch that begins at this time, `number` records before it."""
        if self.raw is not None:
            return self.raw
        delta = self.offset_delta if self.offset_delta is not None else number
        count = self.header_count if self.header_count is not None else len(self.headers)
        body = b"".join(
            [
                struct.pack(">b", self.attributes),
                varint(self.timestamp_ms - base_timestamp_ms),
                varint(delta),
                _sized(self.key, self.key_length),
                _sized(self.value, self.value_length),
                varint(count),
                *(_sized(name, self.name_length) + _sized(data) for name, data in self.headers),
                self.tail,
            ]
        )
        return varint(self.length if self.length is not None else len(body)) + body


@dataclass(frozen=True, slots=True)
class Batch:
    """A record batch of format 2. What is None at the bottom is what it should be; else it is a lie.

    attributes: bits besides the codec's. compress: how the records are packed, if not as `codec` says.
    """

    records: Sequence[Record] = (Record(),)
    codec: int = NONE
    attributes: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    base_offset: int = 0
    leader_epoch: int = -1
    magic: int = 2
    compress: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    tail: bytes = b""
    length: int | None = None
    crc: int | None = None
    last_offset_delta: int | None = None
    first_timestamp_ms: int | None = None
    max_timestamp_ms: int | None = None
    count: int | None = None

    def encoded(self) -> bytes:
        """The batch as it is sent and stored."""
        times = [record.timestamp_ms for record in self.records] or [NOW_MS]
        first, newest = (
            _or(self.first_timestamp_ms, times[0]),
            _or(self.max_timestamp_ms, max(times)),
        )
        plain = b"".join(record.encoded(n, first) for n, record in enumerate(self.records))
        compress = self.compress or COMPRESS.get(self.codec, bytes)
        payload = compress(plain) + self.tail
        last_delta = _or(self.last_offset_delta, len(self.records) - 1)
        fields = (
            self.codec | self.attributes, last_delta, first, newest, self.producer_id,
            self.producer_epoch, self.base_sequence, _or(self.count, len(self.records)),
        )  # fmt: skip
        length = _or(self.length, _HEADER.size - 12 + len(payload))
        start = (self.base_offset, length, self.leader_epoch, self.magic)
        unchecked = _HEADER.pack(*start, 0, *fields)[_CRC_FROM:] + payload
        return _HEADER.pack(*start, _or(self.crc, calc_crc32c(unchecked)), *fields) + payload


def _or(told: int | None, right: int) -> int:
    return right if told is None else told


def with_crc(batch: bytes) -> bytes:
    """A batch whose bytes were changed, with the checksum that fits them."""
    return batch[:17] + struct.pack(">I", calc_crc32c(batch[_CRC_FROM:])) + batch[_CRC_FROM:]


def message(
    key: bytes | None,
    value: bytes | None,
    *,
    magic: int,
    timestamp_ms: int = NOW_MS,
    offset: int = 0,
) -> bytes:
    """A message of the formats 0 and 1, in a set of its own, as clients before 0.11 send it."""

    def sized(data: bytes | None) -> bytes:
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data

    time = struct.pack(">q", timestamp_ms) if magic else b""
    body = struct.pack(">bb", magic, 0) + time + sized(key) + sized(value)
    body = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", offset, len(body)) + body


# -- frames -----------------------------------------------------------------------------------


def _blocks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def snappy(data: bytes) -> bytes:
    """Snappy in Java's framing, as all of Kafka's clients send it."""
    blocks = [snappy_bare(block) for block in _blocks(data, _BLOCK)]
    return _XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def snappy_bare(data: bytes) -> bytes:
    """Snappy's own format without a frame, which readers take too."""
    size, rest = bytearray(), len(data)
    while rest > 0x7F:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    literals = (b"\xf4" + struct.pack("<H", len(b) - 1) + b for b in _blocks(data, _BLOCK) if b)
    return bytes(size) + b"".join(literals)


def lz4(data: bytes) -> bytes:
    """An LZ4 frame of independent stored blocks; its third flag byte is the checksum of the first two."""
    blocks = (struct.pack("<I", 1 << 31 | len(b)) + b for b in _blocks(data, _BLOCK) if b)
    return b"\x04\x22\x4d\x18\x60\x40\x82" + b"".join(blocks) + b"\0\0\0\0"


def zstd(data: bytes) -> bytes:
    """A Zstandard frame of raw blocks."""
    frame, blocks = _ZSTD_START, _blocks(data, _ZSTD_BLOCK)
    for number, block in enumerate(blocks):
        frame += zstd_block(len(block), 0, last=number == len(blocks) - 1) + block
    return frame


def zstd_block(size: int, kind: int, *, last: bool) -> bytes:
    """The three bytes before a block; kind 0 is raw, 1 is one byte repeated `size` times."""
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3]


COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    GZIP: lambda data: gzip.compress(data, 6, mtime=0),
    SNAPPY: snappy,
    LZ4: lz4,
    ZSTD: zstd,
}


def swelling(size: int, codec: int = ZSTD, **fields: Any) -> Batch:
    """A batch of one record whose value is `size` zero bytes, packed into some thousandths of that.

    Kafka's limit is on what is sent, not on what it unpacks to. codec: ZSTD, which needs next to no memory
    to make, or GZIP. Sizes: a multiple of 128 KiB.
    """
    assert size % _ZSTD_BLOCK == 0
    record = Record(value=b"", value_length=size)
    start = record.encoded(0, NOW_MS)  # ... value's length | count of headers
    body = start[1:-1] if start[0] < 0x80 else start[2:-1]
    head = varint(len(body) + size + 1) + body

    def compress(_: bytes) -> bytes:
        if codec == GZIP:
            return gzip.compress(head + bytes(size) + b"\0", 9, mtime=0)
        frame = _ZSTD_START + zstd_block(len(head), 0, last=False) + head
        frame += (zstd_block(_ZSTD_BLOCK, 1, last=False) + b"\0") * (size // _ZSTD_BLOCK)
        return frame + zstd_block(1, 0, last=True) + b"\0"

    return Batch([record], codec, compress=compress, **fields)
