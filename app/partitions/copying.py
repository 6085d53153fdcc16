"""Copies topics into those of another generation: each record once, to where its key belongs by the new count.

A partition of a topic is copied a chunk at a time. Which chunk is next is written into the `progress` topic
first; then its records are sent, read back and compared with what was read. So whoever takes it up again, after
a crash at any point, knows which records may be there already, finds them, and goes on behind them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from app.kafka.records import FetchedRecord, Place, RecordReader
from models.operations import Offsets

CHUNK_RECORDS: Final = 5_000
CHUNK_BYTES: Final = 4 * 1024 * 1024
READ_S: Final = 1.0
SILENCE_S: Final = 60.0
BATCH_BYTES: Final = 256 * 1024
SNAPPY: Final = 2


class CopyError(Exception):
    """What is in the new topics is not what was copied there; the message says where."""


class CopiedRow(NamedTuple):
    """A record as it is compared. at_ms: its timestamp."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    at_ms: int


Change = Callable[[int, bytes | None, bytes | None], tuple[int, bytes | None] | None]
"""A record's partition, key and value -> its new partition and value; None: it does not move."""


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's murmur2 puts a key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True)
class TopicCopy:
    """A topic to copy. old, new: its names and counts. is_changelog: only the last record of a key counts."""

    old: str
    new: str
    old_partitions: int
    new_partitions: int
    change: Change
    is_changelog: bool = False


@dataclass(slots=True)
class CopyProgress:
    """How far a topic is copied.

    next: old partition -> next offset to copy; ends: new partition -> next offset there, without the chunk that
    is under way. chunk: that one's partition, first offset and end. left_out: records that can't be read.
    """

    next: list[int]
    ends: list[int]
    chunk: tuple[int, int, int] | None = None
    left_out: int = 0

    def dump(self) -> bytes:
        """As it is kept in Kafka."""
        return orjson.dumps([self.next, self.ends, self.chunk, self.left_out])

    @classmethod
    def load(cls, raw: bytes) -> "CopyProgress":
        """Read it again."""
        next_, ends, chunk, left_out = orjson.loads(raw)
        return cls(next_, ends, tuple(chunk) if chunk else None, left_out)


@dataclass(slots=True)
class Copier:
    """Copies, one chunk at a time. progress_topic: of one partition. copied: records, since it was made.

    bounds: asks Kafka for the first and next offset of places. Methods raise KafkaError, KafkaException,
    TimeoutError and CopyError.
    """

    producer: AIOKafkaProducer
    reader: RecordReader
    check: RecordReader
    progress_topic: str
    bounds: Callable[[Sequence[Place]], Mapping[Place, tuple[int, int]]]
    known: dict[str, CopyProgress] = field(default_factory=dict)
    copied: int = 0
    _at: tuple[Place, int] | None = None

    async def copy(self, wanted: Sequence[TopicCopy]) -> AsyncIterator[int]:
        """Copy what the old topics hold at the call; yields the records of each chunk."""
        places = [(copy.old, p) for copy in wanted for p in range(copy.old_partitions)]
        bounds = await self._bounds(places)
        for copy in wanted:
            known = self.known.setdefault(
                copy.old, CopyProgress([0] * copy.old_partitions, [0] * copy.new_partitions)
            )
            if copy.is_changelog:
                there = await self._bounds([(copy.new, p) for p in range(copy.new_partitions)])
                known.ends = [there[copy.new, p][1] for p in range(copy.new_partitions)]
            if known.chunk is not None:
                yield await self._take_up(copy, known)
            for partition in range(copy.old_partitions):
                start, end = bounds[copy.old, partition]
                known.next[partition] = max(start, known.next[partition])
                while known.next[partition] < end:
                    yield await self._chunk(copy, known, partition, end)

    async def left(self, wanted: Sequence[TopicCopy]) -> int:
        """How many offsets of the old topics are not copied."""
        places = [(copy.old, p) for copy in wanted for p in range(copy.old_partitions)]
        left = 0
        for (topic, p), (start, end) in (await self._bounds(places)).items():
            next_ = self.known[topic].next[p] if topic in self.known else 0
            if end < next_:
                raise CopyError(f"{topic}/{p} ends at offset {end}, and was copied up to {next_}")
            left += max(0, end - max(start, next_))
        return left

    async def _chunk(self, copy: TopicCopy, known: CopyProgress, partition: int, end: int) -> int:
        records, next_ = await self._read((copy.old, partition), known.next[partition], end)
        known.chunk = (partition, known.next[partition], next_)
        await self._note(copy, known)
        return await self._write(copy, known, records, {})

    async def _take_up(self, copy: TopicCopy, known: CopyProgress) -> int:
        """Copy the chunk again at whose copying a run ended, behind what of it is there."""
        assert known.chunk is not None
        partition, first, next_ = known.chunk
        bounds = await self._bounds([(copy.new, p) for p in range(copy.new_partitions)])
        there = {p: bounds[copy.new, p][1] for p in range(copy.new_partitions)}
        if (
            copy.is_changelog
        ):  # what is written twice counts once; compaction may have removed some of it
            there = {}
        records, _ = await self._read((copy.old, partition), first, next_, whole=True)
        return await self._write(copy, known, records, there)

    async def _write(
        self,
        copy: TopicCopy,
        known: CopyProgress,
        records: Sequence[FetchedRecord],
        there: Mapping[int, int],
    ) -> int:
        """Send records, read them back, and note the chunk as done. there: where the new partitions end."""
        rows: dict[int, list[CopiedRow]] = {}
        for record in records:
            if record.error is not None:
                known.left_out += 1
                continue
            try:
                moved = copy.change(record.partition, record.key, record.value)
            except Exception as error:
                where = f"{copy.old}/{record.partition} at offset {record.offset}"
                raise CopyError(f"{where} can't be moved ({type(error).__name__})") from error
            if moved is not None:
                row = CopiedRow(record.key, moved[1], record.headers, record.timestamp_ms)
                rows.setdefault(moved[0], []).append(row)
        done = {p: max(0, end - known.ends[p]) for p, end in there.items()}
        if any(count > len(rows.get(p, ())) for p, count in done.items()):
            raise CopyError(f"{copy.new} has records that were not copied there")
        await self._send(copy, {p: found[done.get(p, 0) :] for p, found in rows.items()})
        await self._compare(copy, known, rows)
        assert known.chunk is not None
        partition, _, known.next[partition] = known.chunk
        for p, found in rows.items():
            known.ends[p] += len(found)
        known.chunk = None
        copied = len(records) - sum(done.values())
        self.copied += copied
        return copied

    async def _send(self, copy: TopicCopy, rows: Mapping[int, Sequence[CopiedRow]]) -> None:
        sent = []
        for partition, found in rows.items():
            builder: Any = None
            for row in found:
                if builder is None or not _append(builder, row):
                    if builder is not None:
                        sent.append(await self._sent(builder, copy.new, partition))
                    builder = BatchBuilder(BATCH_BYTES, SNAPPY if copy.is_changelog else 0)
                    _append(builder, row)  # a builder takes its first record, however large
            if builder is not None:
                sent.append(await self._sent(builder, copy.new, partition))
        await asyncio.gather(*sent)

    async def _sent(self, builder: Any, topic: str, partition: int) -> Any:
        builder.close()
        return await self.producer.send_batch(builder, topic, partition=partition)

    async def _compare(
        self, copy: TopicCopy, known: CopyProgress, rows: Mapping[int, Sequence[CopiedRow]]
    ) -> None:
        """Read back what was sent. Raises CopyError where it is not the same, record by record."""
        if not rows:
            return
        await self.check.assign({(copy.new, p): known.ends[p] for p in rows})
        got: dict[int, list[CopiedRow]] = {p: [] for p in rows}
        async with asyncio.timeout(SILENCE_S):
            while any(len(got[p]) < len(found) for p, found in rows.items()):
                for each in await self.check.read(CHUNK_RECORDS, READ_S):
                    row = CopiedRow(each.key, each.value, each.headers, each.timestamp_ms)
                    got[each.partition].append(row)
        for partition, found in rows.items():
            there = got[partition][: len(found)]
            for at, (row, read) in enumerate(zip(found, there, strict=True)):
                if row != read and not (row.at_ms < 0 and row[:3] == read[:3]):
                    offset = known.ends[partition] + at
                    raise CopyError(
                        f"{copy.new}/{partition} at offset {offset} is not what was copied"
                    )

    async def _read(
        self, place: Place, first: int, end: int, *, whole: bool = False
    ) -> tuple[list[FetchedRecord], int]:
        """Records from an offset on, and where they end: a chunk of them, or all before `end`."""
        if self._at != (place, first):
            await self.reader.assign({place: first})
        found: list[FetchedRecord] = []
        size, next_ = 0, first
        async with asyncio.timeout(SILENCE_S):
            while next_ < end:
                most = min(CHUNK_RECORDS - len(found), end - next_) if not whole else end - next_
                for record in await self.reader.read(max(1, most), READ_S):
                    if record.offset < end:
                        found.append(record)
                        size += len(record.value or b"")
                # Behind records, empty offsets, and what Kafka has deleted.
                next_ = min(end, max(self.reader.next_offset(place), next_))
                if not found:
                    next_ = min(end, max(next_, await self.reader.position(place)))
                if not whole and (len(found) >= CHUNK_RECORDS or size >= CHUNK_BYTES):
                    break
        is_there = self.reader.next_offset(place) <= next_
        self._at = (place, next_) if is_there else None
        return found, next_

    async def _note(self, copy: TopicCopy, known: CopyProgress) -> None:
        value, key = known.dump(), copy.old.encode()
        await self.producer.send_and_wait(self.progress_topic, value, key=key, partition=0)

    async def note_all(self, wanted: Sequence[TopicCopy]) -> None:
        """Have Kafka know that nothing is under way."""
        for copy in wanted:
            await self._note(copy, self.known[copy.old])

    async def _bounds(self, places: Sequence[Place]) -> Mapping[Place, tuple[int, int]]:
        return await asyncio.to_thread(self.bounds, places)


def _append(builder: Any, row: CopiedRow) -> bool:
    timestamp = row.at_ms if row.at_ms >= 0 else None
    headers = list(row.headers)
    return (
        builder.append(timestamp=timestamp, key=row.key, value=row.value, headers=headers)
        is not None
    )


def is_drained(offsets: Mapping[Place, Offsets]) -> bool:
    """Whether a group has committed all that its inputs hold."""
    return all(each.end == (each.committed or 0) for each in offsets.values())
