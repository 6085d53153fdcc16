"""Reads what lies in Kafka as bytes: for topics into which tests put what no client reads.

Of compressed batches those with Snappy are read where they can be, for changelogs are written so; others are
not ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import NamedTuple

from aiokafka.codec import snappy_decode
from aiokafka.record.util import decode_varint

from tests.foreign.raw_producer import Connection
from tests.foreign.record_batches import CONTROL, NONE, SNAPPY

CODEC_BITS = 7
"""Of a batch's attributes."""
FETCH_KEY = 1
VERSION = 4
FETCH_BYTES = 16 * 1024 * 1024
_HEADER = struct.Struct(">qiibIhiqqqhii")


class Stored(NamedTuple):
    """A record as it is stored; names of headers are bytes, for they may be no text."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]

    def header(self, name: bytes) -> bytes | None:
        """The value of the last header of that name."""
        return dict(self.headers).get(name)


def read_partition(bootstrap: str, topic: str, partition: int, start: int = 0) -> list[Stored]:
    """All records from an offset on, up to where the partition ends now. Blocks."""
    found: list[Stored] = []
    with Connection(bootstrap, topic, partition) as connection:
        at, end = start, start + 1
        while at < end:
            end, raw = _fetch(connection, at)
            before = at
            for batch in _batches(raw):
                at = max(at, batch.next_offset)
                found += [record for record in batch.records() if record.offset >= before]
            assert at > before or at >= end, f"{topic}/{partition}: nothing at {at} of {end}"
    return [record._replace(partition=partition) for record in found]


def _fetch(connection: Connection, offset: int) -> tuple[int, bytes]:
    """Where the partition ends, and the batches from an offset on."""
    name = connection.topic.encode()
    body = struct.pack(">iiiibi", -1, 0, 0, FETCH_BYTES, 0, 1)
    body += struct.pack(">h", len(name)) + name
    body += struct.pack(">iiqi", 1, connection.partition, offset, FETCH_BYTES)
    answer = connection.ask(FETCH_KEY, VERSION, body)
    at = 4 + 4 + 2 + len(name) + 4 + 4  # throttling, topics, name, partitions, partition
    code, end, _, aborted = struct.unpack_from(">hqqi", answer, at)
    assert code == 0, f"Kafka answers {code} to a fetch of {connection.topic} at {offset}"
    at += 22 + 16 * max(aborted, 0)
    (size,) = struct.unpack_from(">i", answer, at)
    return end, answer[at + 4 : at + 4 + size]


class _Batch(NamedTuple):
    raw: bytes
    base: int
    attributes: int
    last_delta: int
    first_ms: int
    size: int

    @property
    def next_offset(self) -> int:
        return self.base + self.last_delta + 1

    def records(self) -> Iterator[Stored]:
        """Its records; the offset is the place in the batch, whatever the record says."""
        codec = self.attributes & CODEC_BITS
        if not self.attributes & CONTROL and codec in {NONE, SNAPPY}:
            with suppress(Exception) if codec else nullcontext():
                yield from self._records(snappy_decode(self.raw[_HEADER.size :]) if codec else None)

    def _records(self, plain: bytes | None) -> list[Stored]:
        """plain: the records, where they are compressed in the batch."""
        body = bytearray(self.raw if plain is None else self.raw[: _HEADER.size] + plain)
        found, at = [], _HEADER.size
        for _ in range(self.size):
            length, at = decode_varint(body, at)
            found.append(self._record(body, at))
            at += length
        return found

    def _record(self, body: bytearray, at: int) -> Stored:
        time, at = decode_varint(body, at + 1)
        delta, at = decode_varint(body, at)
        key, at = _field(body, at)
        value, at = _field(body, at)
        count, at = decode_varint(body, at)
        headers = []
        for _ in range(count):
            name, at = _field(body, at)
            data, at = _field(body, at)
            headers.append((name or b"", data))
        return Stored(-1, self.base + delta, self.first_ms + time, key, value, headers)


def _batches(raw: bytes) -> Iterator[_Batch]:
    at = 0
    while at + _HEADER.size <= len(raw):
        fields = _HEADER.unpack_from(raw, at)
        end = at + 12 + fields[1]
        if end > len(raw):
            return
        yield _Batch(raw[at:end], fields[0], fields[5], fields[6], fields[7], fields[12])
        at = end


def _field(body: bytearray, at: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(body, at)
    return (None, at) if size < 0 else (bytes(body[at : at + size]), at + size)
