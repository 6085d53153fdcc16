"""Outputs with a key of their own: their numbers, and how they leave again after a crash.

An output whose key is not its input's goes to that key's partition, where outputs of many keys and of many
partitions meet: no sequence per key tells its reader what it has. So a task numbers them, all in one count, in
the order in which they leave; the header SOURCE_HEADER has the number. A reader keeps, with its own key's
record, the last number of each source: as many as the source's service has partitions.

That is exact only if numbers never fall on their way, but for what is sent again. An outbox that left at its
key's first input in a new task would break that: other keys' newer outputs may be out by then. So a row of
the table names the keys of the last commit batch that had such outputs, and these leave before anything else
of a new task, in the order of their numbers. One batch is enough: the next is not written before the one
before has left. docs/engine.md has the whole argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from models.times import machine_now_ms
from models.transition import Output, UnreadableError
from tables.outbox import load_outputs
from tables.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

SOURCE_HEADER: Final = "tiffin-source"
"""Header of an output with a key of its own: "service/partition/number" of the task that emitted it."""
KEYED_KEY: Final = b"\0keyed"
"""Row of a table: the next number, and whose outputs the last commit batch with such outputs had."""
KEYS_BYTES: Final = 400_000
"""Of the keys in that row: a commit batch with more of them takes no further inputs."""
NUMBERS_A_MS: Final = 1000
"""A count begins at the time, in these units: a table that was lost, or that another number of partitions made
anew, goes on above all numbers that were given before. `partitions raise` takes the counts along all the same:
machines' clocks may differ."""


class KeyedOutput(Output):
    """An output with a key of its own, numbered."""

    __slots__ = ()


class Source(NamedTuple):
    """Of an input that is such an output. producer: "service/partition"."""

    producer: str
    number: int


def read_source(header: str) -> Source:
    """Read the header's text. Raises UnreadableError."""
    producer, _, number = header.rpartition("/")
    # No more than an int64 has: what is no number must not be kept as one.
    if not producer or not (number.isascii() and number.isdecimal() and len(number) <= 18):
        raise UnreadableError(f"{SOURCE_HEADER}: no service, partition and number")
    return Source(producer, int(number))


@dataclass(frozen=True, slots=True)
class _Row:
    """What KEYED_KEY holds. first: of the batch's numbers; next: of those to come; keys: of its records."""

    first: int
    next: int
    keys: Collection[str] = ()


def restarted_row(raw: bytes) -> bytes:
    """The row as a table begins with it whose outputs have all left: it only goes on with the count."""
    row = _Row(**orjson.loads(raw))
    return orjson.dumps(_Row(row.next, row.next))


class OutputNumbers:
    """The numbers of one task's outputs with keys of their own.

    source: "service/partition". read_stored: gives what the table has under a key.
    """

    def __init__(self, source: str, read_stored: Callable[[bytes], bytes | None]) -> None:
        self._source = source
        self._read_stored = read_stored
        self._stored: _Row | None = None
        self._next = 0

    def number(self, output: Output) -> KeyedOutput:
        """Give an output the next number."""
        self._load()
        number, self._next = self._next, self._next + 1
        return _numbered(output, f"{self._source}/{number}")

    def row_of(self, keys: Collection[bytes]) -> bytes:
        """The row of a commit batch in which these keys' records have such outputs; all before it have left."""
        row = self._load()
        self._stored = _Row(row.next, self._next, [key.decode() for key in keys])
        return orjson.dumps(self._stored)

    def row_once_sent(self) -> bytes | None:
        """The row when all has left, if the stored one says otherwise."""
        return self.row_of(()) if self._load().keys else None

    def unsent(self, dictionaries: Sequence[bytes]) -> list[KeyedOutput]:
        """Outputs that an earlier task may not have sent, in order.

        Records of which the changelog has only the row, for it was cut off there, hold older outputs or
        none: their inputs are decided again.
        """
        row, found = self._load(), []
        for key in row.keys:
            raw = self._read_stored(key.encode())
            stored: dict[str, Any] = orjson.loads(unpack(raw, dictionaries)) if raw else {}
            for output in keyed_outputs(key, stored.get("unsent") or ()):
                number = read_source(output.headers[0][1].decode()).number
                if number >= row.first:
                    found.append((number, output))
        return [output for _, output in sorted(found)]

    def _load(self) -> _Row:
        if self._stored is None:
            raw = self._read_stored(KEYED_KEY)
            now = machine_now_ms() * NUMBERS_A_MS
            self._stored = _Row(**orjson.loads(raw)) if raw else _Row(now, now)
            self._next = self._stored.next
        return self._stored


def keyed_outputs(key: str, entries: Sequence[list[Any]]) -> Iterator[KeyedOutput]:
    """Those of an outbox that have a key of their own, as they were sent. key: of the record."""
    for entry in entries:
        for output in load_outputs(entry):
            if output.key != key:
                yield KeyedOutput(*output)


def without_number(output: Output) -> Output:
    """An output as its service made it."""
    headers = output.headers[1:] if type(output) is KeyedOutput else output.headers
    return Output(output.topic, output.key, output.value, headers)


def _numbered(output: Output, source: str) -> KeyedOutput:
    headers = ((SOURCE_HEADER, source.encode()), *output.headers)
    return KeyedOutput(output.topic, output.key, output.value, headers)
