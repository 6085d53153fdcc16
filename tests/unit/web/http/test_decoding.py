"""What clients send is decoded within bounds; a limit is checked before the work that it bounds."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.http import decoding
from web.http.card_numbers import has_card_number
from web.http.decoding import DecodingError
from web.pages.formats import minor_units

if TYPE_CHECKING:
    from collections.abc import Callable

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=values)
def test_json_within_the_limits_is_read_as_it_is(value: Any) -> None:
    raw = orjson.dumps(value)
    assert decoding.json_value(raw) == value
    assert decoding.plain_json(raw) == value


@given(raw=st.binary(max_size=200) | st.text('[]{}":,.-+eE0123456789truefalsn \\u', max_size=60))
def test_whatever_is_sent_is_read_or_refused(raw: bytes | str) -> None:
    sent = raw.encode() if isinstance(raw, str) else raw
    for decode in (decoding.json_value, decoding.plain_json, decoding.form_fields):
        refused_or_read(decode, sent)
    text = sent.decode(errors="surrogateescape")
    for read in (decoding.base64_json, decoding.check_token, decoding.moment, decoding.host_name):
        refused_or_read(read, text)
    refused_or_read(lambda t: decoding.whole_number(t, 0, 9), text)
    refused_or_read(lambda t: minor_units(t, "INR", "en_IN"), text)
    refused_or_read(lambda t: decoding.check_signature_header(t, now_s=0, tolerance_s=300), text)


def refused_or_read(decode: Callable[[Any], Any], sent: Any) -> None:
    with suppress(DecodingError):
        decode(sent)


@pytest.mark.parametrize("exponent", ["1e-5000000", "1e5000000", "-4242424242424242e-60000000"])
def test_number_is_never_written_out_beyond_its_bound(exponent: str) -> None:
    assert len(decoding.decimal_text(Decimal(exponent))) < 40
    assert not has_card_number({"a": Decimal("1e-5000000")})
    with pytest.raises(DecodingError):
        decoding.json_value(exponent.encode())


def test_card_number_in_any_number_is_found() -> None:
    for raw in (
        b"4242424242424242",
        b"4.242424242424242e15",
        b"42424242424242420e-1",
        b"4242424242424242.5",
    ):
        assert has_card_number(decoding.json_value(raw)), raw


def nested(depth: int, opened: bytes = b"[", closed: bytes = b"]") -> bytes:
    return opened * depth + closed * depth


def test_depth_and_number_of_values() -> None:
    assert decoding.json_value(nested(decoding.MAX_DEPTH))
    for raw in (
        nested(decoding.MAX_DEPTH + 1), nested(100_000), b"[" + b"0," * decoding.MAX_JSON_VALUES + b"0]"
    ):  # fmt: skip
        with pytest.raises(DecodingError):
            decoding.json_value(raw)
    assert len(decoding.json_value(b"[" + b"0," * (decoding.MAX_JSON_VALUES - 2) + b"0]")) > 3000


def test_whole_numbers() -> None:
    assert decoding.whole_number("0007", 1, 10) == 7
    for text in ("", " 1", "+1", "-1", "1.0", "1_0", "٣", "11", "0", "0" * 5000 + "1", "9" * 5000):
        with pytest.raises(DecodingError):
            decoding.whole_number(text, 1, 10)


def test_signature_header() -> None:
    def check(header: str, tolerance_s: float = 300) -> None:
        decoding.check_signature_header(header, now_s=1000, tolerance_s=tolerance_s)

    good = "a" * 64
    for header in (f"t=700,v1={good}", f"t=1000,v1={good},v1={good},v0=x", f"t=5000,v1={good}"):
        check(header)
    check(f"t=1,v1={good}", tolerance_s=0)
    with pytest.raises(DecodingError, match="300 s old"):
        check(f"t=699,v1={good}")
