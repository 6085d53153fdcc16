"""A table that only partition tasks write, and that is recovered from its changelog without holes.

Between the consumer and the table Faust loses and mixes up records around rebalances: it clears its queue,
goes on with what was fetched before, notes the offset of a record as recovered before that record is
written, and takes records of partitions that were revoked. A RocksDB that lacks a record looks whole, and
what is decided upon it overwrites what it lacks. So a record is written only if it is the next one that this
RocksDB is due, and what is missing is read again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka.errors import KafkaError

from tables.changelog import behind_unread, is_engine_record
from tables.faust_internals import TableInternals
from tables.transport import GapMessage

if TYPE_CHECKING:
    from faust.types import TP, EventT

    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")

REREAD_INTERVAL_S = 1.0
"""Until what is still missing is asked for again: what was fetched before comes first."""


class TableHooks(Protocol):
    """What is called of a table's life; all give the table's name."""

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """Its databases are open, nothing is recovered yet."""

    def on_foreign_records(self, name: str, count: int) -> None:
        """So many records of the changelog were left out: no engine wrote them."""

    def on_recovery_failed(self, name: str, exc: BaseException) -> None:
        """What was recovered could not be written."""

    async def on_table_recovered(self, name: str) -> None:
        """It is at its changelog's end."""

    async def stop(self) -> None:
        """The worker ends."""


class FencedTable(TableInternals):
    """A table that only partition tasks write: it recovers nothing else from the changelog."""

    hooks: TableHooks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pending: list[EventT[Any]] = []
        self._next_offsets: dict[TP, int] = {}
        self._reread_at_s: dict[TP, float] = {}
        self._due_before: dict[TP, int] = {}

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After Faust has opened the databases."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        # What came since the last write comes again: Faust goes by RocksDB where it has no note.
        for tp in self._next_offsets:
            self.recovery.revoke(tp)
        self._pending, self._next_offsets = [], {}
        self._reread_at_s.clear()
        await self.hooks.on_table_assigned(self.name, generation_id)

    async def on_changelog_event(self, event: EventT[Any]) -> None:
        """Take a record that Faust has noted as recovered, to be written with the next batch, if it is due."""
        message = event.message
        tp = message.tp
        if not self._is_assigned(tp):
            self.recovery.revoke(tp)  # Faust gives it to the table of the record before
            return
        due = self._due(tp)
        if message.offset < due:
            return
        first = message.first if isinstance(message, GapMessage) else message.offset
        if first > due:
            is_lost = await self._is_lost(tp, due, first)
            if not self._is_assigned(tp) or self._due(tp) != due:
                return  # a rebalance came meanwhile: it is read again
            if not is_lost:
                await self._reread(tp, due)
                return
        self._pending.append(event)
        self._next_offsets[tp] = message.offset + 1

    def apply_changelog_batch(self, _: Any) -> None:
        """Write what was taken, without records that the engine did not write."""
        batch, reached = self._pending, self._next_offsets
        self._pending, self._next_offsets = [], {}
        try:
            ours = [
                event for event in batch if is_engine_record(event.message.key, event.message.value)
            ]
            gaps = sum(event.message.key is event.message.value is None for event in batch)
            self.hooks.on_foreign_records(self.name, len(batch) - len(ours) - gaps)
            super().apply_changelog_batch(ours)
            for tp, next_offset in reached.items():  # what was left out is not due again
                self.data.set_persisted_offset(tp, next_offset - 1)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the table would not be whole
            self.hooks.on_recovery_failed(self.name, exc)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Before Faust seeks to where reading begins."""
        await super().on_recovery_completed(active_tps, standby_tps)
        await self.hooks.on_table_recovered(self.name)

    async def stop(self) -> None:
        """On shutdown partitions are not revoked first."""
        await self.hooks.stop()
        await super().stop()

    async def reread_lost_ends(self) -> None:
        """During a recovery, read last records again that did not come; call it each second or so.

        Only a record behind them would show that they were lost, and Faust waits for them without end.
        Here the consumer's position shows it, when nothing has come since the last call.
        """
        topic, before = self.changelog_topic.get_topic_name(), self._due_before
        self._due_before = {}
        if not self.recovery.in_recovery:
            return
        for tp in [tp for tp in self.recovery.active_tps if tp.topic == topic]:
            due = self._due_before[tp] = self._due(tp)
            try:
                if before.get(tp) == due and (await self._consumer.position(tp) or 0) > due:
                    await self._reread(tp, due)
            except KafkaError:
                LOG.debug("no position in a changelog, a rebalance has begun")

    def _is_assigned(self, tp: TP) -> bool:
        return tp in self.recovery.active_tps or tp in self.recovery.standby_tps

    def _due(self, tp: TP) -> int:
        """The next offset to take."""
        if tp in self._next_offsets:
            return self._next_offsets[tp]
        have = self.data.persisted_offset(tp)
        return 0 if have is None else have + 1

    async def _is_lost(self, tp: TP, due: int, first: int) -> bool:
        """Whether Kafka has nothing, or nothing that can be read, from `due` to before `first`."""
        if behind_unread(self.database(tp.partition), due) >= first:
            return True
        try:
            earliest = (await self._consumer.earliest_offsets(tp))[tp]
        except (KafkaError, TimeoutError):
            return False
        if earliest < first:
            return False
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due, "next_offset": first}
        LOG.error("records were deleted from a changelog; the table lacks them", extra=extra)
        return True

    async def _reread(self, tp: TP, due: int) -> None:
        """Read on at `due`: Faust lost records between the consumer and here."""
        recovery = self.recovery
        notes = recovery.active_offsets if tp in recovery.active_tps else recovery.standby_offsets
        notes[tp] = due - 1
        now_s = time.monotonic()
        if now_s - self._reread_at_s.get(tp, -REREAD_INTERVAL_S) < REREAD_INTERVAL_S:
            return
        self._reread_at_s[tp] = now_s
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due}
        LOG.warning("records of a changelog were left out; reading them again", extra=extra)
        try:
            await self._consumer.seek_to({tp: due})
        except (KafkaError, TimeoutError) as exc:  # a rebalance, or Kafka away: tried again
            LOG.warning("seek in a changelog failed", extra={"error": type(exc).__name__})

    @property
    def _consumer(self) -> FetchConsumer:
        return cast("FetchConsumer", self.app.consumer)
