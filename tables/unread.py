"""Changelog batches that a table lacks because they could not be read, and those an operator accepted.

Two rows of every table, under reserved keys. UNREAD is this worker's own: what its RocksDB lacks.
ACCEPTED is in the changelog too, so that whoever recovers the partition later knows of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson
import rocksdict

if TYPE_CHECKING:
    from faust.types import TP

    from tables.fence import Claim

UNREAD = b"\0unread"
ACCEPTED = b"\0accepted"


@dataclass(frozen=True, slots=True)
class Unread:
    """A batch at `offset` of the changelog; what follows it begins at `next_offset`."""

    offset: int
    next_offset: int
    error: str


def note(database: rocksdict.Rdict, offset: int, next_offset: int, error: str) -> None:
    """Remember that this database lacks a batch."""
    found = [item for item in _unread(database) if item.offset != offset]
    found.append(Unread(offset, next_offset, error))
    database[UNREAD] = orjson.dumps([asdict(item) for item in found])


def first(database: rocksdict.Rdict) -> Unread | None:
    """The first batch that is lacking and that nobody accepted as lost."""
    accepted = _accepted(database)
    return next((item for item in _unread(database) if item.offset not in accepted), None)


def read_again(database: rocksdict.Rdict, offset_key: bytes, offset: int) -> None:
    """Have the next process read the changelog from a lacking batch on."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    left = [asdict(item) for item in _unread(database) if item.offset < offset]
    batch.put(UNREAD, orjson.dumps(left))
    batch.put(offset_key, str(offset - 1).encode())
    database.write(batch)


async def accept(
    claim: Claim, database: rocksdict.Rdict, offset_key: bytes, tp: TP, offset: int
) -> None:
    """Accept the loss of the batch at `offset`; durable in the changelog. Raises KafkaError."""
    value = orjson.dumps([*_accepted(database), offset])
    sent = await claim.producer.send_and_wait(
        tp.topic, key=ACCEPTED, value=value, partition=tp.partition
    )
    batch = rocksdict.WriteBatch(raw_mode=True)
    batch.put(ACCEPTED, value)
    batch.put(offset_key, str(sent.offset).encode())
    database.write(batch)


def _unread(database: Any) -> list[Unread]:
    return [Unread(**item) for item in orjson.loads(database.get(UNREAD) or b"[]")]


def _accepted(database: Any) -> list[int]:
    found: list[int] = orjson.loads(database.get(ACCEPTED) or b"[]")
    return found
