"""The outbox: outputs that are stored with a key's record until they are known to have left.

An entry is what one input led to: a list of its topic and offset, then of topic, key, value and
headers of each output.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from models.transition import Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def dump_entry(topic: str, offset: int, outputs: Iterable[Output]) -> bytes:
    """Make the entry of an input, as JSON. Raises when an output is none."""
    entry: list[Any] = [topic, offset]
    for to, key, value, pairs in outputs:
        entry += (to, key, _dump_bytes(value), _dump_headers(pairs) if pairs else None)
    return orjson.dumps(entry)


def load_outputs(entry: list[Any]) -> Iterator[Output]:
    """An entry's outputs again, byte for byte."""
    for at in range(2, len(entry), 4):
        to, key, value, flat = entry[at : at + 4]
        flat = flat or ()
        headers = zip(flat[::2], flat[1::2], strict=True)
        loaded = tuple((name, _load_bytes(header)) for name, header in headers)
        yield Output(to, key, _load_bytes(value), loaded)


def _dump_headers(pairs: Iterable[tuple[str, bytes]]) -> list[Any]:
    flat: list[Any] = []
    for name, value in pairs:
        flat += (name, _dump_bytes(value))
    return flat


def _dump_bytes(value: bytes) -> str | list[str]:
    """Text as it is, so that it is read back byte for byte whoever wrote it; else base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(value).decode()]


def _load_bytes(value: str | list[str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value[0])
