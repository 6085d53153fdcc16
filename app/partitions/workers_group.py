"""Waits for the workers: until they have decided all that there is, or have opened all partitions."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from app.kafka.reader import KafkaReader
from app.partitions.copying import is_drained
from models.errors import KafkaUnavailableError
from models.wording import counted

DRAIN_S: Final = 30.0
STARTED_S: Final = 300.0
CLOSE_RECORDS: Final = 2000
"""That a partition of an input may have undecided when writes are paused: done within a second."""
POLL_S: Final = 0.2


class RaiseError(Exception):
    """It can't go on; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class WorkersGroup:
    """The consumer group of one generation's workers. inputs: topics that they read, by their own names."""

    kafka: KafkaReader
    group: str
    inputs: Sequence[str]
    partitions: int

    async def wait_until_drained(self) -> None:
        """Wait until all inputs are committed to their ends: what follows from them is in Kafka then.

        Raises RaiseError, and KafkaUnavailableError.
        """
        until_s = time.monotonic() + DRAIN_S
        while True:
            # Kafka is asked for the commits first, then for the ends: so both held at one moment.
            offsets = await self.kafka.offsets(self.group, self.inputs, self.partitions)
            if is_drained(offsets):
                return
            if time.monotonic() > until_s:
                behind = next(
                    place for place, at in offsets.items() if at.end != (at.committed or 0)
                )
                raise RaiseError(
                    f"{behind[0]}/{behind[1]} is not decided to its end within {DRAIN_S:g} s; writes are "
                    "taken again. Are all workers running, and is no partition stopped (`faust -A app lag`)?"
                )
            await asyncio.sleep(POLL_S)

    async def wait_until_close(self) -> None:
        """Wait until little is left to decide, before writes are paused for the rest.

        Raises RaiseError, and KafkaUnavailableError.
        """
        until_s = time.monotonic() + DRAIN_S
        while True:
            offsets = await self.kafka.offsets(self.group, self.inputs, self.partitions)
            place, behind = max(
                ((place, at.end - (at.committed or 0)) for place, at in offsets.items()),
                key=lambda each: each[1],
            )
            if behind <= CLOSE_RECORDS:
                return
            if time.monotonic() > until_s:
                raise RaiseError(
                    f"{place[0]}/{place[1]} is behind by {counted(behind, 'record', 'records')}: writes "
                    "were not paused. Are all workers running, is no partition stopped (`faust -A app lag`)?"
                )
            await asyncio.sleep(POLL_S)

    async def wait_until_opened(self) -> bool:
        """Wait until all partitions are open, so that something is committed of each; False: not in time."""
        until_s = time.monotonic() + STARTED_S
        while time.monotonic() < until_s:
            with suppress(KafkaUnavailableError):
                offsets = await self.kafka.offsets(self.group, self.inputs, self.partitions)
                if all(at.committed is not None for at in offsets.values()):
                    return True
            await asyncio.sleep(POLL_S)
        return False
