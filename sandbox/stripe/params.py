"""Request parameters: Stripe's bracketed form encoding, and schemas that refuse what it refuses.

A schema is a tree of parsers, `(value, name) -> value`; `fields` is the node. Everything that
fails here fails before an endpoint begins to execute, so its answer is never kept for an
idempotency key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.stripe.errors import invalid

Params = dict[str, Any]
Parser = Callable[[Any, str], Any]

_NAME_PARTS = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def decode_form(pairs: Iterable[tuple[str, str]]) -> Params:
    """`a[b]=1&c[]=2&c[]=3&d[0]=4` as {"a": {"b": "1"}, "c": ["2", "3"], "d": ["4"]}."""
    root: Params = {}
    for name, value in pairs:
        match = _NAME_PARTS.match(name)
        if match is None:
            raise invalid(f"Received unknown parameter: {name}", code="parameter_unknown")
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        node: Any = root
        for part, following in zip(path, [*path[1:], None], strict=True):
            if not isinstance(node, dict):
                raise invalid(f"Invalid object: {name}", param=name)
            key = part or str(len(node))
            if following is None:
                node[key] = value
            else:
                node = node.setdefault(key, {})
    return {key: _lists(value) for key, value in root.items()}


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    node = {key: _lists(value) for key, value in node.items()}
    if node and all(key.isdecimal() for key in node):
        return [node[key] for key in sorted(node, key=int)]
    return node


def text(value: Any, name: str) -> str:
    """A string that is not empty, at most 5000 characters."""
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name} must be a string", param=name)
    if not value:
        raise invalid(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to "
            f"unset a parameter; however '{name}' cannot be unset.",
            code="parameter_invalid_empty",
            param=name,
        )
    if len(value) > 5000:
        raise invalid(f"Invalid string: {name} must be at most 5000 characters", param=name)
    return value


def unsettable_text(value: Any, name: str) -> str | None:
    """A string, or "" to unset."""
    return None if value == "" else text(value, name)


def integer(value: Any, name: str) -> int:
    """A whole number."""
    if not (isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value)):
        raise invalid(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def positive(value: Any, name: str) -> int:
    """A whole number of at least 1."""
    number = integer(value, name)
    if number < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param=name,
        )
    return number


def boolean(value: Any, name: str) -> bool:
    """True or false, in any case (the Python SDK writes True)."""
    if not isinstance(value, str) or value.lower() not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param=name)
    return value.lower() == "true"


def anything(value: Any, _name: str) -> Any:
    """A value that is stored or ignored without a look inside."""
    return value


def choice(*allowed: str) -> Parser:
    """One of a set of strings."""

    def parse(value: Any, name: str) -> str:
        if value not in allowed:
            raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
        return str(value)

    return parse


def list_of(parser: Parser) -> Parser:
    """An array."""

    def parse(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("Invalid array", param=name)
        return [parser(item, f"{name}[{place}]") for place, item in enumerate(value)]

    return parse


def metadata(value: Any, name: str) -> dict[str, str]:
    """Up to 50 pairs, keys up to 40 characters, values up to 500; "" unsets all or one."""
    if value == "":
        return {}
    if isinstance(value, list):
        value = {str(place): item for place, item in enumerate(value)}
    if not isinstance(value, dict) or len(value) > 50:
        raise invalid("Metadata must be a set of at most 50 key-value pairs", param=name)
    for key, item in value.items():
        if len(key) > 40 or not isinstance(item, str) or len(item) > 500:
            raise invalid(
                "Metadata keys can have up to 40 characters, values up to 500.",
                param=f"{name}[{key}]",
            )
    return dict(value)


def merge_metadata(current: dict[str, str], params: Params) -> dict[str, str]:
    """Stripe's rule: keys are added or replaced, "" removes one, `metadata=""` removes all."""
    if "metadata" not in params:
        return current
    if not params["metadata"]:
        return {}
    merged = {**current, **params["metadata"]}
    return {key: value for key, value in merged.items() if value != ""}


def fields(required: tuple[str, ...] = (), /, **parsers: Parser) -> Parser:
    """An object with these fields and no others."""

    def parse(value: Any, name: str) -> Params:
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=name)
        parsed: Params = {}
        for key, item in value.items():
            path = f"{name}[{key}]" if name else key
            if key not in parsers:
                raise invalid(
                    f"Received unknown parameter: {path} (the stand-in accepts: "
                    f"{', '.join(sorted(parsers)) or 'none'})",
                    code="parameter_unknown",
                    param=path,
                )
            parsed[key] = parsers[key](item, path)
        for key in required:
            if key not in parsed:
                path = f"{name}[{key}]" if name else key
                raise invalid(
                    f"Missing required param: {path}.", code="parameter_missing", param=path
                )
        return parsed

    return parse


_BOUNDS = fields(gt=integer, gte=integer, lt=integer, lte=integer)


def created_range(value: Any, name: str) -> dict[str, int]:
    """A time, or {gt, gte, lt, lte}, in seconds since the epoch."""
    if isinstance(value, str):
        moment = integer(value, name)
        return {"gte": moment, "lte": moment}
    bounds: dict[str, int] = _BOUNDS(value, name)
    return bounds


def page_size(value: Any, name: str) -> int:
    """1 to 100."""
    size = integer(value, name)
    if not 1 <= size <= 100:
        raise invalid("Limit must be between 1 and 100.", param=name)
    return size


EXPAND: dict[str, Parser] = {"expand": list_of(text)}
PAGE: dict[str, Parser] = {
    **EXPAND,
    "limit": page_size,
    "starting_after": text,
    "ending_before": text,
    "created": created_range,
}
