"""What is shown of a dead letter's record: no names, secrets or card numbers."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.http.redaction import redacted_header, shown


def test_what_a_customer_entered_is_hidden_in_a_command() -> None:
    command = (
        b'{"commandType":"PLACE_ORDER","data":{"contact":{"name":"A"},"address":{},"amount":1,'
        b'"notes":"for Asha","allergies":"peanuts"}}'
    )
    hidden = {
        "commandType": "PLACE_ORDER",
        "data": {
            "contact": "***", "address": "***", "amount": 1, "notes": "***", "allergies": "***"
        },
    }  # fmt: skip
    assert shown(command, hides_people=True) == ("json", hidden, True)
    cancel = b'{"data":{"reason":"x"}}'
    assert shown(cancel, hides_people=True) == ("json", {"data": {"reason": "x"}}, False)
    assert shown(None, hides_people=True) == ("none", None, False)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"no JSON at all", "no JSON at all"),
        (b'{"contact":{"name":"Asha Rao","city":"Pune"', '{"contact":{"name":"***","city":"***"'),
        (b'{"contact":{"name":"Asha R', '{"contact":{"name":"***"'),
        (b"call +91 98765 43210 or asha@example.com", "call *** or ***"),
        (b"order 12345 failed", "order 12345 failed"),
    ],
)
def test_text_is_shown_as_text_without_people(value: bytes, said: str) -> None:
    assert shown(value, hides_people=True)[:2] == ("text", said)
    assert shown(value, hides_people=False)[:2] == ("text", value.decode())


def test_other_json_keeps_its_shape_and_no_name() -> None:
    foreign = b'{"orderId":"order_1","customer":"Asha","n":7,"list":["Rao",{"a":null}]}'
    hidden = {"orderId": "order_1", "customer": "***", "n": 7, "list": ["***", {"a": None}]}
    assert shown(foreign, hides_people=True) == ("json", hidden, True)
    assert shown(b'["Asha"]', hides_people=True) == ("json", ["***"], True)


def test_binary_is_labelled_and_only_its_first_bytes_are_shown_where_it_may_name_people() -> None:
    assert shown(b"\xff\xfe", hides_people=False) == ("base64", "//4=", False)
    assert shown(b"\x00abc", hides_people=False) == ("base64", "AGFiYw==", False)
    packed = b"\x1f\x8b\x08" + b"Asha Rao, Pune"
    assert shown(packed, hides_people=True) == ("hex", "1f 8b 08 41 73 68 61 20 ***", True)


@pytest.mark.parametrize(
    "secret",
    ["sk_live_abcDEF123", "whsec_abc123", "pi_1_secret_xyz", "4242 4242 4242 4242", "5555555555554444",
     "Bearer abc.def", "eyJhbGciOi.eyJzdWIi.c2ln"],
)  # fmt: skip
def test_no_secret_and_no_card_number_is_ever_shown(secret: str) -> None:
    word = secret.removeprefix("Bearer ")
    for value in (f"x {secret} y", orjson.dumps({"a": {"b": [secret]}}).decode()):
        found = shown(value.encode(), hides_people=False)
        assert word not in str(found.value)
        assert found.is_masked
    assert word not in redacted_header("x-any", secret.encode())
    assert redacted_header("authorization", b"abc") == "***"
    assert redacted_header("x", b"\xff") == "base64:/w=="


def test_numbers_that_are_no_cards_stay() -> None:
    value = {"at": 1_795_417_200_000, "due": 1_795_417_260_001, "amount": 2500}
    assert shown(orjson.dumps(value), hides_people=False) == ("json", value, False)
    assert shown(b'{"a":4242424242424242}', hides_people=False) == ("json", {"a": "***"}, True)


@pytest.mark.parametrize("deep", [b'{"a":' * 900 + b"1" + b"}" * 900, b"[" * 1000 + b"]" * 1000])
def test_json_nested_deep_is_shown_as_text(deep: bytes) -> None:
    for hides in (True, False):
        found = shown(deep, hides_people=hides)
        assert found[:2] == ("text", deep.decode())


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_can_be_shown(value: bytes) -> None:
    for hides in (True, False):
        orjson.dumps(tuple(shown(value, hides_people=hides)))


@pytest.mark.parametrize(
    "part", [b"a", b"1", b'"', b",", b": ", b'\\"', b"a@", b"4 ", b"eyJ.", b"[", b"\xc3\xa9"]
)
def test_a_large_value_costs_little(part: bytes) -> None:
    value = part * (1_000_000 // len(part))
    began_s = time.process_time()
    for hides in (True, False):
        assert len(str(shown(value, hides_people=hides).value)) < 200_000
    assert time.process_time() - began_s < 5
