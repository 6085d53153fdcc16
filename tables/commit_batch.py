"""A commit batch: consecutive inputs of a partition and all their effects, made durable together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from models.transition import Output
    from tables.dead_letters import DeadLetterRecord
    from tables.record import Record


class Outputs(Protocol):
    """Collects a commit batch's outputs: `Batches`, or a list when nothing is to be sent."""

    def append(self, output: Output | DeadLetterRecord, /) -> None:
        """Add one behind the others."""


OutputsT = TypeVar("OutputsT", bound=Outputs)


class CommitBatch(Generic[OutputsT]):
    """The inputs and their effects.

    inputs: ConsumerRecords, until the batch is closed; first: topic and offset of the first of them;
    count: of them; offsets: topic -> last offset; records, rows: by key, as they are after the last
    input; checkpoint: the task's durable offsets, when they are to be written too.
    """

    __slots__ = ("checkpoint", "count", "first", "inputs", "offsets", "outputs", "records", "rows")

    def __init__(self, outputs: OutputsT) -> None:
        self.count = 0
        self.inputs: list[Any] = []
        self.first: tuple[str, int] | None = None
        self.offsets: dict[str, int] = {}
        self.records: dict[bytes, Record] = {}
        self.rows: dict[bytes, bytes] = {}
        self.outputs = outputs
        self.checkpoint: dict[str, int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing came and nothing has to be sent again."""
        return not self.count and not self.records
