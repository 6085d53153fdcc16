"""What clients send, decoded within bounds: every limit of size, depth, digits and time stands here.

A decoder refuses before it works: lengths first, then shape, then the value. All raise DecodingError, whose
text says what is accepted and never holds what was sent; who calls turns it into an answer.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from models.json_depth import is_shallow

BODY_TIMEOUT_S: Final = 20.0
"""Nobody holds a request open by sending it byte by byte."""
MAX_WEBHOOK_BYTES: Final = 512 * 1024
"""Stripe's events are larger than what customers send, and signed."""
MAX_SIGNATURE_CHARS: Final = 2000
MAX_SIGNATURES: Final = 20
"""Stripe makes one for each secret of an endpoint."""

MAX_DEPTH: Final = 32
"""Objects and lists within each other."""
MAX_EVENT_DEPTH: Final = 100
"""Of Stripe, which are signed; theirs are less than 20 deep."""
MAX_JSON_VALUES: Final = 4000
"""Objects, lists and values in a body; the largest cart has 200."""
MAX_NUMBER_CHARS: Final = 40
"""Of a number as it is sent. More than an amount, a count, or a card number, which is told apart, has."""
MAX_EXPONENT: Final = 40
"""Of a number, up or down: written out it then has 80 digits at most."""
MAX_DIGITS: Final = 4000
"""In all texts, numbers and names of a body: looking for card numbers among them takes time."""

MAX_FORM_FIELDS: Final = 60
MAX_FORM_FIELD_CHARS: Final = 8192
"""Of a form's field; the longest is a token."""

MAX_TOKEN_CHARS: Final = 8190
"""As long as a header may be."""
MAX_TOKEN_DEPTH: Final = 8
MAX_TOKEN_VALUES: Final = 500
MAX_ORDER_COOKIES_READ: Final = 20
"""Of one request; browsers are given fewer."""

MAX_PACKED_CHARS: Final = 4000
"""Of JSON in base64: consistency tokens, carts, cursors."""
MAX_COUNT_CHARS: Final = 20
"""Of a whole number in a query or a header."""
MAX_TIME_CHARS: Final = 40

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_DIGITS: Final = re.compile(r"\d+")
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_BASE64: Final = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")


class DecodingError(ValueError):
    """What was sent can't be read or is beyond a limit. The text is fit for the one who sent it."""


def is_text(value: str) -> bool:
    """Whether a header or an address is text; aiohttp puts surrogates for bytes that are none."""
    return value.isascii() or _SURROGATE.search(value) is None


def host_name(authority: str) -> str:
    """The name or address in a Host header, without its port."""
    match = _HOST.fullmatch(authority)
    if match is None or int(match[2] or 0) > 65_535:
        raise DecodingError("a host name or an address, and a port")
    return match[1].strip("[]").lower()


def json_value(raw: bytes) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, each name once in an object, within the limits above.

    Numbers with a fraction or an exponent become Decimal.
    """
    _check_count(raw, MAX_JSON_VALUES)
    try:
        # orjson is strict where json is not: encoding, surrogates, NaN. It is in C, reads a number of any
        # length at once, and stops at its own depth.
        check_depth(orjson.loads(raw), MAX_DEPTH)
        return json.loads(
            raw,
            object_pairs_hook=_reject_duplicate_names,
            parse_float=_decimal,
            parse_int=lambda text: int(_short(text)),
        )
    except DecodingError:
        raise
    except (ValueError, RecursionError):
        raise DecodingError("one JSON object in UTF-8 is accepted") from None


def plain_json(
    raw: bytes, *, deepest: int = MAX_DEPTH, most_values: int | None = MAX_JSON_VALUES
) -> Any:
    """Parse JSON of our own or of Stripe: fast, with floats. most_values: None for what is signed."""
    if most_values is not None:
        _check_count(raw, most_values)
    try:
        value = orjson.loads(raw)
    except ValueError:
        raise DecodingError("JSON in UTF-8 is accepted") from None
    check_depth(value, deepest)
    return value


def _check_count(raw: bytes, most_values: int) -> None:
    """Refuse by what stands before each value; in texts it counts too, where it is rare.

    Parsing 20,000 empty lists takes long: so many new objects have the garbage collector look at all.
    """
    if sum(map(raw.count, (b",", b"[", b"{"))) >= most_values:
        raise DecodingError(f"values: at most {most_values} are accepted")


def check_depth(value: Any, deepest: int) -> None:
    """Refuse JSON values that are nested too deep. Raises DecodingError."""
    if not is_shallow(value, deepest - 1):
        raise DecodingError(f"nested at most {deepest} deep is accepted")


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a JSON value: strings, names of fields, and numbers as they are written out."""
    # A stack of its own: the depth of the body is its sender's choice.
    stack = [value]
    while stack:
        match stack.pop():
            case dict() as fields:
                stack.extend(fields.keys())
                stack.extend(fields.values())
            case list() as items:
                stack.extend(items)
            case str() as text:
                yield text
            case bool() | None:
                pass
            case Decimal() as number:
                yield decimal_text(number)
            case int() | float() as number:
                yield str(number)


def decimal_text(number: Decimal) -> str:
    """A number in digits; one with a larger exponent than is accepted is not written out."""
    exponent = number.as_tuple().exponent
    is_short = isinstance(exponent, int) and abs(exponent) <= 2 * MAX_EXPONENT
    return f"{number:f}" if is_short else str(number)


def digits_in(value: Any) -> int:
    """How many digits all texts of a JSON value have."""
    return sum(sum(map(len, _DIGITS.findall(text))) for text in texts_in(value))


def form_fields(raw: bytes) -> dict[str, str]:
    """Parse a page's form, outer blanks cut off."""
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, strict_parsing=bool(raw),
            max_num_fields=MAX_FORM_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise DecodingError("The form can't be read.") from None
    if any(len(text) > MAX_FORM_FIELD_CHARS for pair in pairs for text in pair):
        raise DecodingError(f"A field has at most {MAX_FORM_FIELD_CHARS} characters.")
    return {name: value.strip() for name, value in pairs}


def whole_number(text: str, least: int, most: int) -> int:
    """Parse a whole number from `least` to `most`, in ASCII digits."""
    if len(text) <= MAX_COUNT_CHARS and text.isascii() and text.isdecimal():
        number = int(text)
        if least <= number <= most:
            return number
    raise DecodingError(f"a whole number from {least} to {most}")


def moment(text: str) -> datetime:
    """Parse an ISO 8601 time or date; it has a zone only if the text says one."""
    if len(text) <= MAX_TIME_CHARS and text.isascii():
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    raise DecodingError("a time such as 2026-11-20T18:30:00.000Z")


def base64_json(text: str, most_chars: int = MAX_PACKED_CHARS) -> Any:
    """Parse JSON in URL-safe base64, with or without its padding."""
    if len(text) > most_chars or not _BASE64.fullmatch(text):
        raise DecodingError(f"base64 of at most {most_chars} characters is accepted")
    return plain_json(_base64_decoded(text.rstrip("=")))


def check_token(token: str) -> dict[str, Any]:
    """Check that a token has a JWT's form, and give its claims; nothing of it is verified.

    Whoever verifies it afterwards parses only what is within the limits.
    """
    match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
    if match is None:
        raise DecodingError("no JSON Web Token")
    header, claims = (
        plain_json(_base64_decoded(part), deepest=MAX_TOKEN_DEPTH, most_values=MAX_TOKEN_VALUES)
        for part in match.groups()
    )
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise DecodingError("no JSON Web Token")
    return claims


def _base64_decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise DecodingError("base64 is accepted") from None


def check_signature_header(header: str, *, now_s: float, tolerance_s: float) -> None:
    """Refuse a Stripe-Signature that can't match whatever the body is, before the body is read.

    It is "t=<seconds since the epoch>,v1=<hex>", with a v1 for each secret; what else there is counts
    for nothing. tolerance_s: how old it may be; 0: as old as it likes.
    """
    if len(header) > MAX_SIGNATURE_CHARS:
        raise DecodingError(f"at most {MAX_SIGNATURE_CHARS} characters")
    pairs = [part.partition("=") for part in header.split(",", maxsplit=MAX_SIGNATURES)]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not signatures or not all(map(_SIGNATURE.fullmatch, signatures)):
        raise DecodingError("of the form t=...,v1=...")
    made_s = whole_number(times[0], 0, 2**40)
    if tolerance_s and now_s - made_s > tolerance_s:
        raise DecodingError(f"{tolerance_s:.0f} s old at most")


def _reject_duplicate_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise DecodingError("each name once in an object is accepted")
    return fields


def _short(text: str) -> str:
    if len(text) > MAX_NUMBER_CHARS:
        raise DecodingError(f"numbers of at most {MAX_NUMBER_CHARS} characters are accepted")
    return text


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(_short(text))
    except ArithmeticError:  # an exponent of 19 digits
        number = None
    if number is None or abs(number.adjusted()) > MAX_EXPONENT:
        raise DecodingError(f"exponents up to {MAX_EXPONENT} are accepted")
    return number
