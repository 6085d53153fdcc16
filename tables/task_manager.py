"""Runs the partition tasks of all services of a worker: fences, opens, commits, drains and closes them.

All services share one consumer group, and Faust awaits tables one after another. So what concerns them
together is done here, once for all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faust.types import TP

from models.levels import LevelHistory
from tables import fence
from tables.changelog import PROGRESS_KEY, TableProgress
from tables.gap_repair import GapRepair
from tables.hosted_service import Committer, Feeder
from tables.identity import IdentityCheck
from tables.partition_task import PartitionTask, TaskContext
from tables.recovery_progress import RecoveryWatch
from tables.stops import PartitionStops
from tables.worker_exit import FAILURES_FILE, RecoveryError, WorkerExit

if TYPE_CHECKING:
    from collections.abc import Callable

    import faust

    from tables.cluster import ClusterReader
    from tables.commit_batch import CommitReport
    from tables.hosted_service import HostedService, HostedServices
    from tables.limits import Limits

LOG = logging.getLogger("tiffin.engine")

FENCING_SESSION_FRACTION = 0.8
DRAIN_SESSION_FRACTION = 0.5
INSPECT_TIMEOUT_S = 5.0


class TaskManager:
    """Manages the tasks of a worker. Everything runs on the app's event loop.

    stops: where reading can't go on. recovery: how far the tables are. is_assignment_complete: no topic
    was left out when partitions were assigned. retention_clock_ms: the time by which ended records are swept,
    in milliseconds since the epoch; None while it is not known, and then nothing goes. levels: the platform's.
    """

    def __init__(
        self,
        app: faust.App,
        services: HostedServices,
        *,
        reader: ClusterReader,
        dead_letter_topic: str,
        limits: Limits,
        topic_name: Callable[[str], str],
    ) -> None:
        self._exit = WorkerExit(app.conf.datadir / FAILURES_FILE, self._leave_group)
        self.is_assignment_complete = True
        self.retention_clock_ms: Callable[[], int | None] = lambda: None
        self.levels: Callable[[], LevelHistory] = LevelHistory
        self.feeder = Feeder(services)
        self.committer = Committer(services)
        self.stops = PartitionStops(
            services,
            worker_exit=self._exit,
            open_task=self._open,
            feeder=self.feeder,
        )
        self.on_commit_batch: Callable[[CommitReport], None] | None = None
        self._app = app
        self._services = services
        self.recovery = RecoveryWatch(services)
        self._identity = IdentityCheck(services, reader)
        self._gap_repair = GapRepair(services, limits)
        self._dead_letter_topic = dead_letter_topic
        self._limits, self._topic_name = limits, topic_name
        self._unopened_since_s: float | None = None
        self._assigned_tables: set[str] = set()
        self._watchers: list[asyncio.Task[None]] = []
        self._releasing: set[asyncio.Task[None]] = set()

    def end_worker(self, where: str, why: Exception) -> NoReturn:
        """End the process at once."""
        self._exit.fail(where, why)

    def _leave_group(self, timeout_s: float) -> None:
        self._services.consumer.leave_group(timeout_s)

    def unopened_tasks(self) -> list[PartitionTask]:
        """Tasks that do not take inputs yet, except stopped ones."""
        stopped = self.stops.stopped_tasks()
        return [
            task
            for hosted, task in self._services.tasks()
            if not task.is_open and (hosted.name, task.partition) not in stopped
        ]

    # -- fencing ------------------------------------------------------------------------------

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """Once Faust has assigned all tables, fence their partitions together."""
        self._assigned_tables.add(name)
        if self._assigned_tables != {each.name for each in self._services}:
            return
        self._assigned_tables.clear()
        await self.close()
        try:
            await self._fence(generation)
        except Exception as exc:  # noqa: BLE001 -- every failure to fence ends the process
            self._exit.fail("fence", exc)
        if not self._watchers:
            self._watchers = [asyncio.create_task(run()) for run in (self._watch, self._inspect)]

    async def _fence(self, generation: int) -> None:
        """Fence every assigned changelog partition; bounded, for no heartbeats are sent meanwhile."""
        started = time.monotonic()
        owned = [
            (hosted, tp.partition)
            for tp in sorted(self._app.assignor.assigned_actives())
            if (hosted := self._services.of_changelog(tp.topic)) is not None
        ]
        budget_s = self._app.conf.broker_session_timeout * FENCING_SESSION_FRACTION
        async with asyncio.timeout(budget_s):
            if not await self._services.consumer.is_member():
                # Woken late: fencing now would shut out the rightful owner. The next assignment comes.
                extra = {"generation": generation}
                LOG.warning("not a member any more, nothing fenced", extra=extra)
                return
            self.is_assignment_complete = self._is_assigned_whole()
            await self._identity.learn_ids(budget_s)
            for hosted, partition in owned:
                stored = hosted.table.database(partition).get(PROGRESS_KEY)
                self._identity.check(hosted, TableProgress.load(stored))
            acquiring = [fence.acquire(each.table, p, generation=generation) for each, p in owned]
            fences = await asyncio.gather(*acquiring)
            # Only now: a worker that was fenced just before may still have processed what came last.
            await self._identity.learn_bounds(owned, budget_s)
        for (hosted, partition), acquired in zip(owned, fences, strict=True):
            hosted.tasks[partition] = self._make_task(hosted, partition, acquired)
        for hosted in self._services:
            hosted.state.assign(hosted.tasks)
        facts = {"generation": generation, "partitions": sorted({number for _, number in owned})}
        took_s = round(time.monotonic() - started, 3)
        LOG.info("fenced", extra={**facts, "took_s": took_s})

    def _is_assigned_whole(self) -> bool:
        """Whether all inputs and changelogs were assigned with all their partitions, here or elsewhere.

        Faust's assignor leaves out a topic that its metadata does not know yet: one just made.
        """
        given = self._services.assignor.assigned_to_all()
        names = {*self._services.readers_by_topic, *(each.changelog for each in self._services)}
        partitions = [given.get(name) for name in names]
        return all(partitions) and all(each == partitions[0] for each in partitions)

    def _make_task(
        self, hosted: HostedService, partition: int, acquired: fence.ProducerFence
    ) -> PartitionTask:
        context = TaskContext(
            table=hosted.state,
            changelog=hosted.changelog,
            offset_key=hosted.table.offset_key,
            index=hosted.table.index,
            dead_letter_topic=self._dead_letter_topic,
            limits=hosted.limits,
            counters=hosted.counters,
            readers={
                topic: frozenset(reader.name for reader in readers)
                for topic, readers in self._services.readers_by_topic.items()
            },
            cluster_ids=self._identity.of(hosted),
            worker_exit=self._exit,
            on_backlog_drained=self.feeder.on_backlog_drained,
            topic_name=self._topic_name,
            on_commit_batch=self.on_commit_batch,
            levels=self.levels,
        )
        return PartitionTask(context, partition, acquired, hosted.table.database(partition))

    # -- recovery and opening ------------------------------------------------------------------------------

    def on_foreign_records(self, name: str, count: int) -> None:
        """Count changelog records that no engine wrote."""
        if count:
            self._services.named(name).counters.ignored += count
            extra = {"service": name, "count": count}
            LOG.error("changelog records that no engine wrote were ignored", extra=extra)

    def on_recovery_failed(self, name: str, exc: BaseException) -> None:
        """End the process: the table would not be whole."""
        self._exit.fail(f"recovery of {name}", exc)

    async def on_table_recovered(self, name: str) -> None:
        """The table is at its changelog's end: build the indexes, then take inputs."""
        hosted = self._services.named(name)
        for task in list(hosted.tasks.values()):
            try:
                await self._open(hosted, task)
            except Exception as exc:  # noqa: BLE001 -- Faust would swallow it and go on
                inputs = ((hosted.changelog, -1), {hosted.changelog: -1})
                self._exit.fail_at(name, task.partition, inputs, "recovery", exc)

    async def _open(
        self,
        hosted: HostedService,
        task: PartitionTask,
        start_at: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Let a recovered task take inputs. start_at: topic -> first offset to take, if not before it."""
        database = task.database
        if task.is_open or database is None:
            return
        if not task.fence.is_recovered(database, hosted.table.offset_key):
            return  # an earlier assignment's recovery ended; this one's has not begun yet
        stored = TableProgress.load(database.get(PROGRESS_KEY))
        known = stored.offsets if stored else {}
        if self.stops.must_stay_closed(hosted, task, database, known):
            return
        del database
        self._identity.check(hosted, stored)
        new = [TP(topic, task.partition) for topic in hosted.inputs if topic not in known]
        committed = await self._services.consumer.fetch_committed(new) if new else {}
        await self._identity.learn_bounds_behind(hosted, task.partition, known, INSPECT_TIMEOUT_S)
        offsets = self._identity.first_offsets(hosted, task.partition, known, committed)
        for topic, offset in offsets.items():
            begin = self.stops.behind_skipped(TP(topic, task.partition), offset)
            offsets[topic] = max(begin, start_at.get(topic, 0))
        index = hosted.table.index
        is_whole = index is None or await index.make_whole(
            lambda: task.database, hosted.table.offset_key
        )
        if not is_whole or not await hosted.state.build_indexes(
            task.partition, lambda: task.database
        ):
            return  # revoked meanwhile
        if task.database is not None:
            task.open(offsets, known)
            hosted.state.open(task.partition, task.database)

    # -- once a second ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Commit, have tables checkpoint their offsets, and ask again for what never came."""
        try:
            while True:
                await asyncio.sleep(self._app.conf.broker_commit_interval)
                now_ms = self.retention_clock_ms()
                for _, task in self._services.tasks():
                    task.request_checkpoint()
                    if now_ms is not None:
                        task.request_sweep(now_ms)
                    self.stops.forget_failure(task)
                await self.committer.commit()
                await self._gap_repair.repair(self._identity.bounds)
                self.recovery.look()
                for hosted in self._services:
                    await hosted.table.reread_lost_ends()
                    hosted.table.end_recovery()
                self._check_recovery()
                if not self.is_assignment_complete:
                    LOG.warning("some topics were too new to be assigned; asking for them again")
                    await self._services.consumer.refresh_metadata()
        except Exception as exc:  # noqa: BLE001 -- without it nothing would be committed any more
            self._exit.fail("watch", exc)

    def _check_recovery(self) -> None:
        """Raise when a task stays closed although Faust has long declared the worker ready."""
        ready = self._app.tables.actives_ready and not self._app.rebalancing
        unopened = self.unopened_tasks() if ready else []
        if not unopened:
            self._unopened_since_s = None
        elif self._unopened_since_s is None:
            self._unopened_since_s = time.monotonic()
        elif time.monotonic() - self._unopened_since_s > self._limits.gap_exit_s:
            task = unopened[0]
            raise RecoveryError(f"{task.table.name}/{task.partition} ends before its fence")

    async def _inspect(self) -> None:
        """Notice a topic made again, or cut, under a running worker, which causes no rebalance.

        Its new records would have offsets that are durable, and be taken for redelivered ones.
        """
        while True:
            await asyncio.sleep(self._limits.inspect_s)
            tasks = [(hosted, task) for hosted, task in self._services.tasks() if task.is_open]
            try:
                await self._identity.inspect(tasks, INSPECT_TIMEOUT_S)
            except (KafkaException, TimeoutError) as exc:
                LOG.warning("topics could not be inspected", extra={"error": type(exc).__name__})
            except Exception as exc:  # noqa: BLE001 -- as above: without it nothing would notice
                self._exit.fail("inspection", exc)

    # -- closing ------------------------------------------------------------------------------

    async def stop(self) -> None:
        """The worker ends: stop watching, then close the tasks while the consumer lives.

        A watch that met a stopped consumer would end the process as if by a fault.
        """
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Drain all tasks within part of a session, commit, close. What is cut off comes again."""
        self.stops.clear()
        tasks = list(self._services.tasks())
        if not tasks:
            return
        started = time.monotonic()
        budget_s = self._app.conf.broker_session_timeout * DRAIN_SESSION_FRACTION
        try:
            async with asyncio.timeout(budget_s):
                await asyncio.gather(*(task.drain() for _, task in tasks if task.is_open))
                await self.committer.commit()
        except (TimeoutError, KafkaError) as exc:
            LOG.warning("drain was cut off", extra={"error": type(exc).__name__})
        left = sum(task.in_flight for _, task in tasks)
        for hosted, task in tasks:
            hosted.tasks.pop(task.partition, None)
            hosted.state.close(task.partition)
            task.close()
            releasing = asyncio.create_task(task.fence.release())
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)
        self.feeder.clear()
        self.committer.committed.clear()
        LOG.info("closed", extra={"left": left, "took_s": round(time.monotonic() - started, 3)})
