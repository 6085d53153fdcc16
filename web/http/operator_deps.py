"""What the operators' routes need of the rest of the application; app/ fills it in."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from tables import DryRunVerdict, InputPosition, PartitionStop

Headers = Sequence[tuple[str, bytes]]


class DeadLetterState(StrEnum):
    """States of a dead letter; one that was redriven in vain is OPEN again."""

    OPEN = "OPEN"
    REDRIVEN = "REDRIVEN"
    DISCARDED = "DISCARDED"


class RecordLocation(NamedTuple):
    """Where a record lies, or lay."""

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
    its first, which gives the order. origins: of each of its lives, the first one first. dead_lettered_ms:
    milliseconds since the epoch, of the latest. since_ms, number: of the quarantine that it belongs
    to, and its place in it; 0 when it belongs to none. omitted_bytes: size of a value that only the
    origin has.
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
        """Where it was consumed when it died last."""
        return self.origins[-1]

    @property
    def order_key(self) -> str | None:
        """Its key as text, if a record may have it."""
        try:
            text = (self.key or b"").decode()
        except UnicodeDecodeError:
            return None
        return text if text and "/" not in text and text[0] != "\0" else None


@dataclass(frozen=True, slots=True)
class OriginalRecord:
    """The record as it was sent; value None: it had none, or nobody has it any more."""

    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class RedriveStep:
    """What became of a dead letter, or would. events: types of what it led to.

    accepted, code: of a command's outcome. error, message: why it would be dead again.
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
    """What an act did, or would do.

    is_refused: of a rehearsal: the act would be refused. is_quarantined: whether the order is, in
    that service, afterwards; of a rehearsal: would be. stopped: why not all was done, or would be.
    """

    steps: tuple[RedriveStep, ...]
    is_refused: bool = False
    is_quarantined: bool = False
    stopped: str = ""


class DeadLetters(Protocol):
    """All dead letters. Methods raise KafkaUnavailableError."""

    @property
    def left_out(self) -> int:
        """Open ones that are more than can be held here; they show up as others are settled."""

    async def caught_up(self) -> None:
        """Return once everything that Kafka had at the call is known here."""

    def all(self) -> Iterable[DeadLetter]:
        """In the order in which they came."""

    def get(self, name: str) -> DeadLetter | None:
        """By name."""

    def open_for_key(self, service: str, key: bytes | None) -> list[DeadLetter]:
        """The open ones of one key and service, in the order in which they are to be redriven."""

    async def original(self, letter: DeadLetter) -> OriginalRecord:
        """The record as it was sent."""


class DeadLetterActions(Protocol):
    """What operators do with dead letters, at the worker that owns the key.

    Methods raise ProblemError, KafkaUnavailableError, NotOwnerError and NotReadyError.
    """

    async def redrive(
        self, letter: DeadLetter, *, by: str, reason: str, all_of_order: bool, dry_run: bool
    ) -> RedriveResult:
        """Send it to its origin again, and those of its order and service behind it."""

    async def discard(
        self, letter: DeadLetter, *, by: str, reason: str, redrive_rest: bool, dry_run: bool
    ) -> RedriveResult:
        """Give it up, and let its order go on if nothing else holds it."""


class StoppedPartitions(Protocol):
    """Partitions of this worker that are read no further until an operator acts."""

    def all(self) -> Sequence[PartitionStop]:
        """All of them."""

    async def skip(
        self,
        topic: str,
        partition: int,
        offset: int,
        service: str | None,
        *,
        by: str,
        reason: str,
        is_retry: bool,
        dry_run: bool,
    ) -> PartitionStop:
        """Go on behind what can't be read, or at it; gives what was stopped. service: None: any.

        Raises NotStoppedError, KafkaUnavailableError.
        """


@dataclass(frozen=True, slots=True)
class Offsets:
    """A topic-partition in Kafka. committed: of the workers' group; None while there is none."""

    end: int
    committed: int | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which acts; "" and None are all. by: a part of who acted. kind: the event's type. order: its id."""

    by: str = ""
    kind: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the audit.

    events: envelopes as JSON values, the latest first. scanned: records looked at. before: where to
    go on, in no form that callers should rely on; "" when that was all.
    """

    events: Sequence[Mapping[str, Any]]
    scanned: int
    before: str


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker.

    started_ms: since the epoch. effects_pending: Stripe writes that have not ended. stripe_errors:
    class -> calls that had to be tried again, since the start. clock_trouble: what is wrong with the
    clocks; "" when nothing is.
    """

    started_ms: int
    effects_pending: int = 0
    stripe_errors: Mapping[str, int] = field(default_factory=dict)
    clock_trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDeps:
    """Everything that the operators' routes are given.

    positions: of this worker's engines. offsets: of every input topic's partitions; raises
    KafkaUnavailableError. audit: so many of the latest acts and refusals, from `before` on; likewise. A
    page looks at a bounded number of records, so it may show few acts, or none, and go on.
    audit_search: who looked for orders by which kinds of personal data, and how many were found; returns
    when Kafka has it, and raises likewise.
    """

    dead_letters: DeadLetters
    settling: DeadLetterActions
    stopped: StoppedPartitions
    positions: Callable[[], Sequence[InputPosition]]
    offsets: Callable[[], Awaitable[Mapping[tuple[str, int], Offsets]]]
    audit: Callable[[int, str, AuditFilter], Awaitable[AuditPage]]
    worker: Callable[[], WorkerStatus]
    audit_search: Callable[[str, Sequence[str], int], Awaitable[None]]
