"""How far a table has come: its progress row, and what is shown of each input.

The row lies under a reserved key, in the changelog and in RocksDB like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

PROGRESS_KEY = b"\0progress"


@dataclass(frozen=True, slots=True)
class TableProgress:
    """The row. cluster: its id; topics: name -> id, of the inputs and the changelog.

    offsets: input topic -> last offset whose state and outputs are durable (-1: none yet).
    """

    cluster: str
    topics: Mapping[str, str]
    offsets: Mapping[str, int]

    @classmethod
    def load(cls, raw: bytes | None) -> TableProgress | None:
        """Read the row; None when the table has none. Raises ValueError, TypeError for another's."""
        if raw is None:
            return None
        progress = cls(**orjson.loads(raw))
        topics, offsets = progress.topics, progress.offsets
        if not isinstance(topics, dict) or not isinstance(offsets, dict):
            raise TypeError("topics and offsets must be objects")
        if any(type(offset) is not int for offset in offsets.values()):
            raise TypeError("offsets must be whole numbers")
        return progress

    def dump(self) -> bytes:
        """The row as it is stored."""
        return orjson.dumps(
            {"cluster": self.cluster, "topics": self.topics, "offsets": self.offsets}
        )


@dataclass(frozen=True, slots=True)
class InputPosition:
    """How far a service has come in one input partition.

    next_offset: the next it takes; durable_offset: the last one whose state and outputs are durable;
    committed: the group's offset as this worker last committed it; waiting, in_flight: inputs of the
    whole task.
    """

    service: str
    topic: str
    partition: int
    next_offset: int
    durable_offset: int
    committed: int | None
    waiting: int
    in_flight: int
    paused: bool
