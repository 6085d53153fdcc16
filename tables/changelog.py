"""The engine's own rows in a changelog and in RocksDB, and which records of a changelog it wrote.

PROGRESS_KEY holds a table's progress, FENCE_KEY its last fence, RETAINED_KEY how far ended records have been
gone through (tables/retention.py), KEYED_KEY the numbers of outputs with keys of their own
(tables/keyed_outputs.py). UNREAD_KEY is this worker's own: changelog
batches that its RocksDB lacks because they could not be read. ACCEPTED_KEY has the losses that were
accepted; it is in the changelog too, so that it holds for every later recovery of the partition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import rocksdict

from models.levels import OLDEST
from tables.cluster import ClusterIds
from tables.keyed_outputs import KEYED_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import AIOKafkaProducer
    from faust.types import TP

    from tables.table_index import TableIndex

FENCE_KEY = b"\0claim"
PROGRESS_KEY = b"\0progress"
UNREAD_KEY = b"\0unread"
ACCEPTED_KEY = b"\0accepted"
RETAINED_KEY = b"\0retained"
RECORD_PREFIX = re.compile(
    rb'\{("terminal":true,)?("packed":\d+[,}]|"schemaVersion":\d+,"version":\d+,"epoch":-?\d+,"state":)'
)
"""How everything that `Record.dump` wrote begins."""
AT_LEVEL = re.compile(r"(?P<cluster>.*) at level (?P<level>\d{1,9}), which needs a newer build")


@dataclass(frozen=True, slots=True)
class TableProgress(ClusterIds):
    """The row of a table's progress, with the ids of its inputs and its changelog.

    offsets: input topic -> last offset whose state and outputs are durable (-1: none yet). level: the
    platform's when it was written. From the second on it stands with the cluster's id, so that release 0.1.0,
    which knows of no levels, takes the table for another cluster's and ends, with both named.
    """

    offsets: Mapping[str, int]
    level: int = OLDEST

    @classmethod
    def load(cls, raw: bytes | None) -> TableProgress | None:
        """Read the row; None when the table has none. Raises ValueError, KeyError, TypeError for another's."""
        if raw is None:
            return None
        stored = orjson.loads(raw)
        cluster, topics, offsets = stored["cluster"], stored["topics"], stored["offsets"]
        if not isinstance(topics, dict) or not isinstance(offsets, dict):
            raise TypeError("topics and offsets must be objects")
        if any(type(offset) is not int for offset in offsets.values()):
            raise TypeError("offsets must be whole numbers")
        at_level = AT_LEVEL.fullmatch(cluster)
        if at_level is None:
            return cls(cluster, topics, offsets)
        return cls(at_level["cluster"], topics, offsets, int(at_level["level"]))

    def dump(self) -> bytes:
        """The row as it is stored."""
        cluster = self.cluster
        if self.level > OLDEST:
            cluster += f" at level {self.level}, which needs a newer build"
        return orjson.dumps({"cluster": cluster, "topics": self.topics, "offsets": self.offsets})


def write_rows(
    database: rocksdict.Rdict,
    rows: Sequence[tuple[bytes, bytes]],
    offset_key: bytes,
    changelog_offset: int | None,
    index: TableIndex | None = None,
) -> None:
    """Write rows, their index, and the changelog offset that they reach, if known, in one write batch."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in rows:
        batch.put(key, value)
    if index is not None:
        index.add_changes(batch, database, rows, offset_key, changelog_offset)
    if changelog_offset is not None:
        batch.put(offset_key, str(changelog_offset).encode())
    database.write(batch)


def is_engine_record(key: bytes | None, value: bytes | None) -> bool:
    """Whether a changelog record can be one that the engine wrote; others would overwrite or delete state.

    Nothing is ever deleted. A service's rows are its own business; their keys have a slash.
    """
    if key and value is not None and key.isascii() and key[0] and b"/" in key:
        return not key.startswith(b"__faust")  # as most are, sooner than by what follows
    if not key or value is None or key.startswith(b"__faust"):
        return False
    try:
        key.decode()
        if key == PROGRESS_KEY:
            return TableProgress.load(value) is not None
        if key == ACCEPTED_KEY:
            accepted = orjson.loads(value)
            return isinstance(accepted, list) and all(type(offset) is int for offset in accepted)
    except (KeyError, TypeError, ValueError):  # of UTF-8 and JSON too
        return False
    if key[0] == 0:
        return key in {FENCE_KEY, RETAINED_KEY, KEYED_KEY}
    return b"/" in key or RECORD_PREFIX.match(value) is not None


@dataclass(frozen=True, slots=True)
class UnreadBatch:
    """A batch at `offset` of the changelog; what follows it begins at `next_offset`."""

    offset: int
    next_offset: int
    error: str


def note_unread(database: rocksdict.Rdict, batch: UnreadBatch) -> None:
    """Remember that this database lacks a batch."""
    others = [item for item in _unread(database) if item.offset != batch.offset]
    database[UNREAD_KEY] = orjson.dumps([*others, batch])


def first_unread(database: rocksdict.Rdict) -> UnreadBatch | None:
    """The first batch that is lacking and whose loss was not accepted."""
    accepted = _accepted(database)
    return next((item for item in _unread(database) if item.offset not in accepted), None)


def behind_unread(database: rocksdict.Rdict, offset: int) -> int:
    """Where reading goes on at an offset: behind the batches that could not be read, if there are any."""
    behind = {item.offset: item.next_offset for item in _unread(database)}
    while offset in behind:
        offset = behind[offset]
    return offset


def reread_from(
    database: rocksdict.Rdict, offset_key: bytes, offset: int, index: TableIndex | None
) -> None:
    """Have the next process read the changelog from a lacking batch on."""
    left = [item for item in _unread(database) if item.offset < offset]
    write_rows(database, [(UNREAD_KEY, orjson.dumps(left))], offset_key, offset - 1, index)


async def accept_loss(
    producer: AIOKafkaProducer,
    database: rocksdict.Rdict,
    offset_key: bytes,
    tp: TP,
    offset: int,
    index: TableIndex | None,
) -> None:
    """Accept the loss of the batch at `offset`; durable in the changelog. Raises KafkaError."""
    value = orjson.dumps([*_accepted(database), offset])
    sent = await producer.send_and_wait(
        tp.topic, key=ACCEPTED_KEY, value=value, partition=tp.partition
    )
    write_rows(database, [(ACCEPTED_KEY, value)], offset_key, sent.offset, index)


def _unread(database: Any) -> list[UnreadBatch]:
    return [UnreadBatch(**item) for item in orjson.loads(database.get(UNREAD_KEY) or b"[]")]


def _accepted(database: Any) -> list[int]:
    found: list[int] = orjson.loads(database.get(ACCEPTED_KEY) or b"[]")
    return found
