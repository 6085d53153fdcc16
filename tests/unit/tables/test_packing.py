"""Ended records are packed, and read again with the dictionary that they were packed with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.changelog import is_engine_record
from tables.packing import PACKED, pack, unpack
from tables.record import TERMINAL

FIRST, SECOND = b'{"terminal":true,"state":{"a":"first"}}', b'{"terminal":true,"state":{"b":1}}'


@given(st.binary(max_size=2_000))
def test_a_packed_record_is_read_as_it_was(record: bytes) -> None:
    for dictionaries in ((), (FIRST,), (FIRST, SECOND)):
        packed = pack(record, dictionaries)
        assert packed.startswith(TERMINAL), "indexes pass it over by its first bytes"
        assert is_engine_record(b"key", packed)
        assert unpack(packed, dictionaries) == record
        assert unpack(packed, (*dictionaries, b"a later one")) == record


def test_a_record_that_is_not_packed_is_given_back() -> None:
    assert unpack(FIRST, (SECOND,)) == FIRST


@pytest.mark.parametrize(
    "broken",
    [
        pack(FIRST, (FIRST, SECOND)),
        pack(FIRST, ())[:-1],
        PACKED + b"0}" + FIRST,
        PACKED + b"x}",
        PACKED,
        PACKED + b"-1}",
    ],
)
def test_what_cannot_be_unpacked_is_named(broken: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- of several kinds
        unpack(broken, (FIRST,))


def test_a_record_that_unpacks_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end"):
        unpack(pack(bytes(100_000_000), ()), ())
