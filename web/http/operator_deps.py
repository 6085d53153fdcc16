"""The dependencies of the operators' routes, filled in by app/."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.dead_letter import DeadLetter, OriginalRecord, RedriveResult
from models.operations import AuditFilter, AuditPage, Offsets, WorkerStatus
from tables import InputPosition, PartitionStop


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

    Methods raise OperatorActionRefusedError, KafkaUnavailableError, NotOwnerError and NotReadyError.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDeps:
    """Everything that the operators' routes are given.

    positions: of this worker's engines. offsets: of every input topic's partitions; raises
    KafkaUnavailableError. audit: so many of the latest acts and refusals, from these ends on; likewise. A
    page looks at a bounded number of records, so it may show few acts, or none, and go on.
    audit_search: who looked for orders by which kinds of personal data, and how many were found; returns
    when Kafka has it, and raises likewise.
    """

    dead_letters: DeadLetters
    settling: DeadLetterActions
    stopped: StoppedPartitions
    positions: Callable[[], Sequence[InputPosition]]
    offsets: Callable[[], Awaitable[Mapping[tuple[str, int], Offsets]]]
    audit: Callable[[int, Mapping[str, int], AuditFilter], Awaitable[AuditPage]]
    worker: Callable[[], WorkerStatus]
    audit_search: Callable[[str, Sequence[str], int], Awaitable[None]]
