"""A commit batch: consecutive inputs of a partition and all their effects, made durable together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from aiokafka.producer.message_accumulator import BatchBuilder

from tables.faust_internals import append_fast
from tables.keyed_outputs import KeyedOutput
from tables.limits import BATCH_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from aiokafka import AIOKafkaProducer

    from models.transition import Output
    from tables.dead_letters import DeadLetterRecord
    from tables.record import Record

Item = tuple[str, str | bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Topic, key, value and headers of a record."""
SNAPPY = 2
"""The codec's number in Kafka's protocol."""
NO_HEADERS: list[tuple[str, bytes]] = []


OutputsT = TypeVar("OutputsT", bound="Batches | list[Output | DeadLetterRecord]")
"""Collects a commit batch's outputs: a list when nothing is to be sent."""


@dataclass(slots=True)
class CommitBatch(Generic[OutputsT]):
    """The inputs and their effects.

    inputs: ConsumerRecords, until the batch is closed; first: topic and offset of the first of them;
    count: of them; offsets: topic -> last offset; records, rows: by key, as they are after the last
    input; checkpoint: the task's durable offsets, when they are to be written too; keyed: keys of records whose
    outputs in it have keys of their own, keyed_bytes: of them.
    """

    outputs: OutputsT
    count: int = 0
    inputs: list[Any] = field(default_factory=list)
    first: tuple[str, int] | None = None
    offsets: dict[str, int] = field(default_factory=dict)
    records: dict[bytes, Record] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    checkpoint: dict[str, int] | None = None
    keyed: dict[bytes, None] = field(default_factory=dict)
    keyed_bytes: int = 0

    def add_keyed(self, key: bytes) -> None:
        """Note that a key's record has outputs with keys of their own."""
        if key not in self.keyed:
            self.keyed[key] = None
            self.keyed_bytes += len(key)

    @property
    def is_empty(self) -> bool:
        """Whether nothing came and nothing has to be sent again."""
        return not self.count and not self.records


class CommitReport(NamedTuple):
    """A commit batch that is durable. arrived_ms: Kafka's time of its first input, -1 if none.

    changelog_s, rocksdb_s, outputs_s: what its steps took.
    """

    service: str
    inputs: int
    arrived_ms: int
    changelog_s: float
    rocksdb_s: float
    outputs_s: float


class Batches:
    """Records to send, in order, in as few Kafka batches a topic as they need.

    All go to the partition that `send` is given, but outputs with keys of their own: to theirs.

    Each is copied into its batch at once, not kept until all are sent: what a commit batch of thousands
    of inputs leads to fits no processor's cache, and fetching it again costs more than making it.
    """

    __slots__ = (
        "_batches", "_is_compressed", "_last", "_partition_of_key", "_producer", "_topic_name", "count",
    )  # fmt: skip

    def __init__(
        self,
        producer: AIOKafkaProducer,
        partition_of_key: Callable[[str], int] | None = None,
        *,
        is_compressed: bool = False,
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """partition_of_key: where there are outputs with keys of their own. topic_name: of a topic in Kafka.

        is_compressed: for topics that only engines read; not every client of Kafka knows Snappy.
        """
        self._topic_name = topic_name
        self.count = 0
        self._producer = producer
        self._partition_of_key = partition_of_key
        self._is_compressed = is_compressed
        self._batches: list[tuple[str, int | None, Any]] = []
        self._last: dict[str | tuple[str, int | None], Any] = {}

    def append(self, item: Item) -> None:
        """Add a record behind all others of its topic; its timestamp is now."""
        topic, name, value, pairs = item
        key = name.encode() if isinstance(name, str) else name
        headers = list(pairs) if pairs else NO_HEADERS
        self.count += 1
        partition: int | None = None
        place: str | tuple[str, int | None] = topic
        if type(item) is KeyedOutput:
            assert self._partition_of_key is not None
            partition = self._partition_of_key(item.key)
            place = (topic, partition)
        batch = self._last.get(place)
        if batch is not None and append_fast(batch, key, value, headers):
            return
        batch = (
            BatchBuilder(BATCH_BYTES, SNAPPY)
            if self._is_compressed
            else self._producer.create_batch()
        )
        self._last[place] = batch
        # A builder always takes its first record, however large.
        batch.append(timestamp=None, key=key, value=value, headers=headers)
        self._batches.append((topic, partition, batch))

    async def send(self, partition_of: Callable[[str], int]) -> int:
        """Send all and wait until they are durable; gives the last one's offset, -1 if unknown."""
        pending: list[tuple[asyncio.Future[Any], int]] = []
        for topic, key_partition, batch in self._batches:
            batch.close()
            partition = partition_of(topic) if key_partition is None else key_partition
            name = self._topic_name(topic)
            future = await self._producer.send_batch(batch, name, partition=partition)
            pending.append((future, batch.record_count()))
        last = -1
        for future, count in pending:
            metadata = await future
            last = metadata.offset + count - 1 if metadata.offset >= 0 else -1
        return last

    async def send_all(self, items: Iterable[Item], partition_of: Callable[[str], int]) -> int:
        """Add records and send all; gives how many there were."""
        for item in items:
            self.append(item)
        await self.send(partition_of)
        return self.count
