"""Messages: what is written at a default, what reading says of a fault, and the form that tables hold."""

import typing
from typing import Annotated, Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.commands import COMMANDS, Address, PlaceOrder, WebhookReceived
from models.events import EVENTS
from models.fields import Currency, Id, Timestamp
from models.messages import (
    Message,
    as_stored,
    checked,
    convert,
    decode,
    describe,
    encode,
    full_values,
    stored_form,
    written,
)
from tests.support.message_strategies import field_values

KINDS: list[type[Message]] = sorted(
    {WebhookReceived, *(s.data for s in EVENTS.values()), *(s.data for s in COMMANDS.values())},
    key=lambda kind: kind.__name__,
)


class Part(Message):
    name: str
    note: str | None = written(None)
    added_later: str | None = None


class Whole(Message):
    currency: Currency
    started_at: Timestamp | None = written(None)
    parts: tuple[Part, ...] = ()
    by_id: dict[str, Part] = msgspec.field(default_factory=dict)
    id: Id = written("x")


def test_a_default_is_written_where_it_is_said_so_and_else_left_out() -> None:
    assert encode(Part(name="a")) == b'{"name":"a","note":null}'
    assert encode(Part(name="a", added_later="b")) == b'{"name":"a","note":null,"addedLater":"b"}'
    assert decode(Part, b'{"name":"a"}') == Part(name="a")


def test_a_stored_form_leaves_out_every_default_and_keeps_the_order_of_fields() -> None:
    stored = as_stored(Part(name="a"))
    assert encode(stored) == b'{"name":"a"}'
    assert isinstance(stored, Part)
    assert encode(as_stored(Part(name="a", note="n", added_later="l"))) == (
        b'{"name":"a","note":"n","addedLater":"l"}'
    )
    assert stored_form(stored_form(Part)) is stored_form(Part)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_message_is_read_again_as_it_was_written(
    kind: type[Message], data: st.DataObject
) -> None:
    names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    drawn = {wire: data.draw(st.sampled_from(field_values(kind, name))) for name, wire in names}
    try:
        message = convert(kind, drawn)
    except ValueError:  # two things told at once
        assert kind is WebhookReceived
        return
    raw = encode(message)
    assert decode(kind, raw) == message == checked(message)
    assert encode(decode(kind, raw)) == raw
    stored = as_stored(message)
    assert decode(kind, encode(stored)) == message
    assert convert(kind, orjson.loads(encode(stored))) == message
    assert convert(kind, full_values(message)) == message


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "record: input data was truncated"),
        (b"\xff", "record: JSON is malformed: invalid character (byte 0)"),
        (b'{"currency":"EU\xff"}', "record: not UTF-8"),
        (b"[" * 100_000, "record: expected object, got array"),
        (b"{}", "currency: field required"),
        (b'{"currency":"EUR","secret":1}', "secret: unknown field"),
        (b'{"currency":"EUR","parts":[{"name":"a","x":1}]}', "parts[0].x: unknown field"),
        (b'{"currency":"EUR","parts":[{"name":7}]}', "parts[0].name: expected str, got int"),
        (b'{"currency":"XQZ"}', "currency: no currency of ISO 4217"),
        (b'{"currency":"EUR\\n"}', "currency: expected str matching regex '^[A-Z]{3}$(?!\\\\n)'"),
        (b'{"currency":"EUR","startedAt":"2026-02-30T00:00:00Z"}', "startedAt: no time such as"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(raw: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        decode(Whole, raw)
    assert describe(caught.value).startswith(said)


def test_what_is_wrong_is_said_without_the_value() -> None:
    refund = COMMANDS[typing.cast("Any", "NOTIFICATION_RESULT")].data
    raw = b'{"notificationId":"n","attempt":1,"result":"asha@example.com - at `x`"}'
    with pytest.raises(ValueError, match="enum") as caught:
        decode(refund, raw)
    assert "asha" not in describe(caught.value)
    assert describe(caught.value).startswith("result: invalid value")


def test_bounds_hold_for_what_is_made_of_foreign_values() -> None:
    address = Address(line1="a\nb", city="c", postal_code="d")
    with pytest.raises(ValueError, match="line1"):
        checked(address)
    with pytest.raises(ValueError, match="currency"):
        Whole(currency="eur")


def test_no_class_has_two_checks_of_its_fields() -> None:
    """A check written by hand would replace those of currencies and times without a word."""
    with pytest.raises(AssertionError):

        class Twice(Message):
            at: Annotated[Timestamp | None, "x"] = None

            def __post_init__(self) -> None: ...


def test_messages_are_immutable_and_take_names_alone() -> None:
    part = Part(name="a")
    with pytest.raises(AttributeError):
        part.name = "b"
    with pytest.raises(TypeError):
        Part("a")
    assert PlaceOrder.__struct_config__.frozen
