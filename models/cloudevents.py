"""CloudEvents' headers of the records that Tiffin writes: version 1.0, binary content mode.

The record's value is the event's data, its headers are the event's other attributes.
Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

import functools
from typing import Final

Header = tuple[str, bytes]

SPEC_VERSION: Final[Header] = ("ce_specversion", b"1.0")
CONTENT_TYPE: Final[Header] = ("content-type", b"application/json")
MAX_KINDS: Final = 1024
"""Pairs of type and source whose headers are kept; there are about a hundred."""


def cloudevent_headers(id: str, type: str, source: str, time: str) -> tuple[Header, ...]:
    """Headers of a record with a JSON value; source: "/tiffin/<producer>", time: RFC 3339."""
    return ("ce_id", id.encode()), *_fixed(type, source), ("ce_time", time.encode())


def without_content_type(headers: list[Header]) -> list[Header]:
    """The headers of a record without a value: an event without data has no type of data either."""
    return [header for header in headers if header != CONTENT_TYPE]


@functools.lru_cache(MAX_KINDS)
def _fixed(type: str, source: str) -> tuple[Header, ...]:
    """What records of a type and source have in common, made once: the engine writes it for each output."""
    return ("ce_type", type.encode()), ("ce_source", source.encode()), SPEC_VERSION, CONTENT_TYPE
