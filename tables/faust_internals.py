"""All that the project uses of the inside of Faust 0.15.3 and aiokafka 0.14, behind names of ours.

Nothing else in tables/ or app/ may use a private name of theirs: tests/unit/tables/test_faust_internals.py
finds every one, and checks that it is still there. How to move to the next versions: docs/engine.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import faust
import mode
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.app import base as faust_app
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web.base import BlueprintManager
from faust.web.drivers.aiohttp import Web
from mode.utils.logging import FileLogProxy

from tables.store_options import StoreOptions

if TYPE_CHECKING:
    import rocksdict
    from aiohttp import web
    from faust.tables.recovery import Recovery

FETCH_WAIT_MS = 200
"""How long the broker may hold a fetch that finds nothing (Faust: 1500)."""


# -- consumer ---------------------------------------------------------------------------------


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer, with a shorter wait of fetches, and changelogs decoded as runs.

    Why: requests on the same connection, as for the ends of changelogs on every rebalance, wait behind a
    fetch, and Faust has no setting for it. Without it rebalances take seconds longer. And aiokafka gives
    `PartitionRecords` nothing else of its consumer than deserializers, of which Faust uses none; without
    them a changelog would come record by record, which `FencedTable.take` can't read.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._key_deserializer = cast(ConsumerInternals, self.consumer).is_changelog
        return consumer


class ConsumerInternals(driver.Consumer):
    """Faust's consumer with what `transport.FetchConsumer` changes and asks.

    Why: Faust reads record by record and commits by itself. Should a name change, nothing is read, or
    offsets are sought, committed or left to the group wrongly.
    """

    def is_changelog(self, topic: str) -> bool:
        """Whether a topic's records come as runs."""
        raise NotImplementedError

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def next_records(
        self, timeout: float
    ) -> tuple[Mapping[TP, list[Any]] | None, set[TP] | None]:
        """Poll: records by partition, and which partitions are active; None, None when it was cut off."""
        records, active = await self._wait_next_records(timeout)
        return records, active

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        return await self.fetch(active_partitions, timeout)

    async def fetch(self, partitions: set[TP] | None, timeout: float) -> Any:
        """Ask aiokafka for records of these partitions; None means all."""
        return await super()._getmany(cast("Any", partitions), timeout)

    def is_buffered(self, tp: TP) -> bool:
        """Whether Faust holds back records of this partition: they still come though it is not active."""
        return tp in self._buffered_partitions

    def note_read(self, tp: TP, offset: int) -> None:
        """Tell Faust that this offset is being read: it drops what is not beyond its own note."""
        self._read_offset[tp] = offset

    async def fetch_committed(self, tps: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        """Ask the broker: committed offset and metadata of those that have one. Raises KafkaError.

        aiokafka's public `committed` gives no metadata.
        """
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


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """A partition's part of a fetch, decoded by `read_records`.

    Why: aiokafka raises at a batch that it can't decode, and meets it again for ever. Should a name
    change, aiokafka would decode by itself again: one broken record would stop a partition.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        is_changelog = self._key_deserializer
        return self.read_records(
            TP(*self._tp),
            self._records,
            as_runs=is_changelog is not None and is_changelog(self._tp.topic),
            check_crcs=self._check_crcs,
        )

    def read_records(
        self, tp: TP, batches: Any, *, as_runs: bool, check_crcs: bool
    ) -> Iterator[Any]:
        """Yield the records of these batches from `next_fetch_offset` on, and move it."""
        raise NotImplementedError


def replace_decoder(batches: type, records: type[PartitionRecords]) -> None:
    """Have every aiokafka consumer of this process cut and decode fetches with these classes."""
    fetcher.MemoryRecords = batches
    fetcher.PartitionRecords = records


# -- producer ---------------------------------------------------------------------------------


async def make_fenced_producer(
    app: Any, transactional_id: str, answer_timeout_ms: int
) -> tuple[AIOKafkaProducer, int, int]:
    """Raise a transactional id's epoch; gives an idempotent producer with it, its id and the epoch.

    It is not started. Raises KafkaError. answer_timeout_ms: how long to wait for one broker.

    Why: aiokafka gives an epoch only to transactional producers, whose markers Faust's recovery would
    wait for. Should a name change, two workers could write one partition.
    """
    by_faust = {**app.producer._settings_default(), **app.producer._settings_auth()}
    return await fenced_producer({**by_faust, "acks": -1}, transactional_id, answer_timeout_ms)


async def fenced_producer(
    settings: Mapping[str, Any], transactional_id: str, answer_timeout_ms: int
) -> tuple[AIOKafkaProducer, int, int]:
    """The same with aiokafka's own settings."""
    initial = AIOKafkaProducer(**settings, transactional_id=transactional_id)
    await initial.start()
    producer_id, epoch = initial._txn_manager.producer_id, initial._txn_manager.producer_epoch
    await initial.stop()
    producer = AIOKafkaProducer(**settings, enable_idempotence=True)
    producer._txn_manager.set_pid_and_epoch(producer_id, epoch)
    # A batch has the producer's whole time-out; a broker that hangs must not use it up.
    producer.client._request_timeout_ms = answer_timeout_ms
    return producer, producer_id, epoch


def append_fast(
    batch: Any, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> bool:
    """Add a record to a batch builder that has one already; False when there is no room.

    Why: BatchBuilder.append costs twice as much as the copying. Should a name change, offsets within
    a batch would be wrong, which the broker refuses.
    """
    number = batch._relative_offset
    if batch._builder.append(number, None, key, value, headers) is None:
        return False
    batch._relative_offset = number + 1
    return True


# -- tables and app ---------------------------------------------------------------------------


class TableInternals(faust.Table[Any, Any]):
    """A table that gives its RocksDBs. Why: Faust's is written only from a stream, one key at a time."""

    def _new_store_by_url(self, url: Any) -> Any:
        # Why: Faust has no names for how RocksDB compresses. Should the name change, files are larger.
        store: Any = super()._new_store_by_url(url)
        store.rocksdb_options = StoreOptions(**store.options, use_rocksdict=True)
        return store

    def database(self, partition: int) -> rocksdict.Rdict:
        """The RocksDB of a partition, opened if need be."""
        opened: rocksdict.Rdict = self.data._db_for_partition(partition)  # type: ignore[attr-defined]
        return opened

    def close_database(self, partition: int) -> None:
        """Close the RocksDB of a partition, outside of a running worker."""
        self.data._dbs.pop(partition).close()  # type: ignore[attr-defined]

    @property
    def offset_key(self) -> bytes:
        """Under which Faust keeps the last changelog offset that RocksDB holds, as decimal text.

        Should it change, recovery would read the whole changelog again, or miss its end.
        """
        key: bytes = self.data.offset_key  # type: ignore[attr-defined]
        return key

    @property
    def recovery(self) -> Recovery:
        """What Faust reads changelogs with: the partitions, and how far it notes each as recovered.

        Why: it begins to read and ends a recovery by its notes, which are ours here. Should a name
        change, a recovery would not end.
        """
        return cast(TableManager, self.app.tables).recovery

    def end_recovery(self) -> None:
        """Have Faust go on if all active changelogs are noted as recovered; call it as often as you like.

        Why: Faust looks every five seconds while nothing comes through its own queue. As Faust itself
        does, the signal is taken back: the next recovery would find it.
        """
        if self.recovery.in_recovery and not self.recovery.need_recovery():
            self.recovery.signal_recovery_end.set()
            self.recovery.signal_recovery_end.clear()

    def expect_no_events(self) -> None:
        """Keep Faust from complaining that no changelog record comes through its own queue."""
        self.recovery.event_timeout_secs = self.recovery.flush_timeout_secs = math.inf


class AppWithDataFolder(faust.App):
    """An app that creates its data folder with all folders above it; Faust's fails without them."""

    def _create_directories(self) -> None:
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        super()._create_directories()


class TablesAtOnce(TableManager):
    """Faust's tables, opened as soon as the worker starts.

    Why: Faust sleeps a second first, for tables that a module declares while it is imported late. Ours are
    declared before the app starts. Should a name change, a worker fails at its start.
    """

    async def on_start(self) -> None:
        """Register the tables' changelogs and begin to wait for partitions."""
        await self._update_channels()
        await self.recovery.start()


def end_at_once() -> None:
    """Have workers and commands of this process end when all that they had to do is done.

    Why: mode sleeps a second more between its last task and the end of the event loop, and has no
    setting for it. Should the name change, they would sleep again.
    """
    mode.Worker._sentinel_task = nothing_more  # type: ignore[method-assign,assignment]


async def nothing_more(_: mode.Worker) -> None:
    """What was scheduled by the last tasks has one round of the loop."""
    await asyncio.sleep(0)


class _NoMarks:
    """In the place of venusian."""

    @staticmethod
    def attach(_: object, *, category: str) -> None:
        """Mark nothing."""


def scan_nothing() -> None:
    """Have Faust mark no agent for its autodiscovery, which looks through nothing here.

    Why: it searches all modules for each agent's, a tenth of a start. Should the name change, it would again.
    """
    faust_app.venusian = _NoMarks  # type: ignore[attr-defined,assignment]


# -- web server and logs ----------------------------------------------------------------------


def web_application(app: faust.App) -> web.Application:
    """The worker's aiohttp application, without Faust's own pages.

    Why: those show every table to anybody. Should the name change, they would be served again.
    """
    server = app.web
    server.blueprints = BlueprintManager()
    return cast(Web, server).web_app


def serve_with(app: faust.App, runner: web.AppRunner) -> None:
    """Have the worker's web server run by this runner.

    Why: Faust has no setting for one that limits connections. Should the name change, Faust's own
    would run, without limits.
    """
    cast(Web, app.web)._runner = runner


def is_log_proxy(stream: object) -> bool:
    """Whether a worker put its log in place of this stream: a handler that writes to it loses all."""
    return isinstance(stream, FileLogProxy)
