"""Redacts records of unknown content for operators: text as text, without secrets and, if asked, people.

Secrets and card numbers are never shown. What a customer entered is hidden where a record may hold it:
exactly in a command of ours, by its looks in anything else.
"""

import base64
import codecs
import re
from typing import Any, Final, NamedTuple

import orjson

from models.json_depth import is_shallow
from web.http.card_numbers import has_card_number

MASKED: Final = "***"
PERSONAL: Final = ("contact", "address", "notes", "allergies")
"""Of a command's data."""
ENVELOPE: Final = frozenset(
    {
        "orderId", "commandId", "commandType", "issuedAt", "issuedBy", "bodyHash", "causationId",
        "correlationId", "producer",
    }
)  # fmt: skip
"""Fields of a command whose texts name nobody but by an id."""
MAX_DEPTH: Final = 64
"""JSON nested deeper is shown as the text that it is."""
MAX_SHOWN_BYTES: Final = 65_536
"""Of a longer value only so many are looked at and shown, as text or binary."""
HEAD_BYTES: Final = 8
"""Of a binary value that may name a customer: enough to tell what wrote it."""

_SECRET: Final = re.compile(
    r"\b(?:sk|rk)_(?:live|test)_\w+|\bwhsec_\w+|\b\w+_secret_\w+|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=Bearer )[!-~]+|(?<=Basic )[!-~]+"
)
_SECRET_NAME: Final = re.compile(
    r"secret|token|authorization|password|cookie|api.?key", re.IGNORECASE
)
_DIGITS: Final = re.compile(r"\d(?:[ .-]?\d){12,}")
_EMAIL: Final = re.compile(r"[^\s\"'<>@:,;]{1,64}@[^\s\"'<>@:,;]{1,255}")
_PHONE: Final = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){6,}")
_JSON_TEXT: Final = re.compile(r'(?<=[:\[,])(\s*)"(?:[^"\\]|\\.)*(?:"|$)(?!\s*:)')
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RedactedValue(NamedTuple):
    """A record's value for people.

    format: "json", "text", "base64", "hex" (the first bytes of what is hidden), or "none". is_masked:
    something is hidden.
    """

    format: str
    value: Any
    is_masked: bool = False


def shown(raw: bytes | None, *, hides_people: bool) -> RedactedValue:
    """A record's value as it may be shown; never raises."""
    if raw is None:
        return RedactedValue("none", None)
    is_cut = len(raw) > MAX_SHOWN_BYTES
    raw = raw[:MAX_SHOWN_BYTES]
    value = None if is_cut else _json(raw)
    if value is not None:
        hidden = _without_people(value[0]) if hides_people else value[0]
        hidden = _each(hidden, _without_secrets)
        return RedactedValue("json", hidden, hidden != value[0])
    text = _text(raw, is_cut=is_cut)
    if text is not None:
        hidden = _without_secrets(text)
        if hides_people:
            hidden = _JSON_TEXT.sub(rf'\1"{MASKED}"', hidden)
            hidden = _PHONE.sub(MASKED, _EMAIL.sub(MASKED, hidden))
        return RedactedValue("text", hidden, hidden != text)
    if hides_people and len(raw) > HEAD_BYTES:
        return RedactedValue("hex", f"{raw[:HEAD_BYTES].hex(' ')} {MASKED}", is_masked=True)
    return RedactedValue("base64", base64.b64encode(raw).decode())


def redacted_state(state: Any, *, hides_people: bool) -> RedactedValue:
    """A JSON value that a service stored, as it may be shown: what a customer entered has names there."""
    hidden = _each(_without_entered(state) if hides_people else state, _without_secrets)
    return RedactedValue("json", hidden, hidden != state)


def redacted_header(name: str, value: bytes) -> str:
    """A header's value as it may be shown."""
    if _SECRET_NAME.search(name):
        return MASKED
    text = _text(value)
    return f"base64:{base64.b64encode(value).decode()}" if text is None else _without_secrets(text)


def _json(raw: bytes) -> tuple[Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return (value,) if is_shallow(value, MAX_DEPTH) else None


def _text(raw: bytes, *, is_cut: bool = False) -> str | None:
    """None for what is no text, though it may happen to be UTF-8."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw, final=not is_cut)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _without_secrets(text: str) -> str:
    text = _SECRET.sub(MASKED, text)
    return _DIGITS.sub(lambda run: MASKED if _is_card(run.group()) else run.group(), text)


def _is_card(digits: str) -> bool:
    """A time in milliseconds passes Luhn's check one time in ten; no card of 13 digits begins with 1."""
    is_time = len(digits) == 13 and digits.startswith("1")
    return not is_time and has_card_number(digits)


def _without_people(value: Any) -> Any:
    if not isinstance(value, dict):
        return _each(value, lambda _: MASKED)
    data = value.get("data")
    if isinstance(data, dict):
        hidden = {name: MASKED for name in PERSONAL if name in data}
        return {**value, "data": {**data, **hidden}}
    # Something else than a command of ours: nobody knows where it names people.
    return {
        name: inner if name in ENVELOPE else _each(inner, lambda _: MASKED)
        for name, inner in value.items()
    }


def _without_entered(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: MASKED if name in PERSONAL and inner is not None else _without_entered(inner)
            for name, inner in value.items()
        }
    return [_without_entered(inner) for inner in value] if isinstance(value, list) else value


def _each(value: Any, change: Any) -> Any:
    """All texts of a JSON value changed, and whole numbers that are as long as a telephone's or card's."""
    if isinstance(value, dict):
        return {
            name: MASKED
            if _SECRET_NAME.search(name) and isinstance(inner, str)
            else _each(inner, change)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_each(inner, change) for inner in value]
    if isinstance(value, str):
        return change(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
        return value if len(text) < 13 or change(text) == text else MASKED
    return value
