"""Decodes a partition's fetched bytes, whoever produced them and whatever is wrong with them.

aiokafka raises on a batch that it can't decode, loses the records that it had decoded before, and asks
for the same batch again for ever. What takes its place yields the items of consumed_record.py, in
offset order and without gaps.
"""

from __future__ import annotations

import operator
import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from tables.batch_decoding import (
    BATCH_HEADER,
    MAX_HEADERS,
    MAX_ITEMS_IN_LARGE_BATCH,
    DecodedRecord,
    check_large,
    decompress,
    tolerant_records,
)
from tables.consumed_record import (
    ConsumedRecord,
    EmptyOffsets,
    RecordRun,
    UnreadableRecord,
    empty_offsets,
    unreadable_batch,
    unreadable_record,
)
from tables.faust_internals import PartitionRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from faust.types import TP

LENGTH_FIELD = struct.Struct(">qi")
LENGTH_FIELD_BYTES = LENGTH_FIELD.size
MAGIC_POSITION = 16
MIN_BATCH_LENGTH = 14
"""Of anything that Kafka ever stored, behind its length field."""
MIN_LEGACY_MESSAGE_BYTES = {0: 26, 1: 34}
"""Of a message of the formats 0 and 1, without key and value."""
CODEC_MASK = 0x07
MAX_DECOMPRESSED_BYTES_PER_FETCH = 16 * 1024 * 1024
"""Once so much was decompressed, the rest of a fetch is left for the next."""
MAX_RUN_RECORDS = 1000
"""A larger batch becomes several runs: each is written at once, and nothing else runs meanwhile."""
LARGE_BATCH_BYTES = 1024 * 1024
"""Of a batch's records without compression; producers' batches are smaller."""
MAX_OFFSETS_PER_RECORD = 1000
"""Of a batch that says that it covers more, whatever was compacted away, the end is taken as unknown."""


class FetchedBatches:
    """A partition's part of a fetch, cut into batches; takes the place of aiokafka's MemoryRecords.

    Its constructor never raises, and it has a batch whenever there are bytes.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def size_in_bytes(self) -> int:
        """Size of all batches."""
        return len(self._raw)

    def has_next(self) -> bool:
        """Whether there is another batch; one that is cut off at the end is only the first."""
        return bool(self._raw) and (self._at == 0 or self._length() is not None)

    def next_batch(self) -> bytes:
        """The next batch's bytes. Raises CorruptRecordException when its end is unknown."""
        at, length = self._at, self._length()
        if length is None:
            raise CorruptRecordException("the batch is cut off")
        if length < MIN_BATCH_LENGTH:
            raise CorruptRecordException(f"the batch has a length of {length}")
        self._at = at + LENGTH_FIELD_BYTES + length
        return self._raw[at : self._at]

    def next_base_offset(self) -> int | None:
        """The offset at which the next batch begins; None when the fetch does not have it."""
        if self._at == 0 or len(self._raw) - self._at < LENGTH_FIELD_BYTES:
            return None
        base: int = LENGTH_FIELD.unpack_from(self._raw, self._at)[0]
        return base

    def _length(self) -> int | None:
        """What the length field says; None when the batch is cut off."""
        left = len(self._raw) - self._at
        if left < LENGTH_FIELD_BYTES:
            return None
        length: int = LENGTH_FIELD.unpack_from(self._raw, self._at)[1]
        return length if length <= left - LENGTH_FIELD_BYTES else None


class PartitionReader(PartitionRecords):
    """Decodes a partition's part of a fetch; takes the place of aiokafka's PartitionRecords."""

    def read_records(
        self, tp: TP, batches: FetchedBatches, *, as_runs: bool, check_crcs: bool
    ) -> Iterator[ConsumedRecord | RecordRun]:
        """Yield the items in offset order, without gaps."""
        decompressed = 0
        while batches.has_next() and decompressed < MAX_DECOMPRESSED_BYTES_PER_FETCH:
            raw = b""
            try:
                raw = batches.next_batch()
                batch = _decode(raw, self.next_fetch_offset, check_crc=check_crcs)
                decompressed += batch.decompressed_bytes
                yield from self._runs_of(tp, raw, batch) if as_runs else self._records_of(tp, batch)
            except Exception as exc:  # noqa: BLE001 -- whatever the bytes do to the decoders
                if _is_intact(raw) and 0 < _end_of(raw) <= self.next_fetch_offset:
                    continue  # all that it covers was read: it only said that there is more
                # Where the next batch begins, if the fetch has it: a damaged header is not relied on.
                end = batches.next_base_offset() or (_end_of(raw) if _is_intact(raw) else 0)
                yield unreadable_batch(tp, self.next_fetch_offset, end, exc)
                return

    def _runs_of(self, tp: TP, raw: bytes, batch: _Batch) -> Iterator[RecordRun]:
        """Yield a batch's records from where reading is, without looking at each of them."""
        first, next_offset = self.next_fetch_offset, batch.last_offset + 1
        if next_offset <= first:
            return
        try:
            records = list(batch.records)
            is_odd = not _are_in_place(batch, [record.offset for record in records])
        except Exception:  # noqa: BLE001 -- it comes again below, behind what can be read
            is_odd = True
        if is_odd:
            yield from self._runs_of_odd(tp, raw)
            return
        if batch.base_offset < first:
            records = [record for record in records if record.offset >= first]
        self.next_fetch_offset = next_offset
        while len(records) > MAX_RUN_RECORDS:
            end = records[MAX_RUN_RECORDS].offset
            yield RecordRun(first, end, records[:MAX_RUN_RECORDS])
            first, records = end, records[MAX_RUN_RECORDS:]
        yield RecordRun(first, next_offset, records)

    def _runs_of_odd(self, tp: TP, raw: bytes) -> Iterator[RecordRun]:
        """Yield the items of a batch one by one. Raises what can't be read, behind what can be."""
        for item in self._records_of(tp, _decode(raw, self.next_fetch_offset, check_crc=False)):
            if isinstance(item, EmptyOffsets):
                yield RecordRun(item.first, item.offset + 1, ())
            else:
                yield RecordRun(item.offset, item.offset + 1, (item,))

    def _records_of(self, tp: TP, batch: _Batch) -> Iterator[ConsumedRecord]:
        """Yield a batch's records from where reading is, and the gaps between them.

        A batch as a producer sent it has a record at each of its offsets, whatever the records say
        of themselves: brokers take what they say unread. Only compaction makes one that has fewer.
        """
        topic, partition = tp
        due, at, last = self.next_fetch_offset, batch.base_offset, batch.last_offset
        is_whole = batch.stated_count == last - at + 1
        for record in batch.records:
            if not is_whole and at <= record.offset <= last:
                at = record.offset
            if at < due:  # a fetch gives whole batches: these were asked for no more
                at += 1
                continue
            if at > due:
                yield empty_offsets(topic, partition, due, at - 1)
            self.next_fetch_offset = due = at + 1
            headers = record.headers
            is_broken = type(record) is UnreadableRecord or len(headers) > MAX_HEADERS
            if is_broken or record.offset != at:
                yield _broken_or_misplaced(topic, partition, at, record)
                at += 1
                continue
            at += 1
            key, value = record.key, record.value
            yield tuple.__new__(  # as NamedTuple's own constructor does, without its wrapper
                ConsumedRecord,
                (
                    topic,
                    partition,
                    record.offset,
                    record.timestamp,
                    record.timestamp_type,
                    key,
                    value,
                    None,
                    -1 if key is None else len(key),
                    -1 if value is None else len(value),
                    tuple(headers),
                ),
            )
        if due <= last:
            self.next_fetch_offset = last + 1
            yield empty_offsets(topic, partition, due, last)


class _Batch(NamedTuple):
    """A batch. stated_count: records that its header says it has; decompressed_bytes: of a compressed one."""

    base_offset: int
    last_offset: int
    stated_count: int
    decompressed_bytes: int
    records: Iterable[Any]


def _are_in_place(batch: _Batch, offsets: list[int]) -> bool:
    """Whether a batch's records say of themselves what their places in it say."""
    base, last = batch.base_offset, batch.last_offset
    if batch.stated_count == last - base + 1:
        return offsets == list(range(base, last + 1))
    rise = all(map(operator.lt, offsets, offsets[1:]))
    return not offsets or (rise and base <= offsets[0] and offsets[-1] <= last)


def _decode(raw: bytes, due: int, *, check_crc: bool) -> _Batch:
    """Read a batch's header, and expand it if it has what is due. Raises whatever the decoders raise."""
    magic = _magic_of(raw)
    if magic < 2:  # brokers before Kafka 0.11
        return _decode_legacy(raw, magic, check_crc=check_crc)
    batch = DefaultRecordBatch(raw)
    if check_crc and not batch.validate_crc():
        raise CorruptRecordException("its checksum is wrong")
    base, last = batch.base_offset, batch.next_offset - 1
    if last < base:
        raise CorruptRecordException(f"it begins at {base} and ends at {last}")
    count = BATCH_HEADER.unpack_from(raw)[12]
    if batch.is_control_batch or last < due or count == 0:
        return _Batch(base, last, 0, 0, ())
    plain = _decompressed(raw)
    is_large = len(plain) > LARGE_BATCH_BYTES
    reads_on = not is_large or check_large(plain, count) <= MAX_ITEMS_IN_LARGE_BATCH
    records = _records(plain, reads_on=reads_on)
    return _Batch(base, last, count, len(plain) if plain is not raw else 0, records)


def _decode_legacy(raw: bytes, magic: int, *, check_crc: bool) -> _Batch:
    batch = LegacyRecordBatch(raw, magic)
    if check_crc and not batch.validate_crc():
        raise CorruptRecordException("its checksum is wrong")
    records = []
    for record in batch:
        at_ms = -1 if record.timestamp is None else record.timestamp
        times = (at_ms, record.timestamp_type or 0)
        records.append(DecodedRecord(record.offset, *times, record.key, record.value, []))
    last = batch.next_offset - 1
    return _Batch(records[0].offset if records else last, last, len(records), 0, records)


def _records(raw: bytes, *, reads_on: bool) -> Iterator[Any]:
    """Records of an uncompressed batch: by aiokafka's decoder; if it gives up and `reads_on`, by ours."""
    seen = 0
    try:
        for record in DefaultRecordBatch(raw):
            yield record
            seen += 1
    except (CorruptRecordException, ValueError, IndexError):
        if not reads_on:
            raise
        yield from islice(tolerant_records(raw), seen, None)


def _decompressed(raw: bytes) -> bytes:
    """The batch without compression. Raises when it can't be, or would be too large."""
    fields = list(BATCH_HEADER.unpack_from(raw))
    codec = fields[5] & CODEC_MASK
    if not codec:
        return raw
    records = decompress(codec, memoryview(raw)[BATCH_HEADER.size :])
    fields[1] = BATCH_HEADER.size - LENGTH_FIELD_BYTES + len(records)
    fields[5] &= ~CODEC_MASK
    return BATCH_HEADER.pack(*fields) + records


def _broken_or_misplaced(topic: str, partition: int, offset: int, record: Any) -> UnreadableRecord:
    """The item of a record that is broken, or whose own offset is not its place in the batch."""
    error = f"it says that its offset is {record.offset}"
    if type(record) is UnreadableRecord:
        error = record.error
    elif len(record.headers) > MAX_HEADERS:
        error = f"it has {len(record.headers)} headers, {MAX_HEADERS} are allowed"
    return unreadable_record(topic, partition, offset, record.value, error)


def _is_intact(raw: bytes) -> bool:
    """Whether a batch's checksum is right."""
    return len(raw) >= BATCH_HEADER.size and bool(DefaultRecordBatch(raw).validate_crc())


def _magic_of(raw: bytes) -> int:
    """A batch's format. Raises CorruptRecordException for one so short that aiokafka's decoder can crash."""
    magic = raw[MAGIC_POSITION] if len(raw) > MAGIC_POSITION else 2
    if len(raw) < MIN_LEGACY_MESSAGE_BYTES.get(magic, BATCH_HEADER.size):
        raise CorruptRecordException(f"a batch of {len(raw)} bytes")
    return magic


def _end_of(raw: bytes) -> int:
    """The offset behind a batch by its header; 0 if that can't be."""
    if len(raw) < BATCH_HEADER.size or raw[MAGIC_POSITION] < 2:
        return 0
    fields = BATCH_HEADER.unpack_from(raw)
    base, last_delta, count = fields[0], fields[6], fields[12]
    return base + last_delta + 1 if 0 <= last_delta < MAX_OFFSETS_PER_RECORD * max(count, 1) else 0
