"""Outputs that are stored with a key's record until they are known to have left: the engine's outbox."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from models.transition import Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ONE_OUTPUT = 6
"""Length of an entry of one output, by far the most frequent."""


class Unsent:
    """The outputs of one key's last inputs, in order.

    entries: one for each input: its topic and offset, then four items an output, as JSON, for most
        are dropped without being looked at again. Flat, because every list less is one less for the
        garbage collector to visit. size: about their bytes.
    """

    __slots__ = ("entries", "size")

    def __init__(self, entries: list[list[Any]] | None = None) -> None:
        """Begin with entries as they were stored."""
        self.entries: list[list[Any]] = entries or []
        self.size = sum(map(_size, entries)) if entries else 0

    def __len__(self) -> int:
        """The number of outputs."""
        return sum((len(entry) - 2) // 4 for entry in self.entries)

    def __iter__(self) -> Iterator[Output]:
        """All outputs, byte for byte as they were."""
        for entry in self.entries:
            for at in range(2, len(entry), 4):
                topic, key, value, flat = entry[at : at + 4]
                flat = flat or ()
                headers = zip(flat[::2], flat[1::2], strict=True)
                loaded = tuple((name, _load_bytes(header)) for name, header in headers)
                yield Output(topic, key, _load_bytes(value), loaded)

    def copy(self) -> Unsent:
        """A copy that shares no list that changes."""
        return Unsent(list(self.entries))

    def keep(self, topic: str, offset: int, outputs: Iterable[Output]) -> None:
        """Add what the input at this topic and offset led to; all of it, or nothing if it raises."""
        entry: list[Any] = [topic, offset]
        for to, key, value, pairs in outputs:
            headers: list[Any] | None = None
            if pairs:
                headers = []
                for name, header in pairs:
                    headers += (name, _dump_bytes(header))
            entry += (to, key, _dump_bytes(value), headers)
        self.entries.append(entry)
        self.size += _size(entry)

    def forget(self, done: Mapping[str, int]) -> None:
        """Drop those of inputs that are done, from the front: for a lane whose inputs settle in order.

        done: topic -> last offset whose outputs are durable.
        """
        if self.entries and self.entries[-1][1] <= done.get(self.entries[-1][0], -1):
            self.entries.clear()  # the last one is done, so all are: by far the most frequent
            self.size = 0
            return
        left = 0
        for entry in self.entries:
            if entry[1] > done.get(entry[0], -1):
                break
            self.size -= _size(entry)
            left += 1
        del self.entries[:left]

    def forget_all(self, done: Mapping[str, int]) -> None:
        """Drop those of inputs that are done, wherever they lie."""
        self.entries = [entry for entry in self.entries if entry[1] > done.get(entry[0], -1)]
        self.size = sum(map(_size, self.entries))


def _size(entry: list[Any]) -> int:
    return len(entry[4]) if len(entry) == ONE_OUTPUT else sum(map(len, entry[4::4]))


def _dump_bytes(value: bytes) -> str | list[str]:
    """Text as it is, so that it is read back byte for byte whoever wrote it; else base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(value).decode()]


def _load_bytes(value: str | list[str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value[0])
