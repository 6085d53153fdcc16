"""The outbox's entries: an input's outputs, stored with the record until they are known to have left."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from models.generations import base_topic
from models.transition import Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def dump_entry(topic: str, offset: int, outputs: Iterable[Output]) -> bytes:
    """Make an input's entry of the outbox, as JSON. Raises when an output is none.

    A list of the input's topic and offset, then of topic, key, value and headers of each output.
    """
    entry: list[Any] = [topic, offset]
    for to, key, value, pairs in outputs:
        flat = [part for name, text in pairs or () for part in (name, _dump_bytes(text))]
        entry += (to, key, _dump_bytes(value), flat or None)
    return orjson.dumps(entry)


def has_left(entry: list[Any], durable_offsets: Mapping[str, int]) -> bool:
    """Whether an entry's outputs have left. durable_offsets: topic -> last offset whose outputs have.

    Those of an earlier generation of topics have: it was drained before the next one served. Entries, as
    offsets, have a topic's name in Kafka; all else in a record has its own (models/generations.py).
    """
    topic, offset = entry[:2]
    if topic in durable_offsets:
        return bool(offset <= durable_offsets[topic])
    return any(base_topic(topic) == base_topic(known) for known in durable_offsets)


def load_outputs(entry: list[Any]) -> Iterator[Output]:
    """An entry's outputs again, byte for byte."""
    for at in range(2, len(entry), 4):
        to, key, value, flat = entry[at : at + 4]
        flat = flat or ()
        headers = zip(flat[::2], flat[1::2], strict=True)
        loaded = tuple((name, _load_bytes(header)) for name, header in headers)
        yield Output(to, key, _load_bytes(value), loaded)


def _dump_bytes(value: bytes) -> str | list[str]:
    """Text as it is, so that it is read back byte for byte whoever wrote it; else base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(value).decode()]


def _load_bytes(value: str | list[str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value[0])
