"""What requests carry beside their bodies: ids in the path, parameters of the query, keys in headers."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Self, dataclass_transform

from aiohttp import web
from multidict import MultiMapping
from pydantic.alias_generators import to_camel

from models import ids
from web.http.decoding import DecodingError, moment, whole_number
from web.http.problems import ProblemError

MAX_OFFSET: Final = 2**63 - 1
"""Of offsets: Kafka's."""
_KEY: Final = re.compile(r"[\x21-\x7e]{16,200}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")

Parse = Callable[[str], Any]
"""Reads the text of a parameter, `str` any; raises DecodingError, whose text says what is accepted."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True)
class Params:
    """Base of a route's parameters; subclasses are frozen dataclasses whose fields `param` makes."""

    is_strict: ClassVar[bool] = False
    """Unknown and repeated parameters are refused."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def descriptions(cls) -> Mapping[str, str]:
        """What each parameter means, by its name in the query."""
        return {_name(each): each.metadata["text"] for each in fields(cls)}

    @classmethod
    def read(cls, query: MultiMapping[str]) -> Self:
        """Read a query. Raises ProblemError (400) that names each wrong parameter."""
        if not query:
            return cls()
        wrong: list[tuple[str, str]] = []
        found: dict[str, Any] = {}
        known = cls.descriptions()
        if cls.is_strict:
            wrong += [(n, f"accepted: {', '.join(known)}") for n in sorted({*query} - {*known})]
            wrong += [(name, "accepted: once") for name in known if len(query.getall(name, ())) > 1]
        for each in fields(cls):
            name = _name(each)
            if name not in query:
                continue
            try:
                found[each.name] = each.metadata["parse"](query[name])
            except DecodingError as error:
                wrong.append((name, f"accepted: {error}"))
        if wrong:
            raise ProblemError("VALIDATION_FAILED", errors=wrong)
        return cls(**found)


def _name(of: Any) -> str:
    return of.metadata["name"] or to_camel(of.name)


def param(parse: Parse, text: str, *, name: str = "", default: Any = None) -> Any:
    """A field of `Params`. text: what it means. name: in the query; the field's in camelCase by default."""
    return field(default=default, metadata={"parse": parse, "text": text, "name": name})


def limit_param(default: int, most: int) -> Any:
    """How many items a list may have."""
    text = f"at most so many, 1 to {most}; {default} by default"
    return param(lambda value: whole_number(value, 1, most), text, default=default)


def cursor_param(pattern: str) -> Any:
    """Where a page of a list begins: a number and a text, by a pattern with a group for each."""
    text = "`next` of the page before"

    def parse(value: str) -> tuple[int, str]:
        match = re.fullmatch(pattern, value, re.ASCII)
        if match is None:
            raise DecodingError(text)
        return int(match[1]), match[2]

    return param(parse, text, name="before")


def order_param(text: str, accepted: str = "an id of ours, order_...") -> Any:
    """The id of an order."""
    return param(text_that(ids.is_order_id, accepted), text, name="order")


def choice_param(
    choices: Iterable[str], text: str = "", *, accepted: str = "", default: str | None = None
) -> Any:
    """One of some values, as that text. accepted: what to say, the values by default."""
    values = tuple(choices)
    text = text or f"one of {', '.join(values)}; all by default"
    return param(one_of(values, accepted), text, default=default)


def one_of(choices: Iterable[str], accepted: str = "") -> Parse:
    """A parser of one of some values. accepted: what to say, the values by default."""
    values = tuple(choices)
    return text_that(values.__contains__, accepted or ", ".join(values))


def text_that(accepts: Callable[[str], Any], accepted: str) -> Parse:
    """A parser of a text as it is, if a condition holds of it. accepted: what to say otherwise."""

    def parse(text: str) -> str:
        if not accepts(text):
            raise DecodingError(accepted)
        return text

    return parse


def up_to(most_chars: int) -> Parse:
    """A parser of a text of at most so many characters."""
    return text_that(lambda text: len(text) <= most_chars, f"at most {most_chars} characters")


def time_ms(accepted: str, *, years: range, has_dates: bool = True, plus: str = " ") -> Parse:
    """A parser of a time with its zone, into milliseconds since the epoch.

    years: that are accepted. has_dates: a date stands for its beginning (UTC). plus: what a plus that was
    not escaped has become, taken for one; "" when that is refused.
    """

    def parse(text: str) -> int:
        try:
            at = moment(text.replace(plus, "+") if plus else text)
            if has_dates and _DATE.fullmatch(text):
                at = at.replace(tzinfo=UTC)
            if at.tzinfo is None or at.year not in years:
                raise ValueError
            return (at - datetime.fromtimestamp(0, UTC)) // _MILLISECOND
        except (ValueError, OverflowError):
            raise DecodingError(accepted) from None

    return parse


_MILLISECOND: Final = datetime.resolution * 1000


def order_id_of(request: web.Request) -> str:
    """The order that the path names. Raises ProblemError (404) for what can't be an order's id."""
    order_id = request.match_info["order_id"]
    if not ids.is_order_id(order_id):
        raise ProblemError(
            "ORDER_UNKNOWN", errors=[("orderId", "accepted: an id of ours, order_...")]
        )
    return order_id


def idempotency_key(request: web.Request, param: str = "", *, optional: bool = False) -> str:
    """The Idempotency-Key header, quoted (as its RFC draft wants) or not.

    param: a parameter of the query that stands in for it. optional: "" without one. Raises ProblemError
    (400).
    """
    key = request.headers.get("Idempotency-Key", "").strip()
    if param:
        key = key or request.query.get(param, "")
    if not key and optional:
        return ""
    if not key:
        raise ProblemError(
            "IDEMPOTENCY_KEY_MISSING",
            "Send a new random key for each thing to be done, and the same one when repeating it.",
            errors=[("Idempotency-Key", "is required; accepted: 16 to 200 visible characters")],
        )
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise ProblemError(
            "IDEMPOTENCY_KEY_INVALID",
            "A UUID is a good key.",
            errors=[("Idempotency-Key", "accepted: 16 to 200 visible ASCII characters")],
        )
    return key
