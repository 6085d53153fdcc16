"""Kafka's codecs, bounded: a batch of 1 MB can be made to expand to many GB.

aiokafka's own decoders expand without a limit, and choke on what Kafka's broker and Java's client
take: several streams one after the other, garbage behind the last.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cramjam
from aiokafka.errors import CorruptRecordException

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _unzstd(data: memoryview) -> bytes:
    return _bounded(cramjam.zstd.decompress_into, data)


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


DECODERS: dict[int, Callable[[memoryview], bytes]] = {
    1: _gunzip,
    2: _unsnappy,
    3: _unlz4,
    4: _unzstd,
}
"""Kafka's codecs by their number in a batch's attributes: gzip, snappy, lz4, zstd."""
