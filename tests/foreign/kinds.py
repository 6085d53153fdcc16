"""The kinds of records and batches that producers that are not ours send, as tables.

Nothing in them can be acted on by any service. `ODD`, `ODD_BATCHES` and `LARGE`: Kafka takes them, and each
record must be named by a dead letter. `STOPPING`: Kafka takes them, and nobody can be asked to read them.
`REFUSED`: Kafka itself turns them away, so they only reach a reader from a damaged log.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from typing import NamedTuple

from tests.foreign.record_batches import (
    CODECS,
    CONTROL,
    DELETE_HORIZON,
    GZIP,
    LOG_APPEND_TIME,
    LZ4,
    NOW_MS,
    SNAPPY,
    TRANSACTIONAL,
    YEAR_2099_MS,
    ZSTD,
    Batch,
    Record,
    message,
    snappy_bare,
    swelling,
)

PUT_BY_TEST = (b"put-by-test", b"1")
"""Header of records that the platform's own checks leave out."""
MB = 1024 * 1024
JUNK = b"\x00\x01 no JSON \xff"
CONTROL_CHARACTERS = bytes(range(1, 32)) * 29_000
"""900,000 bytes, each of which JSON writes as six."""


def _odd(**fields: object) -> Record:
    given = {"key": b"foreign", "value": JUNK, **fields}
    headers = given.pop("headers", ())
    return Record(**given, headers=(PUT_BY_TEST, *headers))


ODD: dict[str, Record] = {
    "null value": _odd(value=None),
    "empty value": _odd(value=b""),
    "null key": _odd(key=None),
    "empty key": _odd(key=b""),
    "null key and value": _odd(key=None, value=None),
    "key no text": _odd(key=b"\xff\xfe"),
    "key of NULs": _odd(key=b"\0\0"),
    "key of the engine": _odd(key=b"\0claim"),
    "key of Faust": _odd(key=b"__faust\0offset__"),
    "key with a slash": _odd(key=b"foreign/0001"),
    "key of 100 KB": _odd(key=b"k" * 100_000),
    "value no text": _odd(value=b"\xff\xfe\0"),
    "value a number": _odd(value=b"1e999999"),
    "value a long number": _odd(value=b"9" * 5_000),
    "value of the engine": _odd(value=b'{"version":1}'),
    "value nested 900 deep": _odd(value=b"[" * 900 + b"]" * 900),
    "value nested 100,000 deep": _odd(value=b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "value with lone surrogates": _odd(value=b'{"\\ud800": "\\udfff"}'),
    "name no text": _odd(headers=[(b"\xff\xfe", b"x")]),
    "name empty": _odd(headers=[(b"", b"x")]),
    "name of NUL": _odd(headers=[(b"\0", b"x")]),
    "header null": _odd(headers=[(b"traceparent", None), (b"ce_id", None)]),
    "header no text": _odd(headers=[(b"traceparent", b"\xff\xfe"), (b"ce_id", b"\xff")]),
    "header twice": _odd(headers=[(b"ce_id", b"1"), (b"ce_id", b"2")]),
    "a thousand headers": _odd(headers=[(b"n%d" % n, b"v") for n in range(1_000)]),
    "headers of a dead letter": _odd(
        headers=[
            (b"kafka_dlt-original-topic", b"\xff"),
            (b"kafka_dlt-original-offset", b"-5"),
            (b"tiffin-service", b"payments"),
            (b"tiffin-quarantine", None),
            (b"tiffin-value-omitted", b"x"),
        ]
    ),
    "timestamp -1": _odd(timestamp_ms=-1),
    "timestamp -2": _odd(timestamp_ms=-2),
    "timestamp 1970": _odd(timestamp_ms=0),
    "timestamp 2099": _odd(timestamp_ms=YEAR_2099_MS),
    "timestamp of the largest": _odd(timestamp_ms=2**63 - 1),
    "timestamp of the year 10000": _odd(timestamp_ms=253_402_300_800_000),
    "attributes": _odd(attributes=0x7F),
    "lengths below -1": _odd(key=b"", key_length=-5, value=b"", value_length=-7),
}
"""One record each; they may be packed together in any order and with any codec."""

MARKED: dict[str, Record] = {
    "marked as redriven": _odd(headers=[(b"tiffin-redrive", b"payments")]),
    "marked as redriven for none": _odd(headers=[(b"tiffin-redrive", b"\xff")]),
    "marked as a release": _odd(value=None, headers=[(b"tiffin-release", b"x")]),
    "marked as a dead letter": _odd(headers=[(b"tiffin-dead-letter", None)]),
}
"""With the headers by which operators' tools mark what they send: a dead letter of at least one reader, or
skipped and counted."""


def _lies(*records: Record) -> list[Record]:
    return [replace(record, headers=[PUT_BY_TEST]) for record in records]


ODD_BATCHES: dict[str, Batch] = {
    "an offset beyond the batch": Batch(_lies(Record(value=JUNK, offset_delta=5))),
    "an offset before the batch": Batch(_lies(Record(value=JUNK, offset_delta=-1))),
    "an offset twice": Batch(_lies(*[Record(value=JUNK, offset_delta=0)] * 2)),
    "offsets that fall": Batch(
        _lies(Record(value=JUNK, offset_delta=1), Record(value=JUNK, offset_delta=0))
    ),
    "greatest time wrong": Batch(_lies(Record(value=JUNK)), max_timestamp_ms=5),
    "first time wrong": Batch(_lies(Record(value=JUNK)), first_timestamp_ms=5),
    "a producer that nobody knows": Batch(
        _lies(Record(value=JUNK)), producer_id=987_654, producer_epoch=0, base_sequence=7
    ),
    "an epoch of the future": Batch(_lies(Record(value=JUNK)), leader_epoch=77),
    "log append time": Batch(_lies(Record(value=JUNK)), attributes=LOG_APPEND_TIME),
    "a delete horizon": Batch(_lies(Record(value=JUNK)), attributes=DELETE_HORIZON),
    "an attribute of tomorrow": Batch(_lies(Record(value=JUNK)), attributes=0x80),
    "all attributes of tomorrow": Batch(_lies(Record(value=JUNK)), GZIP, attributes=-0x80),
    "snappy without a frame": Batch(_lies(Record(value=JUNK)), SNAPPY, compress=snappy_bare),
    "garbage behind gzip": Batch(_lies(Record(value=JUNK)), GZIP, tail=b"garbage"),
    "garbage behind lz4": Batch(_lies(Record(value=JUNK)), LZ4, tail=b"garbage"),
    "two members of gzip": Batch(
        _lies(*[Record(value=JUNK)] * 2),
        GZIP,
        compress=lambda data: gzip.compress(data[:30]) + gzip.compress(data[30:]),
    ),
    **{
        f"a length of {length}, {name}": Batch(
            _lies(Record(value=JUNK), Record(value=JUNK, length=length)), codec
        )
        for name, codec in CODECS.items()
        if codec
        for length in (-1, 0, 2, 60)
    },
}

LARGE: dict[str, Batch] = {
    "value of 1 MB": Batch([_odd(value=b"v" * MB)]),
    "value of 7 MB": Batch([_odd(value=b"v" * 7 * MB)], ZSTD, compress=None),
    "key of 5 MB": Batch([_odd(key=b"k" * 5 * MB)], GZIP),
    "header of 5 MB": Batch([_odd(headers=[(b"large", b"h" * 5 * MB)])], GZIP),
    "name of a header of 5 MB": Batch([_odd(headers=[(b"n" * 5 * MB, b"")])], GZIP),
    "control characters in a header": Batch([_odd(headers=[(b"swells", CONTROL_CHARACTERS)])], GZIP),
    "all that it can be": Batch(
        [_odd(value=b"v" * 2 * MB, key=b"k" * MB, headers=[(b"h", CONTROL_CHARACTERS)] * 4)], GZIP
    ),
    "200,000 headers": Batch([_odd(headers=[(b"", b"")] * 200_000)], GZIP),
}  # fmt: skip
"""Whose dead letters would be larger than Kafka or the engine takes."""

STOPPING: dict[str, Batch] = {
    "zstd that expands to 1 GB": swelling(1024 * MB, ZSTD),
    "gzip that expands to 256 MB": swelling(256 * MB, GZIP),
}


class Refusal(NamedTuple):
    """A batch and librdkafka's name of the error that Kafka answers with."""

    raw: bytes
    error: str


def _refused(error: str, batch: Batch) -> Refusal:
    return Refusal(batch.encoded(), error)


_INVALID, _CORRUPT, _UNKNOWN = "INVALID_RECORD", "INVALID_MSG", "UNKNOWN"
"""The last one where the broker had an exception that it did not foresee."""
REFUSED: dict[str, Refusal] = {
    "headers of a negative count": _refused(_INVALID, Batch([Record(header_count=-1)])),
    "headers of a count too large": _refused(_INVALID, Batch([Record(header_count=5)])),
    "a header without a name": _refused(_INVALID, Batch([Record(headers=[(None, b"")])])),
    "a name longer than its record": _refused(
        _INVALID, Batch([Record(headers=[(b"n", b"v")], name_length=100)])
    ),
    "a key longer than its record": _refused(_INVALID, Batch([Record(key_length=1000)])),
    "a value longer than its record": _refused(_INVALID, Batch([Record(value_length=2**31 - 1)])),
    "a tail inside a record": _refused(_INVALID, Batch([Record(tail=b"tail")])),
    "a record's length wrong": _refused(_INVALID, Batch([Record(length=2)])),
    "a number without an end": _refused(_UNKNOWN, Batch([Record(raw=b"\xff" * 12)])),
    "no records": _refused(_INVALID, Batch([])),
    "a negative count": _refused(_INVALID, Batch(count=-1, last_offset_delta=-2)),
    "a count too large": _refused(_INVALID, Batch(count=5, last_offset_delta=4)),
    "a count too small": _refused(_INVALID, Batch([Record()] * 2, count=1, last_offset_delta=0)),
    "a gap in the offsets": _refused(
        _INVALID, Batch([Record(), Record(offset_delta=5)], last_offset_delta=5)
    ),
    "a tail": _refused(_INVALID, Batch(tail=b"tail")),
    "a control batch": _refused(_INVALID, Batch(attributes=CONTROL)),
    "a base offset": _refused(_INVALID, Batch(base_offset=77)),
    "codec 7": _refused(_UNKNOWN, Batch(codec=7)),
    "transactional without a transaction": _refused(
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Batch(attributes=TRANSACTIONAL, producer_id=1)
    ),
    **{
        f"garbage for {name}": _refused(_UNKNOWN, Batch(codec=codec, compress=lambda _: b"garbage"))
        for name, codec in CODECS.items()
        if codec
    },
    **{
        f"a lying offset in {name}": _refused(_UNKNOWN, Batch([Record(offset_delta=5)], codec))
        for name, codec in CODECS.items()
        if codec
    },
    "a wrong checksum": _refused(_CORRUPT, Batch(crc=1)),
    "a format of tomorrow": _refused(_CORRUPT, Batch(magic=3)),
    "a length too short": _refused(_CORRUPT, Batch(length=20)),
    "a negative length": _refused(_CORRUPT, Batch(length=-1)),
    "a time of 2099": _refused("INVALID_TIMESTAMP", Batch([Record(timestamp_ms=YEAR_2099_MS)])),
    "two batches": Refusal(Batch().encoded() * 2, _INVALID),
    "a message of format 0": Refusal(message(b"k", b"v", magic=0), _INVALID),
    "a message of format 1": Refusal(message(b"k", b"v", magic=1), _INVALID),
}


def random_batch(rnd: random.Random) -> tuple[str, Batch]:
    """An odd batch of one of these kinds, with any codec, and its name."""
    pick = rnd.random()
    if pick < 0.25:
        return rnd.choice(list(ODD_BATCHES.items()))
    if pick < 0.3:
        return rnd.choice(list(LARGE.items()))
    names = rnd.choices(list(ODD), k=rnd.randint(1, 6))
    codec_name, codec = rnd.choice(list(CODECS.items()))
    records = [ODD[name] for name in names]
    if rnd.random() < 0.3:
        records.append(_random_record(rnd))
        names.append("random")
    return f"{', '.join(names)} ({codec_name})", Batch(records, codec)


def _random_record(rnd: random.Random) -> Record:
    """Random bytes everywhere; never JSON, for its value begins with a NUL."""

    def some() -> bytes | None:
        return rnd.choice([None, rnd.randbytes(rnd.randrange(40))])

    headers = [(rnd.randbytes(rnd.randrange(12)), some()) for _ in range(rnd.randrange(8))]
    time = rnd.choice([-1, 0, NOW_MS, rnd.randrange(2**42), YEAR_2099_MS])
    value = rnd.choice([None, b"\0" + rnd.randbytes(rnd.randrange(2_000))])
    return _odd(key=some(), value=value, headers=headers, timestamp_ms=time)
