"""Dead letters: what becomes of an input that a service can't act on, and errors that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.transition import MAX_KEY_BYTES, UnreadableError

Headers = Sequence[tuple[str, bytes | None]]

REDRIVE_HEADER = "tiffin-redrive"
"""Header of a redriven dead letter: the name of the service that is to act on it, quarantine or not;
the others drop the record. Its key stays quarantined until it is released, so that nothing new
overtakes the dead letters still to come."""
RELEASE_HEADER = "tiffin-release"
"""Header of a redriven record without a value: `Quarantine.stamp` of the quarantine to lift. An input
that became a dead letter meanwhile has changed it; then nothing is lifted."""
QUARANTINE_HEADER = "tiffin-quarantine"
"""Header of a dead letter whose key is quarantined: `Quarantine.stamp` with this one counted."""
DEAD_LETTER_ID_HEADER = "tiffin-dead-letter"
"""Header of a redriven dead letter: its name, kept should it become a dead letter again."""
SERVICE_HEADER = "tiffin-service"
"""Header of a dead letter: which service could not act on it."""
OMITTED_VALUE_HEADER = "tiffin-value-omitted"
"""Header of a dead letter without its value: how many bytes are left at the origin."""
OMITTED_HEADERS_HEADER = "tiffin-headers-omitted"
"""Header of a dead letter without some of its headers: how many are left at the origin."""
OMITTED_KEY_HEADER = "tiffin-key-omitted"
"""Header of a dead letter without its key: how many bytes are left at the origin."""
DEAD_LETTER_PREFIX = "kafka_dlt-"
"""Begins the headers that say where a dead letter comes from and why it is one."""
DEAD_LETTER_HEADERS = frozenset(
    {
        REDRIVE_HEADER, RELEASE_HEADER, QUARANTINE_HEADER, SERVICE_HEADER, OMITTED_VALUE_HEADER,
        OMITTED_HEADERS_HEADER, OMITTED_KEY_HEADER,
    }
)  # fmt: skip
"""Headers of ours that the record itself did not have; its name may have been given before."""
MAX_MESSAGE_CHARS = 500
MAX_HEADERS_BYTES = 8 * 1024
"""Of the record's own headers, names included; those that don't fit stay at the origin."""
HEADER_OVERHEAD_BYTES = 16
STORED_MODULE = "tables.apply"
"""Dead letters and quarantines name the exception that led to them, with the module where it stood
first. What is stored keeps that name, wherever the class stands."""


class TooLargeError(Exception):
    """A decision made a record, an output or a row that is larger than the limits allow."""

    __module__ = STORED_MODULE


class UnloadableError(UnreadableError):
    """A stored state that its service can't load: the key's inputs become dead letters."""

    __module__ = STORED_MODULE


class BadRowError(Exception):
    """A decision named a row without a slash, which could be taken for a record."""

    __module__ = STORED_MODULE


class DeadLetterRecord(NamedTuple):
    """A dead letter as it will be sent; key and value may be missing as in the original."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class DeadLetterMaker:
    """Makes a service's dead letters. topic: of dead letters."""

    topic: str
    service: str
    max_value_bytes: int

    def make(
        self, origin: str, consumed: Any, reason: str, message: str, quarantine: str = ""
    ) -> DeadLetterRecord:
        """Make a ConsumerRecord's: as it was, with headers that say from which topic (origin) and why.

        reason: an exception's name; quarantine: the stamp of its key's quarantine, if there is one.
        """
        headers, omitted = _headers_to_keep(consumed.headers)
        facts = {
            "original-topic": origin,
            "original-partition": consumed.partition,
            "original-offset": consumed.offset,
            "original-timestamp": consumed.timestamp,
            "exception-fqcn": reason,
            "exception-message": message[:MAX_MESSAGE_CHARS],
        }
        headers += [(DEAD_LETTER_PREFIX + name, str(text).encode()) for name, text in facts.items()]
        headers.append((SERVICE_HEADER, self.service.encode()))
        if quarantine:
            headers.append((QUARANTINE_HEADER, quarantine.encode()))
        if omitted:
            headers.append((OMITTED_HEADERS_HEADER, str(omitted).encode()))
        key, value = consumed.key, consumed.value
        if key is not None and len(key) > MAX_KEY_BYTES:
            headers.append((OMITTED_KEY_HEADER, str(len(key)).encode()))
            key = None
        if value is not None and len(value) > self.max_value_bytes:
            headers.append((OMITTED_VALUE_HEADER, str(len(value)).encode()))
            value = b""
        return DeadLetterRecord(self.topic, key, value, tuple(headers))


def _headers_to_keep(headers: Headers) -> tuple[list[tuple[str, bytes]], int]:
    """A record's own headers that its dead letter takes along, and how many there is no room for."""
    carried: list[tuple[str, bytes]] = []
    room, omitted = MAX_HEADERS_BYTES, 0
    for name, header in headers:
        if name.startswith(DEAD_LETTER_PREFIX) or name in DEAD_LETTER_HEADERS:
            continue
        size = len(name.encode()) + len(header or b"") + HEADER_OVERHEAD_BYTES
        if size > room:
            omitted += 1
        else:
            room -= size
            carried.append((name, header or b""))
    return carried, omitted


def header_of(headers: Headers, wanted: str) -> str | None:
    """A header's text; None when there is none of that name."""
    for name, value in headers:
        if name == wanted:
            return (value or b"").decode(errors="replace")
    return None
