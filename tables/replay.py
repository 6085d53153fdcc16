"""Decides recorded inputs of one service again, in memory, by the engine's own code; nothing is sent."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from models.levels import LevelHistory
from models.transition import Output
from tables.dead_letters import DeadLetterRecord
from tables.limits import Counters, Limits
from tables.processor import Processor
from tables.retention import due_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from models.transition import TransitionService

OutputList = list[Output | DeadLetterRecord]
NO_LEVELS = LevelHistory()
Writes = list[tuple[bytes, bytes]]


class Replay:
    """One service in one partition, from one claim of its table to the next.

    stored: what its table holds, records and rows; the methods change it as the engine would.
    """

    def __init__(
        self,
        service: TransitionService,
        stored: dict[bytes, bytes],
        *,
        epoch: int,
        done: Mapping[str, int],
        dead_letter_topic: str,
        limits: Limits | None = None,
        readers: Mapping[str, Collection[str]] = MappingProxyType({}),
        levels: LevelHistory = NO_LEVELS,
    ) -> None:
        """done: topic -> last offset whose outputs are known to have left. readers: topic -> its readers.

        levels: the platform's; each input is decided at that of its time.
        """
        self.stored = stored
        self.processor: Processor[OutputList] = Processor(
            service,
            stored.get,
            list,
            epoch=epoch,
            durable_offsets=done,
            limits=limits or Limits(),
            counters=Counters(),
            dead_letter_topic=dead_letter_topic,
            readers=readers,
            levels=lambda: levels,
        )

    def step(self, inputs: Sequence[Any]) -> tuple[Writes, OutputList]:
        """Decide ConsumerRecords together; gives what is written to the changelog, and what is sent."""
        for each in inputs:
            taken = self.processor.process(each.topic, (each,))
            assert taken == 1, "a commit batch has room for what one of them took"
        return self._commit()

    def pack_ended(self) -> Writes:
        """What is written once all outputs have left, each second: ended records, packed."""
        self.processor.pack_ended()
        return self._commit()[0]

    def retain(self, key: bytes, at_ms: int) -> Writes:
        """What is written of an ended record at a time, where something of it is due; at most one."""
        self.processor.retain(key, at_ms, due_of(self.stored[key]))
        return self._commit()[0]

    def _commit(self) -> tuple[Writes, OutputList]:
        group, records = self.processor.close_commit_batch()
        writes = [*group.rows.items(), *records]
        self.stored.update(writes)
        self.processor.trim_cache()
        self.processor.advance()
        return writes, group.outputs
