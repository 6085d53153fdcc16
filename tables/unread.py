"""Changelog batches that a table lacks because they could not be read, and accepted losses.

Two rows of every table, under reserved keys. UNREAD_KEY is this worker's own: what its RocksDB lacks.
ACCEPTED_KEY is in the changelog too, so that it holds for every later recovery of the partition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson
import rocksdict

if TYPE_CHECKING:
    from faust.types import TP

    from tables.fence import ProducerFence

UNREAD_KEY = b"\0unread"
ACCEPTED_KEY = b"\0accepted"


@dataclass(frozen=True, slots=True)
class UnreadBatch:
    """A batch at `offset` of the changelog; what follows it begins at `next_offset`."""

    offset: int
    next_offset: int
    error: str


def note(database: rocksdict.Rdict, offset: int, next_offset: int, error: str) -> None:
    """Remember that this database lacks a batch."""
    found = [item for item in _unread(database) if item.offset != offset]
    found.append(UnreadBatch(offset, next_offset, error))
    database[UNREAD_KEY] = orjson.dumps([asdict(item) for item in found])


def first(database: rocksdict.Rdict) -> UnreadBatch | None:
    """The first batch that is lacking and whose loss was not accepted."""
    accepted = _accepted(database)
    return next((item for item in _unread(database) if item.offset not in accepted), None)


def reread_from(database: rocksdict.Rdict, offset_key: bytes, offset: int) -> None:
    """Have the next process read the changelog from a lacking batch on."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    left = [asdict(item) for item in _unread(database) if item.offset < offset]
    batch.put(UNREAD_KEY, orjson.dumps(left))
    batch.put(offset_key, str(offset - 1).encode())
    database.write(batch)


async def accept(
    fence: ProducerFence, database: rocksdict.Rdict, offset_key: bytes, tp: TP, offset: int
) -> None:
    """Accept the loss of the batch at `offset`; durable in the changelog. Raises KafkaError."""
    value = orjson.dumps([*_accepted(database), offset])
    sent = await fence.producer.send_and_wait(
        tp.topic, key=ACCEPTED_KEY, value=value, partition=tp.partition
    )
    batch = rocksdict.WriteBatch(raw_mode=True)
    batch.put(ACCEPTED_KEY, value)
    batch.put(offset_key, str(sent.offset).encode())
    database.write(batch)


def _unread(database: Any) -> list[UnreadBatch]:
    return [UnreadBatch(**item) for item in orjson.loads(database.get(UNREAD_KEY) or b"[]")]


def _accepted(database: Any) -> list[int]:
    found: list[int] = orjson.loads(database.get(ACCEPTED_KEY) or b"[]")
    return found
