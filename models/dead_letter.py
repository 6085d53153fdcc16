"""Dead letters as operators see them, and what redriving or discarding one leads to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from models.transition import UnreadableError, readable_key

Headers = Sequence[tuple[str, bytes]]


class DeadLetterState(StrEnum):
    """States of a dead letter; one that was redriven and dead-lettered again is OPEN."""

    OPEN = "OPEN"
    REDRIVEN = "REDRIVEN"
    DISCARDED = "DISCARDED"


class RecordLocation(NamedTuple):
    """Topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an operator did: by ("operator:alice"), why, when (milliseconds since the epoch)."""

    by: str
    reason: str
    at_ms: int


@dataclass(slots=True)
class DeadLetter:
    """A dead letter without its value.

    name: stable over redrives. offset: of its latest form in the dead-letter topic; first_offset: of
    its first, which gives the order. origins: where it was consumed each time that it was
    dead-lettered, the first one first. dead_lettered_ms: the latest time, in milliseconds since the
    epoch. since_ms, number: of the quarantine that it belongs to, and its place in it; 0 when it
    belongs to none. omitted_bytes: size of a value that only the origin has.
    """

    name: str
    first_offset: int
    offset: int
    key: bytes | None
    service: str
    origins: list[RecordLocation]
    error: str
    message: str
    dead_lettered_ms: int
    since_ms: int = 0
    number: int = 0
    omitted_bytes: int = 0
    state: DeadLetterState = DeadLetterState.OPEN
    settled: Resolution | None = None

    @property
    def origin(self) -> RecordLocation:
        """Where it was consumed when it was dead-lettered last."""
        return self.origins[-1]

    @property
    def order_key(self) -> str | None:
        """Its key as text, if a service's record may have it."""
        try:
            return readable_key(self.key)
        except UnreadableError:
            return None


@dataclass(frozen=True, slots=True)
class OriginalRecord:
    """The record as it was sent; value None: it had none, or Kafka has deleted it."""

    value: bytes | None
    headers: Headers


class DryRunVerdict(StrEnum):
    """What becomes of an input. DUPLICATE: dropped, for it or a later one of its sender was applied."""

    DECIDED = "DECIDED"
    DUPLICATE = "DUPLICATE"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class RedriveStep:
    """What became of a dead letter, or would. events: types of what it led to.

    accepted, code: of a command's outcome. error, message: why it would be dead-lettered again.
    """

    letter: DeadLetter
    verdict: DryRunVerdict | None
    events: tuple[str, ...] = ()
    accepted: bool | None = None
    code: str = ""
    error: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """What redriving or discarding did, or would do.

    is_refused: of a dry run: it would be refused. is_quarantined: whether the order is quarantined in
    that service afterwards. stopped: why not all was done.
    """

    steps: tuple[RedriveStep, ...]
    is_refused: bool = False
    is_quarantined: bool = False
    stopped: str = ""
