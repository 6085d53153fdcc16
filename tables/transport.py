"""Faust's Kafka transport, changed so that one Faust event is a whole fetch.

Also here: what else of the consumer's inside the engine needs, to pause, seek, commit and leave.

Leans on Faust 0.15.3: Consumer.getmany, perform_seek, _getmany, _wait_next_records, _read_offset,
verify_all_partitions_active, _buffered_partitions, _to_message, _new_consumer_thread, _thread
(call_thread, thread_loop, _ensure_consumer, _create_worker_consumer); and on aiokafka 0.14:
AIOKafkaConsumer._fetch_max_wait_ms, _client and _coordinator (_do_heartbeat, _maybe_leave_group,
fetch_committed_offsets). See tests/unit/tables/test_faust_internals.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import faust
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from tables import record_batches
from tables.record_batches import UnreadableBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

PAUSED_POLL_S = 0.02
"""How long a poll may last while something is paused: what is resumed must not wait for longer."""
FETCH_WAIT_MS = 200
"""How long the broker may hold a fetch that finds nothing (Faust: 1500). What else is asked on the
connection, as the ends of changelogs on every rebalance, waits behind it."""


record_batches.install()


class FetchThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer; makes it with our own wait for fetches."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class FetchConsumer(driver.Consumer):
    """A consumer that gives fetch-wise topics' records a (partition, fetch) at a time.

    Such a message's value is the list of aiokafka ConsumerRecords, its offset the first one's. All
    other topics (changelogs) take Faust's own path, record by record.
    """

    fetch_topics: frozenset[str] = frozenset()
    paused: frozenset[TP] = frozenset()
    """Partitions that are fetched no further for now; Faust's own set is reset by rebalances."""
    stopped: frozenset[TP] = frozenset()
    """Partitions that can't be read any further until somebody seeks beyond a batch."""
    on_unreadable: Callable[[UnreadableBatch], bool] | None = None
    """Is told of a batch that can't be read; gives whether to go on behind it, else its partition stops."""
    positions: Callable[[], Mapping[TP, int]] | None = None
    """Where partitions are to be read from, instead of their committed offsets."""

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield what the next poll brings; seeks and yields nothing while Faust's flow is off."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or active is None or self.should_stop:
            return
        if not self.flow_active:
            try:
                await self.perform_seek()
            except Exception as exc:  # noqa: BLE001 -- as in Faust: the next assignment seeks again
                self.log.warning("seek while flow is not active: %r", exc)
            return
        for tp, batch in records.items():
            if not batch:
                continue
            if self._is_interrupted(generation):
                break
            if tp not in active and tp not in self._buffered_partitions:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            unread = batch.pop() if type(batch[-1]) is UnreadableBatch else None
            if tp.topic not in self.fetch_topics:
                for record in batch:
                    yield tp, self._to_message(tp, record)
            elif batch:
                # Lanes know what they have. Faust would drop what was sought again when a fetch
                # from before the seek arrives after it, and would take a gap for acknowledged.
                self._read_offset[tp] = batch[0].offset
                yield tp, _fetch_message(tp, batch, generation)
            if unread is not None and not self._is_interrupted(generation):
                await self._handle_unreadable_batch(tp, unread)

    async def _handle_unreadable_batch(self, tp: TP, batch: UnreadableBatch) -> None:
        if self.on_unreadable is None or not self.on_unreadable(batch):
            self.stopped = self.stopped.union([tp])
            return
        try:
            await self.seek_to({tp: batch.next_offset})
        except (IllegalStateError, TimeoutError) as exc:  # it is met again at the next fetch
            self.log.warning("seek behind an unreadable batch: %r", exc)

    def _is_interrupted(self, generation: int) -> bool:
        return not self.flow_active or self.app.consumer_generation_id != generation

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        if active_partitions is None:
            return await super()._getmany(None, timeout)
        wanted = active_partitions - self.paused - self.stopped
        if self.paused or not wanted:
            timeout = PAUSED_POLL_S
        if not wanted:  # aiokafka takes an empty set for "all"
            await asyncio.sleep(timeout)
            return {}
        return await super()._getmany(wanted, timeout)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, then to where the tasks say that they are."""
        await super().perform_seek()
        await self.seek_to(self.positions() if self.positions else {})

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """Seek those partitions that are assigned. Raises TimeoutError."""
        assigned = self.assignment()
        wanted = {tp: offset for tp, offset in positions.items() if tp in assigned}
        if wanted:
            await self.seek_wait(wanted)

    def pause(self, tps: Iterable[TP]) -> None:
        """Fetch no more of these until `unpause`; other partitions go on."""
        self.paused = self.paused.union(tps)

    def unpause(self, tps: Iterable[TP]) -> None:
        """Fetch these again."""
        self.paused = self.paused.difference(tps)

    async def verify_all_partitions_active(self) -> None:
        """Leave Faust's check for stalled partitions out: the engine's own watch tells of those.

        Faust's takes down the consumer when it meets a partition whose first offset is being looked up.
        """

    async def fetch_committed(self, tps: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        """Ask the broker: committed offset and metadata of those that have one. Raises KafkaError."""
        thread = self._thread
        coordinator = thread._ensure_consumer()._coordinator
        wanted = [TopicPartition(*tp) for tp in tps]
        found = await thread.call_thread(coordinator.fetch_committed_offsets, wanted)
        return {
            TP(tp.topic, tp.partition): (committed.offset, committed.metadata)
            for tp, committed in found.items()
            if committed.offset >= 0
        }

    async def commit_positions(self, positions: Mapping[TP, tuple[int, str]]) -> bool:
        """Commit offsets with metadata. False when a rebalance came first; raises KafkaError."""
        thread = self._thread
        offsets = {
            TopicPartition(*tp): OffsetAndMetadata(offset, metadata)
            for tp, (offset, metadata) in positions.items()
        }
        try:
            await thread.call_thread(thread._ensure_consumer().commit, offsets)
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    async def refresh_metadata(self) -> None:
        """Learn of topics made since; the group rebalances when there are any."""
        client = self._thread._ensure_consumer()._client
        await self._thread.call_thread(client.force_metadata_update)

    async def is_member(self) -> bool:
        """Ask the broker with a heartbeat whether this generation is still the group's."""
        thread = self._thread
        coordinator = thread._ensure_consumer()._coordinator
        return bool(await thread.call_thread(coordinator._do_heartbeat))

    def leave_group(self, timeout_s: float) -> None:
        """Leave at once, so that the others need not wait out our session; blocks, never raises."""
        try:
            thread = self._thread
            leaving = thread._ensure_consumer()._coordinator._maybe_leave_group()
            asyncio.run_coroutine_threadsafe(leaving, thread.thread_loop).result(timeout_s)
        except BaseException as exc:  # noqa: BLE001 -- the process is about to exit whatever happens
            self.log.warning("could not leave the group: %r", exc)


def _fetch_message(tp: TP, batch: list[Any], generation: int) -> ConsumerMessage:
    first = batch[0]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        first.offset,
        first.timestamp / 1000.0,
        first.timestamp_type,
        None,
        None,
        cast(Any, batch),
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )


class FetchTransport(driver.Transport):
    """aiokafka's transport with that consumer."""

    Consumer = FetchConsumer

    def configure(
        self,
        fetch_topics: frozenset[str],
        positions: Callable[[], Mapping[TP, int]],
        on_unreadable: Callable[[UnreadableBatch], bool],
    ) -> None:
        """Say which topics are fetch-wise, where reading goes on, and who is told where it can't."""
        attributes = {
            "fetch_topics": fetch_topics,
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
