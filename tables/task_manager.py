"""The coordinator of one worker's engines: claims, opens, commits, repairs, drains and ends them.

All engines share one consumer group, and Faust awaits tables one after another, so what they have
in common is done here, once and for all together: claiming their changelog partitions, committing
each input at the slowest reader's offset, pausing, filling holes, draining on revocation.

Faults: whatever can't be resolved, and being fenced, ends the process with status 70; Kafka that is
not the one the tables were made with ends it with status 78. The supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faust.types import TP

from tables import fence, unread
from tables.cluster import ClusterReader
from tables.errors import DeliveryGapError, RecoveryError, WrongKafkaError
from tables.gap_repair import GapRepair
from tables.hosted_service import HostedService
from tables.identity import IdentityCheck
from tables.limits import Limits
from tables.partition_task import PartitionTask
from tables.progress import PROGRESS_KEY, TableProgress
from tables.record_batches import empty_offsets
from tables.stops import MAX_FAILURES_AT_ONE_OFFSET, NotStoppedError, make_stop

if TYPE_CHECKING:
    import faust
    import rocksdict

    from tables.record_batches import UnreadableBatch
    from tables.stops import FailureLog, PartitionStop
    from tables.transport import FetchConsumer

LOG = logging.getLogger("tiffin.engine")

EXIT_FAULT = 70
EXIT_WRONG_KAFKA = 78
FENCING_SESSION_FRACTION = 0.8
DRAIN_SESSION_FRACTION = 0.5
INSPECT_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 0.5
PRODUCER_STOP_TIMEOUT_S = 5.0
RETRY_AFTER_S = 1.0
"""For the answer to whoever asked that a changelog be read again."""


class TaskManager:
    """Of all engines of a worker. Everything runs on the app's event loop.

    `committed`: what this worker has committed since it owns a partition, with metadata; `full`:
    tasks that have taken in as much as they may, whose partitions are paused; `is_assignment_complete`: no
    topic was left out when partitions were assigned; `stops`: where reading can't go on.
    """

    def __init__(
        self,
        app: faust.App,
        engines: Sequence[HostedService],
        *,
        reader: ClusterReader,
        dead_letter_topic: str,
        partitions: int,
        limits: Limits,
        failures: FailureLog,
    ) -> None:
        self.stops: list[PartitionStop] = []
        self._skipped: dict[TP, tuple[int, int]] = {}
        self.committed: dict[TP, tuple[int, str]] = {}
        self.backpressured: set[PartitionTask] = set()
        self.is_assignment_complete = True
        self._app = app
        self._services = engines
        self._readers_by_topic: dict[str, list[HostedService]] = {}
        for engine in engines:
            for topic in engine.service.inputs:
                self._readers_by_topic.setdefault(topic, []).append(engine)
        self._identity = IdentityCheck(engines, reader)
        self._reader_names = {
            topic: frozenset(engine.service.name for engine in readers)
            for topic, readers in self._readers_by_topic.items()
        }
        self._failures = failures
        self._gap_repair = GapRepair(lambda: self._consumer, self.next_offsets, limits)
        self._dead_letter_topic = dead_letter_topic
        self._partitions = partitions
        self._limits = limits
        self._unopened_since_s: float | None = None
        self._assigned_tables: set[str] = set()
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def _consumer(self) -> FetchConsumer:
        return cast("FetchConsumer", self._app.consumer)

    def tasks(self) -> Iterator[tuple[HostedService, PartitionTask]]:
        """All tasks with their engines, claimed ones that are not open yet included."""
        for engine in self._services:
            for task in list(engine.tasks.values()):
                yield engine, task

    def _service_named(self, service: str) -> HostedService:
        return next(engine for engine in self._services if engine.service.name == service)

    def unopened_tasks(self) -> list[PartitionTask]:
        """Lanes that do not take inputs yet, those that were stopped aside."""
        stopped = {(stop.service, stop.partition) for stop in self.stops}
        return [
            task
            for _, task in self.tasks()
            if not task.is_open and (task.table.name, task.partition) not in stopped
        ]

    def next_offsets(self) -> dict[TP, int]:
        """Where each input partition is to be read from: at the least offset due."""
        least: dict[TP, int] = {}
        for _, task in self.tasks():
            for topic, offset in task.next_offsets.items():
                tp = TP(topic, task.partition)
                least[tp] = min(offset, least.get(tp, offset))
        return least

    # -- feeding ------------------------------------------------------------------------------

    def feed(
        self, engine: HostedService, topic: str, partition: int, inputs: Sequence[Any]
    ) -> None:
        """Give a fetch to its task; never waits."""
        task = engine.tasks.get(partition)
        if task is None or task.feed(topic, inputs):
            return  # no task: delivered before the claim or after the revocation, and comes again
        self.backpressured.add(task)
        self._pause()

    def _on_backlog_drained(self, task: PartitionTask) -> None:
        if task in self.backpressured:
            self.backpressured.discard(task)
            self._pause()

    def _pause(self) -> None:
        """Fetch nothing for a full task; its partitions' other readers wait with it."""
        self._consumer.paused = frozenset(
            TP(topic, task.partition) for task in self.backpressured for topic in task.next_offsets
        )

    # -- what can't be read -------------------------------------------------------------------

    def on_unreadable(self, batch: UnreadableBatch) -> bool:
        """Take note of a batch that can't be read. Gives whether to go on behind it.

        An input's partition stops there. A changelog is read to its end, for Faust waits for all of
        them; but a table that lacks a batch stays shut until an operator skips that batch.
        """
        for engine in self._services:
            if engine.changelog == batch.topic:
                database = fence.database(engine.table, batch.partition)
                unread.note(database, batch.offset, batch.next_offset, batch.error)
                return True
        self.stops.append(
            make_stop(
                batch.topic,
                batch.partition,
                batch.offset,
                next_offset=batch.next_offset,
                service="",
                error=batch.error,
            )
        )
        return False

    def count_foreign_changelog_records(self, name: str, count: int) -> None:
        """Count changelog records of a service that are no engine's."""
        if count:
            self._service_named(name).counters.ignored += count
            LOG.error(
                "changelog records that no engine wrote were ignored",
                extra={"service": name, "count": count},
            )

    def find_stop(
        self, topic: str, partition: int, offset: int, service: str | None
    ) -> PartitionStop:
        """The stop at this place; service: whose, where there are several. Raises NotStoppedError."""
        found = [
            stop
            for stop in self.stops
            if (stop.topic, stop.partition, stop.offset) == (topic, partition, offset)
            and service in {None, stop.service}
        ]
        if len(found) > 1:
            names = " and ".join(stop.service or "all services" for stop in found)
            raise NotStoppedError(f"{topic}/{partition} is stopped for {names}: say for which")
        if not found:
            raise NotStoppedError(f"{topic}/{partition} is not stopped at offset {offset}")
        return found[0]

    async def skip(self, stop: PartitionStop, *, is_retry: bool = False) -> None:
        """Go on behind a stop, as if what is there had never been sent.

        is_retry: go on at it; what can't be read stops there again. A changelog is read again by the
        next process: this one ends. Raises NotStoppedError, KafkaError, TimeoutError.
        """
        if stop not in self.stops:
            raise NotStoppedError(f"{stop.topic}/{stop.partition} goes on already")
        self.stops.remove(stop)
        try:
            if stop.service:
                await self._resume_service(stop, is_retry=is_retry)
            else:
                await self._resume_input(stop, stop.offset if is_retry else stop.next_offset)
        except BaseException:
            if stop not in self.stops:
                self.stops.append(stop)
            raise

    async def _resume_service(self, stop: PartitionStop, *, is_retry: bool) -> None:
        """Let one service's partition go on."""
        engine = self._service_named(stop.service)
        task = engine.tasks[stop.partition]  # there are no stops without tasks: see `close`
        if stop.topic == engine.changelog and task.database is not None:
            key = fence.offset_key(engine.table)
            if is_retry:
                unread.reread_from(task.database, key, stop.offset)
                again = RecoveryError(f"{stop.topic}/{stop.partition} is to be read again")
                asyncio.get_running_loop().call_later(RETRY_AFTER_S, self.fail, "retry", again)
                return
            await unread.accept(
                task.fence, task.database, key, TP(stop.topic, stop.partition), stop.offset
            )
        self._failures.clear(stop.service, stop.partition)
        start_at = {} if is_retry else {stop.topic: stop.next_offset}
        await self._open(engine, task, start_at)
        # What this service still needs may lie before a batch at which the others have stopped.
        mine = {TP(topic, stop.partition) for topic in task.next_offsets}
        self.stops = [s for s in self.stops if s.service or TP(s.topic, s.partition) not in mine]
        self._consumer.stopped = self._consumer.stopped.difference(mine)
        due = self.next_offsets()
        await self._consumer.seek_to({tp: due[tp] for tp in mine})

    async def _resume_input(self, stop: PartitionStop, next_offset: int) -> None:
        """Let an input's partition be read on from an offset, for all its readers."""
        tp = TP(stop.topic, stop.partition)
        for engine in self._readers_by_topic[stop.topic]:
            task = engine.tasks.get(stop.partition)
            if task is None:
                continue
            task.delivery_gaps.pop(stop.topic, None)
            if next_offset > stop.offset:
                gap = empty_offsets(stop.topic, stop.partition, stop.offset, next_offset - 1)
                self.feed(engine, stop.topic, stop.partition, [gap])
        self._skipped[tp] = (stop.offset, next_offset)
        self._consumer.stopped = self._consumer.stopped.difference([tp])
        await self._consumer.seek_to({tp: next_offset})

    # -- claiming and opening -----------------------------------------------------------------

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """Once Faust has assigned all tables: claim their partitions together."""
        self._assigned_tables.add(name)
        if len(self._assigned_tables) < len(self._services):
            return
        self._assigned_tables.clear()
        await self.close()
        try:
            await self._claim(generation)
        except Exception as exc:  # noqa: BLE001 -- every failure to claim ends the process
            self.fail("claim", exc)
        if not self._watchers:
            self._watchers = [asyncio.create_task(run()) for run in (self._watch, self._inspect)]

    async def _claim(self, generation: int) -> None:
        """ProducerFence every assigned changelog partition; bounded, for no heartbeats are sent here."""
        started = time.monotonic()
        owned = [
            (engine, tp.partition)
            for tp in sorted(self._app.assignor.assigned_actives())
            for engine in self._services
            if engine.changelog == tp.topic
        ]
        budget_s = self._app.conf.broker_session_timeout * FENCING_SESSION_FRACTION
        async with asyncio.timeout(budget_s):
            if not await self._consumer.is_member():
                # Woken late: a claim now would fence the rightful owner. The next assignment comes.
                LOG.warning("not a member any more, no claim", extra={"generation": generation})
                return
            self.is_assignment_complete = self._is_assigned_whole()
            await self._identity.learn_ids(budget_s)
            for engine, partition in owned:
                stored = fence.database(engine.table, partition).get(PROGRESS_KEY)
                self._identity.check(engine, TableProgress.load(stored))
            claims = await asyncio.gather(
                *(
                    fence.claim(engine.table, partition, generation=generation)
                    for engine, partition in owned
                )
            )
            # Only now: a worker that was fenced just before may still have processed what came last.
            await self._identity.learn_bounds(owned, budget_s)
        for (engine, partition), claim in zip(owned, claims, strict=True):
            engine.tasks[partition] = self._make_task(engine, partition, claim)
        for engine in self._services:
            engine.state.claim(engine.tasks)
        LOG.info(
            "claimed",
            extra={
                "generation": generation,
                "partitions": sorted({partition for _, partition in owned}),
                "took_s": round(time.monotonic() - started, 3),
            },
        )

    def _is_assigned_whole(self) -> bool:
        """Whether each owned partition came with all inputs and changelogs of that number.

        Faust's assignor leaves out a topic that its metadata does not know yet: one just made. A group's
        leader without partitions must know all topics, for it assigns them to the others.
        """
        names = {*self._readers_by_topic, *(engine.changelog for engine in self._services)}
        assigned = {tp for tp in self._app.assignor.assigned_actives() if tp.topic in names}
        if (
            not assigned
        ):  # A worker too many; unless it leads the group, and knows of topics with 0.
            return all(self._consumer.topic_partitions(name) != 0 for name in names)
        numbers = {tp.partition for tp in assigned}
        return assigned == {TP(name, number) for name in names for number in numbers}

    def _make_task(
        self, engine: HostedService, partition: int, claim: fence.ProducerFence
    ) -> PartitionTask:
        return PartitionTask(
            engine.state,
            partition,
            claim,
            fence.database(engine.table, partition),
            changelog=engine.changelog,
            offset_key=fence.offset_key(engine.table),
            cluster_ids=self._identity.of(engine),
            dead_letter_topic=self._dead_letter_topic,
            limits=self._limits,
            counters=engine.counters,
            readers=self._reader_names,
            fail=self._on_task_failed,
            on_backlog_drained=self._on_backlog_drained,
        )

    async def on_table_recovered(self, name: str) -> None:
        """The table is at its changelog's end: build the indexes, then take inputs."""
        engine = self._service_named(name)
        for task in list(engine.tasks.values()):
            try:
                await self._open(engine, task)
            except Exception as exc:  # noqa: BLE001 -- Faust would swallow it and go on
                at = (engine.changelog, -1)
                self._failures.note(name, task.partition, at, {engine.changelog: -1}, exc)
                self.fail("recovery", exc)

    async def _open(
        self,
        engine: HostedService,
        task: PartitionTask,
        start_at: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Let a recovered task take inputs. start_at: topic -> first offset to take, if not before it."""
        database = task.database
        if task.is_open or database is None:
            return
        if not task.fence.is_recovered(database, fence.offset_key(engine.table)):
            return  # told of an earlier assignment's recovery while this one's has not begun yet
        stored = TableProgress.load(database.get(PROGRESS_KEY))
        stop = self._stop_of(engine, task, database, stored)
        if stop is not None:
            self.stops.append(stop)
            return
        del database
        self._identity.check(engine, stored)
        known = stored.offsets if stored else {}
        new = [TP(topic, task.partition) for topic in engine.service.inputs if topic not in known]
        committed = await self._consumer.fetch_committed(new) if new else {}
        due = self._identity.first_offsets(engine, task.partition, stored, committed)
        for topic in due:
            offset, next_offset = self._skipped.get(TP(topic, task.partition), (-1, -1))
            if due[topic] == offset:  # skipped while this task was stopped elsewhere
                due[topic] = next_offset
            due[topic] = max(due[topic], start_at.get(topic, 0))
        if not await engine.state.build(task.partition, lambda: task.database):
            return  # revoked meanwhile
        if task.database is not None:
            task.open(due, stored.offsets if stored else None)
            engine.state.open(task.partition, task.database)

    def _stop_of(
        self,
        engine: HostedService,
        task: PartitionTask,
        database: rocksdict.Rdict,
        stored: TableProgress | None,
    ) -> PartitionStop | None:
        """Why a task must stay shut: its table lacks a batch, or it failed too often at one input."""
        name, partition = engine.service.name, task.partition
        lacking = unread.first(database)
        if lacking is not None:
            return make_stop(
                engine.changelog,
                partition,
                lacking.offset,
                next_offset=lacking.next_offset,
                service=name,
                error=lacking.error,
            )
        failure = self._failures.of(name, partition)
        if failure is not None and failure.is_behind(stored.offsets if stored else {}):
            self._failures.clear(name, partition)  # another worker got beyond that place
            failure = None
        task.is_isolating_failure = failure is not None
        if failure is None or failure.count < MAX_FAILURES_AT_ONE_OFFSET:
            return None
        return make_stop(
            failure.topic,
            partition,
            failure.offset,
            next_offset=failure.offset + 1,
            service=name,
            error=f"failed {failure.count} times here with {failure.error}",
        )

    # -- once a second ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Commit, have tables record how far they are, and ask again for what never came."""
        try:
            while True:
                await asyncio.sleep(self._app.conf.broker_commit_interval)
                for _, task in self.tasks():
                    task.mark()
                    self._forget_failure(task)
                await self._commit()
                await self._gap_repair.repair(self.tasks(), self._identity.ends)
                self._check_recovery()
                if not self.is_assignment_complete:
                    LOG.warning("some topics were too new to be assigned; asking for them again")
                    await self._consumer.refresh_metadata()
        except Exception as exc:  # noqa: BLE001 -- without it nothing would be committed any more
            self.fail("watch", exc)

    def _forget_failure(self, task: PartitionTask) -> None:
        """Once a task got beyond the place where it failed, nothing is the matter with that place."""
        if not (task.is_open and task.is_isolating_failure):
            return
        failure = self._failures.of(task.table.name, task.partition)
        if failure is None or failure.is_behind(task.durable_offsets):
            self._failures.clear(task.table.name, task.partition)
            task.is_isolating_failure = False

    def _check_recovery(self) -> None:
        """Raise when a task stays shut although Faust has long declared the worker ready."""
        ready = self._app.tables.actives_ready and not self._app.rebalancing
        shut = self.unopened_tasks() if ready else []
        if not shut:
            self._unopened_since_s = None
        elif self._unopened_since_s is None:
            self._unopened_since_s = time.monotonic()
        elif time.monotonic() - self._unopened_since_s > self._limits.gap_exit_s:
            task = shut[0]
            raise RecoveryError(f"{task.table.name}/{task.partition} ends before its claim")

    async def _commit(self) -> None:
        """Commit each input at its slowest reader's recorded offset."""
        positions = {}
        for topic, readers in self._readers_by_topic.items():
            services = ",".join(sorted(engine.service.name for engine in readers))
            for partition in range(self._partitions):
                tasks = [engine.tasks.get(partition) for engine in readers]
                recorded = [
                    task.checkpointed_offsets.get(topic)
                    if task and task.is_open and task.checkpointed_offsets
                    else None
                    for task in tasks
                ]
                known = [offset for offset in recorded if offset is not None]
                position = (min(known) + 1, services) if len(known) == len(readers) else None
                tp = TP(topic, partition)
                if position is not None and self.committed.get(tp) != position:
                    positions[tp] = position
        if positions and await self._consumer.commit_positions(positions):
            self.committed.update(positions)

    async def _inspect(self) -> None:
        """Notice what no rebalance tells: a topic made again, or cut, under a running worker.

        Its new records would bear offsets that are done and be taken for redelivered ones.
        """
        while True:
            await asyncio.sleep(self._limits.inspect_s)
            tasks = [(engine, task) for engine, task in self.tasks() if task.is_open]
            try:
                await self._identity.inspect(tasks, INSPECT_TIMEOUT_S)
            except (KafkaException, TimeoutError) as exc:
                LOG.warning("topics could not be inspected", extra={"error": type(exc).__name__})
            except Exception as exc:  # noqa: BLE001 -- as above: without it nobody would notice
                self.fail("inspection", exc)

    # -- closing ------------------------------------------------------------------------------

    async def stop(self) -> None:
        """The worker ends: nothing is watched any more, and the tasks close while the consumer lives.

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
        self._skipped.clear()
        self._consumer.stopped = frozenset()
        tasks = list(self.tasks())
        if not tasks:
            return
        started = time.monotonic()
        try:
            async with asyncio.timeout(
                self._app.conf.broker_session_timeout * DRAIN_SESSION_FRACTION
            ):
                await asyncio.gather(*(task.drain() for _, task in tasks if task.is_open))
                await self._commit()
        except (TimeoutError, KafkaError) as exc:
            LOG.warning("drain was cut off", extra={"error": type(exc).__name__})
        left = sum(task.in_flight for _, task in tasks)
        for engine, task in tasks:
            engine.tasks.pop(task.partition, None)
            engine.state.close(task.partition)
            task.close()
            stopping = asyncio.create_task(_stop_producer(task.fence))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
        self.backpressured.clear()
        self._pause()
        self.committed.clear()
        LOG.info("closed", extra={"left": left, "took_s": round(time.monotonic() - started, 3)})

    def _on_task_failed(self, task: PartitionTask, where: str, exc: BaseException) -> NoReturn:
        inputs = task.inputs_in_flight()
        if inputs is not None:
            self._failures.note(task.table.name, task.partition, *inputs, exc)
        self.fail(where, exc)

    def fail(self, where: str, exc: BaseException) -> NoReturn:
        """End the process at once: leave the group, log without values, exit."""
        foreign = isinstance(exc, WrongKafkaError)
        tells = foreign or isinstance(
            exc, KafkaError | DeliveryGapError | RecoveryError | TimeoutError | OSError
        )
        frames = traceback.extract_tb(exc.__traceback__)
        trace = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        name = type(exc).__qualname__
        text = f"{name}: {exc}" if tells else f"{name} at {trace[-1] if trace else 'unknown'}"
        LOG.critical("%s: %s", where, text, extra={"trace": trace})
        try:
            self._consumer.leave_group(LEAVE_TIMEOUT_S)
            logging.shutdown()
        finally:
            os._exit(EXIT_WRONG_KAFKA if foreign else EXIT_FAULT)


async def _stop_producer(claim: fence.ProducerFence) -> None:
    try:
        async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
            await claim.producer.stop()
    except Exception as exc:  # noqa: BLE001 -- fenced or cut off: nothing of it is waited for
        LOG.debug("producer did not stop in order: %s", type(exc).__name__)
