"""A table that only partition tasks write, and that is recovered from its changelog without holes.

Between the consumer and the table Faust loses and mixes up records around rebalances: it clears its queue,
goes on with what was fetched before, notes the offset of a record as recovered before that record is
written, and takes records of partitions that were revoked. A RocksDB that lacks a record looks whole, and
what is decided upon it overwrites what it lacks. So a record is written only if it is the next one that this
RocksDB is due, and what is missing is read again.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka.errors import KafkaError

from tables.changelog import behind_unread, is_engine_record
from tables.faust_internals import TableInternals
from tables.transport import GapMessage

if TYPE_CHECKING:
    from collections import Counter

    from faust.types import TP, EventT

    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")

REREAD_INTERVAL_S = 1.0
"""Until what is still missing is asked for again: what is in Faust's queue comes first."""
LOST_END_S = 3.0
"""Without a record, although the consumer has passed some, until those are taken as lost."""


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
        self._quiet: dict[TP, tuple[int, float]] = {}

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After Faust has opened the databases."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        # What came since the last write comes again. Faust goes by RocksDB, and by its notes where that is
        # empty.
        for tp in self._next_offsets:
            self._forget_note(tp)
        self._pending, self._next_offsets = [], {}
        self._reread_at_s.clear()
        await self.hooks.on_table_assigned(self.name, generation_id)

    async def on_changelog_event(self, event: EventT[Any]) -> None:
        """Take a record that Faust has noted as recovered, to be written with the next batch, if it is due."""
        message = event.message
        tp = message.tp
        if not self._is_assigned(tp):
            self._forget_note(tp)  # of a record that Faust gave to the table of the record before
            return
        due = self._due(tp)
        if message.offset < due:
            return
        first = message.first if isinstance(message, GapMessage) else message.offset
        if first > due:
            self._notes(tp)[tp] = due - 1
            if not await self._may_skip(tp, due, first):
                return
            self._notes(tp)[tp] = message.offset
        self._pending.append(event)
        self._next_offsets[tp] = message.offset + 1

    def apply_changelog_batch(self, _: Any) -> None:
        """Write what was taken, without records that the engine did not write.

        And without what RocksDB has got meanwhile: a task that is open writes there too.
        """
        batch, reached = self._pending, self._next_offsets
        self._pending, self._next_offsets = [], {}
        try:
            due = {tp: self._due(tp) for tp in reached}
            messages = [event.message for event in batch]
            new = [at for at, message in enumerate(messages) if message.offset >= due[message.tp]]
            ours = [at for at in new if is_engine_record(messages[at].key, messages[at].value)]
            gaps = sum(isinstance(messages[at], GapMessage) for at in new)
            self.hooks.on_foreign_records(self.name, len(new) - len(ours) - gaps)
            super().apply_changelog_batch([batch[at] for at in ours])
            for tp, next_offset in reached.items():  # what was left out is not due again
                if next_offset > due[tp]:
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
        """Read last records again that did not come; call it each second or so.

        Only a record behind them would show that they were lost, and Faust waits for them without end.
        Here the consumer's position does. While Faust's flow is off, its assignment may be an earlier one,
        and a RocksDB closed.
        """
        topic, recovery = self.changelog_topic.get_topic_name(), self.recovery
        before, self._quiet = self._quiet, {}
        if not self._consumer.flow_active:
            return
        read = {*recovery.standby_tps, *(recovery.active_tps if recovery.in_recovery else ())}
        now_s = time.monotonic()
        for tp in read & self._consumer.assignment():
            if tp.topic != topic:
                continue
            due = self._due(tp)
            known, since_s = before.get(tp, (due, now_s))
            self._quiet[tp] = (due, since_s if known == due else now_s)
        for tp, (due, since_s) in list(self._quiet.items()):
            if now_s - since_s >= LOST_END_S and (self._consumer.highwater(tp) or 0) > due:
                await self._reread_passed(tp, due)

    async def _reread_passed(self, tp: TP, due: int) -> None:
        """Read on at `due` if the consumer has passed it."""
        try:
            position = await self._consumer.position(tp) or 0
        except KafkaError:
            return  # a rebalance has begun
        if position > due and self._consumer.flow_active and self._is_due(tp, due):
            await self._reread(tp, due)

    def _is_assigned(self, tp: TP) -> bool:
        return tp in self.recovery.active_tps or tp in self.recovery.standby_tps

    def _due(self, tp: TP) -> int:
        """The next offset to take."""
        if tp in self._next_offsets:
            return self._next_offsets[tp]
        have = self.data.persisted_offset(tp)
        return 0 if have is None else have + 1

    def _is_due(self, tp: TP, offset: int) -> bool:
        """Whether this is still the next offset to take, after something was waited for."""
        return self._is_assigned(tp) and self._due(tp) == offset

    def _notes(self, tp: TP) -> Counter[TP]:
        """How far Faust has noted changelogs as recovered; it ends a recovery by that."""
        is_active = tp in self.recovery.active_tps
        return self.recovery.active_offsets if is_active else self.recovery.standby_offsets

    def _forget_note(self, tp: TP) -> None:
        self.recovery.active_offsets.pop(tp, None)
        self.recovery.standby_offsets.pop(tp, None)

    async def _may_skip(self, tp: TP, due: int, first: int) -> bool:
        """Whether Kafka has nothing that can be read from `due` to before `first`; else that is read again."""
        if behind_unread(self.database(tp.partition), due) >= first:
            return True
        if time.monotonic() - self._reread_at_s.get(tp, -math.inf) < REREAD_INTERVAL_S:
            return False  # on its way
        try:
            earliest = (await self._consumer.earliest_offsets(tp))[tp]
        except (KafkaError, TimeoutError):
            return False
        if not self._is_due(tp, due):
            return False
        if earliest < first:
            await self._reread(tp, due)
            return False
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due, "next_offset": first}
        LOG.error("records were deleted from a changelog; the table lacks them", extra=extra)
        return True

    async def _reread(self, tp: TP, due: int) -> None:
        """Read on at `due`: Faust lost records between the consumer and here."""
        self._notes(tp)[tp] = due - 1
        self._reread_at_s[tp] = time.monotonic()
        extra = {"topic": tp.topic, "partition": tp.partition, "offset": due}
        LOG.warning("records of a changelog were left out; reading them again", extra=extra)
        try:
            await self._consumer.seek_to({tp: due})
        except (KafkaError, TimeoutError) as exc:  # a rebalance, or Kafka away: tried again
            LOG.warning("seek in a changelog failed", extra={"error": type(exc).__name__})

    @property
    def _consumer(self) -> FetchConsumer:
        return cast("FetchConsumer", self.app.consumer)
