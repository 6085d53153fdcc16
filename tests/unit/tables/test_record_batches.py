"""What is read from the bytes of a fetch: every codec, odd records, gaps, and batches that are broken."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tables import record_batches
from tables.batch_decoding import (
    MAX_DECOMPRESSED_BYTES,
    MAX_HEADERS,
    MAX_RECORDS_IN_LARGE_BATCH,
    decode_varint,
)
from tables.consumed_record import (
    ConsumedRecord,
    EmptyOffsets,
    RecordRun,
    UnreadableBatch,
    UnreadableRecord,
)
from tables.record_batches import FetchedBatches, PartitionReader
from tests.foreign.record_batches import (
    CODECS,
    COMPRESS,
    CONTROL,
    DELETE_HORIZON,
    GZIP,
    LOG_APPEND_TIME,
    LZ4,
    NOW_MS,
    SNAPPY,
    TRANSACTIONAL,
    ZSTD,
    Batch,
    Record,
    message,
    snappy_bare,
    swelling,
    with_crc,
)

TP = TopicPartition("payment-commands", 1)
EVERY_CODEC = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def read(raw: bytes, at: int = 0) -> tuple[list[Any], int]:
    """Everything that a fetch at this offset gives, and the offset of the next fetch."""
    reader = PartitionReader(TP, FetchedBatches(raw), None, at, None, None, 1, 0)
    items, due = list(reader), reader.next_fetch_offset
    assert runs_of(raw, at) == (in_brief(items), due)
    return items, due


def runs_of(raw: bytes, at: int) -> tuple[tuple[list[Any], list[Any]], int]:
    """The same of a changelog, where it comes as runs."""

    def is_changelog(topic: str) -> bool:
        return topic == TP.topic

    reader = PartitionReader(TP, FetchedBatches(raw), None, at, is_changelog, None, 1, 0)
    runs = list(reader)
    end = [runs.pop()] if runs and type(runs[-1]) is UnreadableBatch else []
    records = [record for run in runs for record in run.records]
    for run in runs:
        assert type(run) is RecordRun
        assert run.first == at < run.next_offset
        assert all(run.first <= record.offset < run.next_offset for record in run.records)
        assert len(run.records) <= record_batches.MAX_RUN_RECORDS
        at = run.next_offset
    return in_brief([*records, *end]), reader.next_fetch_offset


def in_brief(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Offsets and values of the records, and where reading stops and why."""
    end = [
        (item.offset, item.next_offset, item.error)
        for item in items
        if type(item) is UnreadableBatch
    ]
    kinds = (EmptyOffsets, UnreadableBatch)
    return [(item.offset, item.value) for item in items if type(item) not in kinds], end


def batches(*given: Batch) -> bytes:
    return b"".join(batch.encoded() for batch in given)


@EVERY_CODEC
def test_a_large_batch_of_few_records_hides_none_behind_a_broken_one(codec: int) -> None:
    large = b"[" * 700_000
    records = [
        Record(value=large),
        Record(value=b"v", headers=[(b"\xff\xfe", b"x")]),
        Record(value=large),
        Record(headers=[(b"n", b"v")] * 1001),
        Record(key=b"k", value=b"last"),
    ]
    items, due = read(batches(Batch(records, codec)))
    assert [item.offset for item in items] == [0, 1, 2, 3, 4]
    assert not any(isinstance(item, UnreadableBatch) for item in items)
    assert (items[-1].value, due) == (b"last", 5)


def told(items: Sequence[Any]) -> list[tuple[type, int]]:
    return [(type(item), item.offset) for item in items]


@EVERY_CODEC
def test_every_codec_is_read(codec: int) -> None:
    records = [Record(key=f"k{n}".encode(), value=b"v" * 1000) for n in range(300)]
    items, due = read(batches(Batch(records, codec, base_offset=7)), 7)
    assert [item.offset for item in items] == list(range(7, 307))
    assert {type(item) for item in items} == {ConsumedRecord}
    assert [item.key for item in items] == [record.key for record in records]
    assert {(item.value, item.timestamp) for item in items} == {(b"v" * 1000, NOW_MS)}
    assert due == 307


@EVERY_CODEC
@pytest.mark.parametrize("timestamp", [-1, 0, 4_070_908_800_000])
def test_odd_keys_values_headers_and_times_are_read(codec: int, timestamp: int) -> None:
    odd = [(b"\xff\xfe", b"\xff"), (b"", None), (b"n", b""), (b"n", b"twice")]
    record = Record(key=None, value=None, headers=odd, timestamp_ms=timestamp)
    (item,), due = read(batches(Batch([record], codec)))
    assert (item.key, item.value, item.timestamp, due) == (None, None, timestamp, 1)
    assert item.headers == (("\\xff\\xfe", b"\xff"), ("", None), ("n", b""), ("n", b"twice"))
    (item,), _ = read(batches(Batch([Record(key_length=-5, key=b"", value_length=-5, value=b"")])))
    assert (item.key, item.value) == (None, None)


@EVERY_CODEC
def test_an_odd_header_name_hides_no_neighbour(codec: int) -> None:
    odd = Record(headers=[(b"\xff", b"x")])
    items, due = read(batches(Batch([Record(), odd, Record()], codec, attributes=DELETE_HORIZON)))
    assert told(items) == [(ConsumedRecord, 0), (ConsumedRecord, 1), (ConsumedRecord, 2)]
    assert due == 3


def test_log_append_time_is_the_batchs_greatest() -> None:
    batch = Batch(
        [Record(headers=[(b"\xff", b"")])], attributes=LOG_APPEND_TIME, max_timestamp_ms=5
    )
    (item,), _ = read(batches(batch))
    assert (item.timestamp, item.timestamp_type) == (5, 1)


def test_markers_and_compacted_records_are_gaps() -> None:
    marker = Batch(attributes=TRANSACTIONAL | CONTROL, base_offset=2, producer_id=9)
    sparse = Batch(
        [Record(offset_delta=2), Record(offset_delta=4)], base_offset=5, last_offset_delta=6
    )
    empty = Batch([], base_offset=14, last_offset_delta=1)
    raw = batches(
        Batch([Record(), Record()], attributes=TRANSACTIONAL, producer_id=9), marker, sparse, empty
    )
    items, due = read(raw)
    assert told(items) == [
        (ConsumedRecord, 0), (ConsumedRecord, 1), (EmptyOffsets, 2), (EmptyOffsets, 6), (ConsumedRecord, 7),
        (EmptyOffsets, 8),
        (ConsumedRecord, 9), (EmptyOffsets, 11), (EmptyOffsets, 15),
    ]  # fmt: skip
    assert [item.first for item in items if isinstance(item, EmptyOffsets)] == [2, 3, 8, 10, 12]
    assert due == 16


def test_a_fetch_in_the_middle_of_a_batch_begins_there() -> None:
    items, due = read(batches(Batch([Record()] * 5, GZIP, base_offset=10)), 13)
    assert told(items) == [(ConsumedRecord, 13), (ConsumedRecord, 14)]
    assert due == 15


@pytest.mark.parametrize(
    "deltas", [[5], [-1], [2**31 - 1], [0, 0, 2], [1, 0, 2], [0, 9, 2], [0, -(2**31), 2]], ids=str
)
def test_a_record_that_lies_about_its_offset_moves_nothing(deltas: list[int]) -> None:
    lying = Batch(
        [Record(offset_delta=delta, value=b"%d" % n) for n, delta in enumerate(deltas)],
        base_offset=7,
    )
    after = Batch([Record()], base_offset=7 + len(deltas))
    items, due = read(batches(lying, after), 7)
    assert [item.offset for item in items] == list(range(7, due))
    assert due == 8 + len(deltas)
    for number, delta in enumerate(deltas):
        assert type(items[number]) is (ConsumedRecord if delta == number else UnreadableRecord)
        assert items[number].value == b"%d" % number
    assert type(items[-1]) is ConsumedRecord


@EVERY_CODEC
@pytest.mark.parametrize("length", [-1, 0, 2, 30])
def test_a_record_that_lies_about_its_length_is_unreadable_alone(codec: int, length: int) -> None:
    items, due = read(batches(Batch([Record(), Record(length=length), Record()], codec)))
    assert told(items) == [(ConsumedRecord, 0), (UnreadableRecord, 1), (ConsumedRecord, 2)]
    assert str(length) in items[1].error
    assert due == 3


@pytest.mark.parametrize(
    "broken",
    [
        Record(header_count=-1), Record(header_count=1000), Record(headers=[(None, b"")]),
        Record(key_length=1 << 20), Record(value_length=1 << 20),
        Record(headers=[(b"n", b"v")], name_length=1 << 20),
    ],
    ids=str,
)  # fmt: skip
def test_a_record_with_a_broken_inside_is_unreadable_alone(broken: Record) -> None:
    items, due = read(batches(Batch([Record(), broken, Record()]), Batch(base_offset=3)))
    assert told(items) == [
        (ConsumedRecord, 0),
        (UnreadableRecord, 1),
        (ConsumedRecord, 2),
        (ConsumedRecord, 3),
    ]
    assert items[1].error
    assert due == 4


@pytest.mark.parametrize(
    ("codec", "fields"),
    [
        (GZIP, {"tail": b"garbage"}),
        (LZ4, {"tail": b"garbage"}),
        (SNAPPY, {"compress": snappy_bare}),
    ],
    ids=str,
)
def test_frames_that_brokers_take_are_read(codec: int, fields: dict[str, Any]) -> None:
    items, _ = read(batches(Batch([Record(), Record()], codec, **fields)))
    assert told(items) == [(ConsumedRecord, 0), (ConsumedRecord, 1)]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, ZSTD])
def test_two_frames_one_after_the_other_are_read(codec: int) -> None:
    def halves(data: bytes) -> bytes:
        return COMPRESS[codec](data[:20]) + COMPRESS[codec](data[20:])

    items, _ = read(batches(Batch([Record(), Record()], codec, compress=halves)))
    assert told(items) == [(ConsumedRecord, 0), (ConsumedRecord, 1)]


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_a_batch_that_swells_is_not_expanded_whole(codec: int) -> None:
    items, due = read(batches(Batch(), swelling(MAX_DECOMPRESSED_BYTES * 4, codec, base_offset=1)))
    assert told(items) == [(ConsumedRecord, 0), (UnreadableBatch, 1)]
    assert "expands" in items[1].error or "buffer" in items[1].error
    assert (due, items[1].next_offset) == (1, 2)
    items, due = read(swelling(MAX_DECOMPRESSED_BYTES // 2, codec).encoded())
    assert told(items) == [(ConsumedRecord, 0)]


def test_what_a_fetch_expands_to_is_bounded_and_the_rest_comes_with_the_next() -> None:
    raw = batches(*(swelling(MAX_DECOMPRESSED_BYTES // 2, base_offset=n) for n in range(5)))
    items, due = read(raw)
    assert told(items) == [(ConsumedRecord, 0)]
    assert read(raw, due)[1] > due


WHOLE = batches(Batch([Record(), Record()]))
BROKEN_AT_2 = {
    "a wrong checksum": Batch(base_offset=2, crc=1).encoded(),
    "an unknown codec": Batch(base_offset=2, codec=5, compress=bytes).encoded(),
    "an unknown codec 7": Batch(base_offset=2, codec=7, compress=bytes).encoded(),
    "garbage for gzip": Batch(base_offset=2, codec=GZIP, compress=lambda _: b"xx").encoded(),
    "garbage for snappy": Batch(base_offset=2, codec=SNAPPY, compress=lambda _: b"xx").encoded(),
    "garbage for lz4": Batch(base_offset=2, codec=LZ4, compress=lambda _: b"xx").encoded(),
    "garbage for zstd": Batch(base_offset=2, codec=ZSTD, compress=lambda _: b"xx").encoded(),
    "an empty frame": Batch(base_offset=2, codec=ZSTD, compress=lambda _: b"").encoded(),
    "a negative last offset": Batch(base_offset=2, last_offset_delta=-5).encoded(),
    "a record whose end nobody knows": Batch([Record(length=-1, key_length=99)], base_offset=2).encoded(),
    "a length of nothing": struct.pack(">qi", 2, 3) + b"abc",
    "a negative length": struct.pack(">qi", 2, -3) + b"abc",
    "a header cut off": struct.pack(">qi", 2, 20) + Batch().encoded()[12:32],
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN_AT_2.values(), ids=BROKEN_AT_2)
def test_a_broken_batch_stops_reading_at_itself_and_loses_nothing_before_it(broken: bytes) -> None:
    items, due = read(WHOLE + broken + batches(Batch(base_offset=3)))
    assert told(items) == [(ConsumedRecord, 0), (ConsumedRecord, 1), (UnreadableBatch, 2)]
    assert due == 2
    assert items[2].next_offset >= 3
    assert items[2].error


def test_a_batch_that_says_that_it_has_more_records_than_offsets_hides_nothing() -> None:
    raw = batches(Batch(count=5), Batch(base_offset=1))
    assert told(read(raw)[0]) == [(ConsumedRecord, 0), (ConsumedRecord, 1)]


def test_a_damaged_header_does_not_say_where_to_go_on() -> None:
    damaged = Batch(base_offset=2, crc=1, last_offset_delta=900)
    items, _ = read(WHOLE + batches(damaged, Batch(base_offset=3)))
    assert items[-1].next_offset == 3
    items, _ = read(WHOLE + damaged.encoded())
    assert items[-1].next_offset == 3
    # Nor that all of it was read.
    short = Batch([Record()] * 5, base_offset=10, crc=1, last_offset_delta=0)
    assert told(read(batches(short, Batch(base_offset=15)), 12)[0]) == [(UnreadableBatch, 12)]


def test_what_is_dear_to_decode_is_refused_before_it_is_decoded() -> None:
    headers = [(b"", None)] * 600_000
    many = Batch([Record(headers=headers)], ZSTD, base_offset=1)
    items, _ = read(batches(Batch(), many))
    assert told(items) == [(ConsumedRecord, 0), (UnreadableBatch, 1)]
    assert "headers" in items[1].error
    few = Batch([Record(headers=headers[: MAX_HEADERS + 1]), Record()])
    assert told(read(few.encoded())[0]) == [(UnreadableRecord, 0), (ConsumedRecord, 1)]
    dense = Batch([Record(key=None, value=None)] * (MAX_RECORDS_IN_LARGE_BATCH + 60_000), ZSTD)
    assert told(read(dense.encoded())[0]) == [(UnreadableBatch, 0)]
    broken_last = Batch([Record(value=bytes(100))] * 12_000 + [Record(header_count=-1)], LZ4)
    items, due = read(broken_last.encoded())
    assert (type(items[-1]), due) == (UnreadableBatch, 12_000)


def test_empty_members_of_gzip_are_bounded() -> None:
    empty = COMPRESS[GZIP](b"") * 1000
    items, _ = read(Batch(codec=GZIP, compress=lambda data: empty + COMPRESS[GZIP](data)).encoded())
    assert told(items) == [(UnreadableBatch, 0)]


@pytest.mark.parametrize("body", [b"", b"\x80"])
def test_no_number_is_read_past_the_end(body: bytes) -> None:
    with pytest.raises(IndexError):
        decode_varint(bytearray(body), 0)


def test_a_first_batch_that_is_cut_off_is_told_and_a_later_one_is_left_for_the_next_fetch() -> None:
    assert told(read(WHOLE[:-3])[0]) == [(UnreadableBatch, 0)]
    assert told(read(b"abc")[0]) == [(UnreadableBatch, 0)]
    assert told(read(WHOLE + WHOLE[:-3])[0]) == [(ConsumedRecord, 0), (ConsumedRecord, 1)]


def test_older_message_formats_are_read() -> None:
    items, _ = read(message(b"k", b"v", magic=1) + message(b"k", b"w", magic=0, offset=1))
    assert [(item.offset, item.value) for item in items] == [(0, b"v"), (1, b"w")]
    assert items[1].timestamp == -1


ANY_RECORD = st.builds(
    Record,
    key=st.none() | st.binary(max_size=9),
    value=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(st.binary(max_size=4), st.none() | st.binary(max_size=4)), max_size=3),
    timestamp_ms=st.integers(-2, 2**41),
    length=st.none() | st.integers(-3, 60),
    offset_delta=st.none() | st.integers(-3, 9),
    header_count=st.none() | st.integers(-2, 5),
)  # fmt: skip


@given(
    st.lists(ANY_RECORD, min_size=1, max_size=4),
    st.sampled_from(list(CODECS.values())),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
    st.booleans(),
)
@example([Record()], 0, [(10, 255)], True)  # noqa: FBT003 -- as hypothesis gives it
@settings(max_examples=300, deadline=None)
def test_whatever_the_bytes_are_offsets_come_in_order_and_nothing_raises(
    records: list[Record], codec: int, changes: list[tuple[int, int]], is_checked: bool
) -> None:
    raw = bytearray(Batch(records, codec).encoded())
    for at, byte in changes:
        raw[at % len(raw)] = byte
    whole = with_crc(bytes(raw)) if is_checked else bytes(raw)
    items, due = read(whole)
    expected = 0
    for item in items:
        assert (item.first if isinstance(item, EmptyOffsets) else item.offset) == expected
        expected = item.offset if isinstance(item, UnreadableBatch) else item.offset + 1
        assert not isinstance(item, UnreadableBatch) or (
            item is items[-1] and item.next_offset > item.offset
        )
    assert due == expected
