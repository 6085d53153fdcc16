"""Reads request bodies: bounded, of one content type, strict JSON, no card numbers, typed.

Every refusal names the field and what is accepted, and never repeats what was sent.
"""

import asyncio
import hashlib
import typing
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from web.http.api_model import ApiModel
from web.http.card_numbers import has_card_number
from web.http.decoding import (
    BODY_TIMEOUT_S,
    MAX_DIGITS,
    DecodingError,
    digits_in,
    form_fields,
    json_value,
)
from web.http.problems import ProblemError

MAX_ERRORS: Final = 20
CLOSE_CONNECTION: Final = {"Connection": "close"}
"""Where the next request would begin is not known."""
FORM_CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
BODY: Final = web.RequestKey("body", bytes)
"""The bytes of a body that was read, for forwarding."""


class Body(ApiModel):
    """Base of request bodies: camelCase alone, unknown fields refused, outer blanks cut off."""

    model_config = ConfigDict(
        populate_by_name=False, validate_by_name=False, str_strip_whitespace=True
    )
    may_hold_ids: ClassVar[bool] = False
    """Whether any id may stand in it: the digits of some look like a card's. Its reader checks it then."""


class EmptyBody(Body):
    """No field."""


B = TypeVar("B", bound=Body)


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """Read at most so many bytes, in `BODY_TIMEOUT_S`. Raises ProblemError (408, 413, 415)."""
    too_large = ProblemError("BODY_TOO_LARGE", f"body: at most {limit_bytes} bytes are accepted")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError("CONTENT_TYPE_REFUSED", "Content-Encoding: only identity is accepted")
    if request.content_length is not None and request.content_length > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large
    except TimeoutError:
        raise ProblemError("BODY_TOO_SLOW", headers=CLOSE_CONNECTION) from None
    except web.RequestPayloadError:
        raise ProblemError(
            "BAD_REQUEST",
            "body: it ends early, or its chunks can't be read",
            headers=CLOSE_CONNECTION,
        ) from None
    request[BODY] = bytes(body)
    return request[BODY]


async def read_json(
    request: web.Request, kind: type[B], limit_bytes: int, *, may_be_empty: bool = False
) -> B:
    """Read a body of this kind. Raises ProblemError (400, 413, 415)."""
    raw = await read_body(request, limit_bytes)
    if may_be_empty and not raw:
        return validated(kind, {})
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in {"utf-8", "utf8"}:
        raise ProblemError(
            "CONTENT_TYPE_REFUSED", "Content-Type: only application/json in UTF-8 is accepted"
        )
    try:
        value = json_value(raw)
    except DecodingError as error:
        raise ProblemError("INVALID_JSON", f"body: {error}") from None
    return validated(kind, value)


def validated(kind: type[B], value: Any) -> B:
    """What a JSON value says, as a body of this kind. Raises ProblemError (400)."""
    if digits_in(value) > MAX_DIGITS:
        accepted = f"at most {MAX_DIGITS} digits are accepted"
        raise ProblemError("VALIDATION_FAILED", errors=[("body", accepted)])
    if not kind.may_hold_ids and has_card_number(value, phones=_phones(value)):
        raise ProblemError(
            "CARD_NUMBER_REFUSED",
            "The body holds a card number. Card details go from the browser to Stripe; send the "
            "confirmationToken or paymentMethodId that Stripe gives for them.",
        )
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ProblemError("VALIDATION_FAILED", errors=_wrong_fields(kind, error)) from None


def parse_form(raw: bytes) -> dict[str, str]:
    """Parse a page's form, outer blanks cut off. Raises ProblemError (400)."""
    try:
        return form_fields(raw)
    except DecodingError as error:
        raise ProblemError("BAD_REQUEST", str(error)) from None


def body_hash(body: Body) -> str:
    """SHA-256 of a body's meaning: how it was spaced, ordered or abbreviated does not count."""
    canonical = orjson.dumps(
        body.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS
    )
    return hashlib.sha256(canonical).hexdigest()


def _phones(value: Any) -> Iterator[str]:
    """Where a telephone number may stand."""
    contact = value.get("contact") if isinstance(value, dict) else None
    phone = contact.get("phone") if isinstance(contact, dict) else None
    if isinstance(phone, str):
        yield phone


def _wrong_fields(kind: type[BaseModel], error: ValidationError) -> Iterator[tuple[str, str]]:
    details = error.errors(include_input=False, include_url=False, include_context=False)
    for detail in details[:MAX_ERRORS]:
        yield field_name(detail["loc"]), _message(kind, detail)


def field_name(loc: Sequence[str | int]) -> str:
    """A place in the body as a person writes it: items[0].quantity."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return name.lstrip(".")[:100] or "body"


def _message(kind: type[BaseModel], detail: ErrorDetails) -> str:
    *outer, name = detail["loc"] or ("",)
    by_alias = _fields_at(kind, [part for part in outer if isinstance(part, str)])
    if detail["type"] == "extra_forbidden":
        return f"is not accepted here; accepted: {', '.join(by_alias)}"
    text = "is required" if detail["type"] == "missing" else detail["msg"]
    text = text.removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch":
        text = "is not in the form that is accepted"
    field = by_alias.get(str(name))
    return f"{text}; accepted: {field.description}" if field and field.description else text


def _fields_at(kind: type[BaseModel], names: Sequence[str]) -> dict[str, FieldInfo]:
    """The fields of the model that is inside of these, as far as they are models."""
    by_alias = {field.alias or key: field for key, field in kind.model_fields.items()}
    inner = _model_in(by_alias[names[0]].annotation) if names and names[0] in by_alias else None
    return by_alias if inner is None else _fields_at(inner, names[1:])


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as tuple[Item, ...] or Contact | None."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in found if model), None)
