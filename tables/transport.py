"""Faust's Kafka transport, changed so that one Faust event is a whole fetch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from tables.consumed_record import UnreadableBatch
from tables.faust_internals import ConsumerInternals, replace_decoder
from tables.record_batches import FetchedBatches, PartitionReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tables.consumed_record import RecordRun

PAUSED_POLL_S = 0.02
"""How long a poll may last while something is paused: what is resumed must not wait for longer."""

replace_decoder(FetchedBatches, PartitionReader)


BULK_PARTITIONS = 2
"""Changelogs that are far behind and read at once: each of their RocksDBs takes memory meanwhile."""


class ChangelogTable(Protocol):
    """What a changelog is read into."""

    async def take(self, tp: TP, runs: Sequence[RecordRun], is_current: Callable[[], bool]) -> None:
        """Write what is due of a fetch, as long as `is_current`; never raises."""

    def is_far_behind(self, tp: TP) -> bool:
        """Whether it will take a while until the table is at this changelog's end."""


class FetchConsumer(ConsumerInternals):
    """A consumer that gives fetch-wise topics' records a (partition, fetch) at a time.

    Such a message's value is the list of aiokafka ConsumerRecords, its offset the first one's. Changelogs
    go to their tables past Faust, which would lose and mix up records around rebalances, and take
    hundreds of microseconds for each.
    """

    fetch_topics: frozenset[str] = frozenset()
    changelogs: Mapping[str, ChangelogTable] = MappingProxyType({})
    """By topic."""
    paused: frozenset[TP] = frozenset()
    """Partitions that are fetched no further for now; Faust's own set is reset by rebalances."""
    stopped: frozenset[TP] = frozenset()
    """Partitions that can't be read any further until somebody seeks beyond a batch."""
    on_unreadable: Callable[[UnreadableBatch], bool]
    """Called with a batch that can't be read. True: go on behind it; False: its partition stops."""
    positions: Callable[[], Mapping[TP, int]]
    """Where partitions are to be read from, instead of their committed offsets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeks: Counter[TP] = Counter()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield what the next poll brings; seeks and yields nothing while Faust's flow is off."""
        records, active = await self.next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or active is None or self.should_stop:
            return
        if not self.flow_active:
            try:
                await self.perform_seek()
            except Exception as exc:  # noqa: BLE001 -- as in Faust: the next assignment seeks again
                self.log.warning("seek while flow is not active: %r", exc)
            return
        seeks = self._seeks.copy()
        for tp, batch in sorted(records.items(), key=self._is_of_changelog):  # inputs do not wait
            if not batch:
                continue
            if self._is_interrupted(generation):
                break
            if tp not in active and not self.is_buffered(tp):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            unread = batch.pop() if type(batch[-1]) is UnreadableBatch else None
            if batch and tp.topic in self.fetch_topics:
                # Faust would drop what was sought again when a fetch from before the seek arrives after
                # it, and would take a gap for acknowledged.
                self.note_read(tp, batch[0].offset)
                yield tp, _fetch_message(tp, batch, generation)
            elif batch:
                is_current = partial(self._is_current, tp, generation, seeks[tp])
                await self.changelogs[tp.topic].take(tp, batch, is_current)
            if unread is not None and self._is_current(tp, generation, seeks[tp]):
                await self._handle_unreadable_batch(tp, unread)

    def is_changelog(self, topic: str) -> bool:
        """Whether a topic's records come as runs."""
        return topic in self.changelogs

    def _is_of_changelog(self, item: tuple[TP, Any]) -> bool:
        return item[0].topic in self.changelogs

    def _is_current(self, tp: TP, generation: int, seeks: int) -> bool:
        """Whether what was fetched is still what is to be read next.

        Not when a rebalance has begun or the partition was sought: it would come first, with a hole
        before it.
        """
        return not self._is_interrupted(generation) and self._seeks[tp] == seeks

    async def _handle_unreadable_batch(self, tp: TP, batch: UnreadableBatch) -> None:
        if not self.on_unreadable(batch):
            self.stopped = self.stopped.union([tp])
            return
        try:
            await self.seek_to({tp: batch.next_offset})
        except (IllegalStateError, TimeoutError) as exc:  # it is met again at the next fetch
            self.log.warning("seek behind an unreadable batch: %r", exc)

    def _is_interrupted(self, generation: int) -> bool:
        return not self.flow_active or self.app.consumer_generation_id != generation

    async def fetch(self, partitions: set[TP] | None, timeout: float) -> Any:
        """Leave paused and stopped partitions out, and changelogs whose turn it is not yet."""
        if partitions is None:
            return await super().fetch(None, timeout)
        behind = (
            tp
            for tp in partitions
            if tp.topic in self.changelogs and self.changelogs[tp.topic].is_far_behind(tp)
        )
        wanted = partitions - self.paused - self.stopped - {*sorted(behind)[BULK_PARTITIONS:]}
        if self.paused or not wanted:
            timeout = PAUSED_POLL_S
        if not wanted:  # aiokafka takes an empty set for "all"
            await asyncio.sleep(timeout)
            return {}
        return await super().fetch(wanted, timeout)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, then to the tasks' next offsets."""
        await super().perform_seek()
        await self.seek_to(self.positions())

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """Seek those partitions that are assigned. Raises TimeoutError."""
        assigned = self.assignment()
        wanted = {tp: offset for tp, offset in positions.items() if tp in assigned}
        if wanted:
            self._seeks.update(wanted.keys())
            await self.seek_wait(wanted)

    async def verify_all_partitions_active(self) -> None:
        """Leave Faust's check out: it ends the consumer where a partition's first offset is being looked up."""

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Leave this check out too: it complains of changelogs whose turn it is not yet."""


def _place(record: Any) -> tuple[str, int, int, float, int]:
    """Topic, partition, offset, time in seconds and its type."""
    at_s = record.timestamp / 1000.0
    return record.topic, record.partition, record.offset, at_s, record.timestamp_type


def _fetch_message(tp: TP, batch: list[Any], generation: int) -> ConsumerMessage:
    value = cast(Any, batch)
    at = _place(batch[0])
    return ConsumerMessage(*at, None, None, value, None, 0, 0, tp, generation_id=generation)


class FetchTransport(driver.Transport):
    """aiokafka's transport with that consumer."""

    Consumer = FetchConsumer

    def configure(
        self,
        fetch_topics: frozenset[str],
        changelogs: Mapping[str, ChangelogTable],
        positions: Callable[[], Mapping[TP, int]],
        on_unreadable: Callable[[UnreadableBatch], bool],
    ) -> None:
        """Set which topics are fetch-wise, and the table of each changelog.

        And where reading begins, and what is called where it can't go on.
        """
        attributes = {
            "fetch_topics": fetch_topics,
            "changelogs": changelogs,
            "positions": staticmethod(positions),
            "on_unreadable": staticmethod(on_unreadable),
        }
        self.Consumer = type("WorkerConsumer", (FetchConsumer,), attributes)  # type: ignore[misc,assignment]


class RawSchema(faust.Schema[Any, Any]):
    """Hands a fetch through undecoded."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Give the decoder that Faust calls for each message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return app.create_event(None, message.value, message.headers, message)

        return decode
