"""Generations of a platform's topics: each has a partition count, and topics, group and tables of its own.

The first has the topics' own names. `faust -A app partitions raise` makes the next (docs/how-to/partitions.md).
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from models.fields import Timestamp
from models.messages import Message
from models.topics import TOPICS
from models.wording import counted

_SUFFIX: Final = re.compile(r"\.g[0-9]+$")


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation. number: from 1. partitions: of its topics and tables.

    But of those topics that have a partition count of their own, which are the same in all.
    """

    number: int
    partitions: int

    @property
    def count(self) -> str:
        """The partitions in words."""
        return counted(self.partitions, "partition", "partitions")

    @property
    def suffix(self) -> str:
        """What the names of its topics, its group and its tables' folder end with; "" for the first."""
        return "" if self.number == 1 else f".g{self.number}"

    def group(self, app_id: str) -> str:
        """The workers' consumer group, and what the names of its changelogs begin with."""
        return f"{app_id}{self.suffix}"

    def changelog(self, app_id: str, service: str) -> str:
        """The changelog of a service's table, as Faust names it."""
        return f"{self.group(app_id)}-{service}-changelog"

    def folder(self, data_dir: Path) -> Path:
        """Where a worker keeps its tables."""
        return data_dir / self.suffix.removeprefix(".") if self.suffix else data_dir

    def topic(self, name: str) -> str:
        """Kafka's name of a topic; one with a partition count of its own is the same in all generations."""
        known = TOPICS.get(name)
        return name if known is None or known.partitions else f"{name}{self.suffix}"


@functools.cache
def base_topic(name: str) -> str:
    """A topic's own name, of its name in Kafka."""
    return _SUFFIX.sub("", name)


class RaiseState(StrEnum):
    """How far a generation has come.

    COPYING: its topics are filled while the one before serves. PAUSED: no writes are taken, what is left is
    copied. SERVING: it is the platform's. ABANDONED: it was undone before it served.
    """

    COPYING = "COPYING"
    PAUSED = "PAUSED"
    SERVING = "SERVING"
    ABANDONED = "ABANDONED"


Offset = Annotated[int, msgspec.Meta(ge=0)]


class TopicHandover(Message):
    """Where a topic goes on.

    ends: partition -> where the old topic ends for good. begins: partition of the new topic -> its first record
    that is no copy.
    """

    old_topic: str
    new_topic: str
    ends: tuple[Offset, ...]
    begins: tuple[Offset, ...]


class PartitionsState(Message):
    """One record of `platform-partitions`: what became of a generation. The last SERVING one counts.

    topics: with SERVING, where each topic goes on, by the topic's own name.
    """

    state: RaiseState
    generation: Annotated[int, msgspec.Meta(ge=1)]
    partitions: Annotated[int, msgspec.Meta(ge=1)]
    at: Timestamp
    topics: Mapping[str, TopicHandover] = {}
