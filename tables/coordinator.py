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
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faust.types import TP

from tables import fence, unread
from tables.holes import HoleError, Repairer
from tables.lane import Lane
from tables.limits import Counters, Limits
from tables.origin import (
    PROGRESS,
    ClusterReader,
    ForeignTableError,
    Progress,
    Provenance,
)
from tables.record_batches import offset_gap
from tables.stops import FAILURES_AT_ONE_PLACE, NotStoppedError, make_stop

if TYPE_CHECKING:
    import faust
    import rocksdict

    from models.transition import Service
    from tables.record_batches import UnreadableBatch
    from tables.stops import Failures, Stop
    from tables.transport import FetchConsumer
    from tables.views import StateTable

LOG = logging.getLogger("tiffin.engine")

EXIT_FAULT = 70
EXIT_FOREIGN = 78
CLAIM_PART_OF_SESSION = 0.8
DRAIN_PART_OF_SESSION = 0.5
INSPECT_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 0.5
PRODUCER_STOP_TIMEOUT_S = 5.0
RETRY_AFTER_S = 1.0
"""For the answer to whoever asked that a changelog be read again."""


class RecoveryError(Exception):
    """Faust says that a table is recovered, but its database is not at the changelog's end."""


@dataclass(slots=True)
class Engine:
    """One service on this worker. `lanes`: partition -> lane, from its claim on."""

    service: Service
    table: faust.Table[Any, Any]
    state: StateTable
    changelog: str
    counters: Counters = field(default_factory=Counters)
    lanes: dict[int, Lane] = field(default_factory=dict)


class Coordinator:
    """Of all engines of a worker. Everything runs on the app's event loop.

    `committed`: what this worker has committed since it owns a partition, with metadata; `full`:
    lanes that have taken in as much as they may, whose partitions are paused; `is_complete`: no
    topic was left out when partitions were assigned; `stops`: where reading can't go on.
    """

    def __init__(
        self,
        app: faust.App,
        engines: Sequence[Engine],
        *,
        reader: ClusterReader,
        dead_letter_topic: str,
        partitions: int,
        limits: Limits,
        failures: Failures,
    ) -> None:
        self.stops: list[Stop] = []
        self._skipped: dict[TP, tuple[int, int]] = {}
        self.committed: dict[TP, tuple[int, str]] = {}
        self.full: set[Lane] = set()
        self.is_complete = True
        self._app = app
        self._engines = engines
        self._readers: dict[str, list[Engine]] = {}
        for engine in engines:
            for topic in engine.service.inputs:
                self._readers.setdefault(topic, []).append(engine)
        self._provenance = Provenance(engines, reader)
        self._readers_of = {
            topic: frozenset(engine.service.name for engine in readers)
            for topic, readers in self._readers.items()
        }
        self._failures = failures
        self._repairer = Repairer(lambda: self._consumer, self.due, limits)
        self._dead_letter_topic = dead_letter_topic
        self._partitions = partitions
        self._limits = limits
        self._shut_since_s: float | None = None
        self._assigned_tables: set[str] = set()
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def _consumer(self) -> FetchConsumer:
        return cast("FetchConsumer", self._app.consumer)

    def lanes(self) -> Iterator[tuple[Engine, Lane]]:
        """All lanes with their engines, claimed ones that are not open yet included."""
        for engine in self._engines:
            for lane in list(engine.lanes.values()):
                yield engine, lane

    def _engine_of(self, service: str) -> Engine:
        return next(engine for engine in self._engines if engine.service.name == service)

    def shut(self) -> list[Lane]:
        """Lanes that do not take inputs yet, those that were stopped aside."""
        stopped = {(stop.service, stop.partition) for stop in self.stops}
        return [
            lane
            for _, lane in self.lanes()
            if not lane.is_open and (lane.table.name, lane.partition) not in stopped
        ]

    def due(self) -> dict[TP, int]:
        """Where each input partition is to be read from: at the least offset due."""
        least: dict[TP, int] = {}
        for _, lane in self.lanes():
            for topic, offset in lane.due.items():
                tp = TP(topic, lane.partition)
                least[tp] = min(offset, least.get(tp, offset))
        return least

    # -- feeding ------------------------------------------------------------------------------

    def feed(self, engine: Engine, topic: str, partition: int, inputs: Sequence[Any]) -> None:
        """Give a fetch to its lane; never waits."""
        lane = engine.lanes.get(partition)
        if lane is None or lane.feed(topic, inputs):
            return  # no lane: delivered before the claim or after the revocation, and comes again
        self.full.add(lane)
        self._pause()

    def _relieved(self, lane: Lane) -> None:
        if lane in self.full:
            self.full.discard(lane)
            self._pause()

    def _pause(self) -> None:
        """Fetch nothing for a full lane; its partitions' other readers wait with it."""
        self._consumer.paused = frozenset(
            TP(topic, lane.partition) for lane in self.full for topic in lane.due
        )

    # -- what can't be read -------------------------------------------------------------------

    def on_unreadable(self, batch: UnreadableBatch) -> bool:
        """Take note of a batch that can't be read. Gives whether to go on behind it.

        An input's partition stops there. A changelog is read to its end, for Faust waits for all of
        them; but a table that lacks a batch stays shut until an operator skips that batch.
        """
        for engine in self._engines:
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

    def count_ignored(self, name: str, count: int) -> None:
        """Count changelog records of a service that are no engine's."""
        if count:
            self._engine_of(name).counters.ignored += count
            LOG.error(
                "changelog records that no engine wrote were ignored",
                extra={"service": name, "count": count},
            )

    def find_stop(self, topic: str, partition: int, offset: int, service: str | None) -> Stop:
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

    async def skip(self, stop: Stop, *, is_retry: bool = False) -> None:
        """Go on behind a stop, as if what is there had never been sent.

        is_retry: go on at it; what can't be read stops there again. A changelog is read again by the
        next process: this one ends. Raises NotStoppedError, KafkaError, TimeoutError.
        """
        if stop not in self.stops:
            raise NotStoppedError(f"{stop.topic}/{stop.partition} goes on already")
        self.stops.remove(stop)
        try:
            if stop.service:
                await self._reopen(stop, is_retry=is_retry)
            else:
                await self._read_on(stop, stop.offset if is_retry else stop.next_offset)
        except BaseException:
            if stop not in self.stops:
                self.stops.append(stop)
            raise

    async def _reopen(self, stop: Stop, *, is_retry: bool) -> None:
        """Let one service's partition go on."""
        engine = self._engine_of(stop.service)
        lane = engine.lanes[stop.partition]  # there are no stops without lanes: see `close`
        if stop.topic == engine.changelog and lane.database is not None:
            key = fence.offset_key(engine.table)
            if is_retry:
                unread.read_again(lane.database, key, stop.offset)
                again = RecoveryError(f"{stop.topic}/{stop.partition} is to be read again")
                asyncio.get_running_loop().call_later(RETRY_AFTER_S, self.fail, "retry", again)
                return
            await unread.accept(
                lane.claim, lane.database, key, TP(stop.topic, stop.partition), stop.offset
            )
        self._failures.clear(stop.service, stop.partition)
        start_at = {} if is_retry else {stop.topic: stop.next_offset}
        await self._open(engine, lane, start_at)
        # What this service still needs may lie before a batch at which the others have stopped.
        mine = {TP(topic, stop.partition) for topic in lane.due}
        self.stops = [s for s in self.stops if s.service or TP(s.topic, s.partition) not in mine]
        self._consumer.stopped = self._consumer.stopped.difference(mine)
        due = self.due()
        await self._consumer.seek_to({tp: due[tp] for tp in mine})

    async def _read_on(self, stop: Stop, next_offset: int) -> None:
        """Let an input's partition be read on from an offset, for all its readers."""
        tp = TP(stop.topic, stop.partition)
        for engine in self._readers[stop.topic]:
            lane = engine.lanes.get(stop.partition)
            if lane is None:
                continue
            lane.holes.pop(stop.topic, None)
            if next_offset > stop.offset:
                gap = offset_gap(stop.topic, stop.partition, stop.offset, next_offset - 1)
                self.feed(engine, stop.topic, stop.partition, [gap])
        self._skipped[tp] = (stop.offset, next_offset)
        self._consumer.stopped = self._consumer.stopped.difference([tp])
        await self._consumer.seek_to({tp: next_offset})

    # -- claiming and opening -----------------------------------------------------------------

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """Once Faust has assigned all tables: claim their partitions together."""
        self._assigned_tables.add(name)
        if len(self._assigned_tables) < len(self._engines):
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
        """Claim every assigned changelog partition; bounded, for no heartbeats are sent here."""
        started = time.monotonic()
        owned = [
            (engine, tp.partition)
            for tp in sorted(self._app.assignor.assigned_actives())
            for engine in self._engines
            if engine.changelog == tp.topic
        ]
        budget_s = self._app.conf.broker_session_timeout * CLAIM_PART_OF_SESSION
        async with asyncio.timeout(budget_s):
            if not await self._consumer.is_member():
                # Woken late: a claim now would fence the rightful owner. The next assignment comes.
                LOG.warning("not a member any more, no claim", extra={"generation": generation})
                return
            self.is_complete = self._is_assigned_whole()
            await self._provenance.learn_ids(budget_s)
            for engine, partition in owned:
                stored = fence.database(engine.table, partition).get(PROGRESS)
                self._provenance.check(engine, Progress.load(stored))
            claims = await asyncio.gather(
                *(
                    fence.claim(engine.table, partition, generation=generation)
                    for engine, partition in owned
                )
            )
            # Only now: a worker that was fenced just before may still have processed what came last.
            await self._provenance.learn_bounds(owned, budget_s)
        for (engine, partition), claim in zip(owned, claims, strict=True):
            engine.lanes[partition] = self._make_lane(engine, partition, claim)
        for engine in self._engines:
            engine.state.claim(engine.lanes)
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
        names = {*self._readers, *(engine.changelog for engine in self._engines)}
        assigned = {tp for tp in self._app.assignor.assigned_actives() if tp.topic in names}
        if (
            not assigned
        ):  # A worker too many; unless it leads the group, and knows of topics with 0.
            return all(self._consumer.topic_partitions(name) != 0 for name in names)
        numbers = {tp.partition for tp in assigned}
        return assigned == {TP(name, number) for name in names for number in numbers}

    def _make_lane(self, engine: Engine, partition: int, claim: fence.Claim) -> Lane:
        return Lane(
            engine.state,
            partition,
            claim,
            fence.database(engine.table, partition),
            changelog=engine.changelog,
            offset_key=fence.offset_key(engine.table),
            origin=self._provenance.of(engine),
            dead_letter_topic=self._dead_letter_topic,
            limits=self._limits,
            counters=engine.counters,
            readers=self._readers_of,
            fail=self._on_lane_failed,
            relieved=self._relieved,
        )

    async def on_table_recovered(self, name: str) -> None:
        """The table is at its changelog's end: build the indexes, then take inputs."""
        engine = self._engine_of(name)
        for lane in list(engine.lanes.values()):
            try:
                await self._open(engine, lane)
            except Exception as exc:  # noqa: BLE001 -- Faust would swallow it and go on
                at = (engine.changelog, -1)
                self._failures.note(name, lane.partition, at, {engine.changelog: -1}, exc)
                self.fail("recovery", exc)

    async def _open(
        self, engine: Engine, lane: Lane, start_at: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Let a recovered lane take inputs. start_at: topic -> first offset to take, if not before it."""
        database = lane.database
        if lane.is_open or database is None:
            return
        if not lane.claim.is_recovered(database, fence.offset_key(engine.table)):
            return  # told of an earlier assignment's recovery while this one's has not begun yet
        stored = Progress.load(database.get(PROGRESS))
        stop = self._stop_of(engine, lane, database, stored)
        if stop is not None:
            self.stops.append(stop)
            return
        del database
        self._provenance.check(engine, stored)
        known = stored.offsets if stored else {}
        new = [TP(topic, lane.partition) for topic in engine.service.inputs if topic not in known]
        committed = await self._consumer.fetch_committed(new) if new else {}
        due = self._provenance.first_due(engine, lane.partition, stored, committed)
        for topic in due:
            offset, next_offset = self._skipped.get(TP(topic, lane.partition), (-1, -1))
            if due[topic] == offset:  # skipped while this lane was stopped elsewhere
                due[topic] = next_offset
            due[topic] = max(due[topic], start_at.get(topic, 0))
        if not await engine.state.build(lane.partition, lambda: lane.database):
            return  # revoked meanwhile
        if lane.database is not None:
            lane.open(due, stored.offsets if stored else None)
            engine.state.open(lane.partition, lane.database)

    def _stop_of(
        self, engine: Engine, lane: Lane, database: rocksdict.Rdict, stored: Progress | None
    ) -> Stop | None:
        """Why a lane must stay shut: its table lacks a batch, or it failed too often at one input."""
        name, partition = engine.service.name, lane.partition
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
        if failure is not None and failure.is_passed(stored.offsets if stored else {}):
            self._failures.clear(name, partition)  # another worker got beyond that place
            failure = None
        lane.is_careful = failure is not None
        if failure is None or failure.count < FAILURES_AT_ONE_PLACE:
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
                for _, lane in self.lanes():
                    lane.mark()
                    self._forget_failure(lane)
                await self._commit()
                await self._repairer.repair(self.lanes(), self._provenance.ends)
                self._check_recovery()
                if not self.is_complete:
                    LOG.warning("some topics were too new to be assigned; asking for them again")
                    await self._consumer.refresh_metadata()
        except Exception as exc:  # noqa: BLE001 -- without it nothing would be committed any more
            self.fail("watch", exc)

    def _forget_failure(self, lane: Lane) -> None:
        """Once a lane got beyond the place where it failed, nothing is the matter with that place."""
        if not (lane.is_open and lane.is_careful):
            return
        failure = self._failures.of(lane.table.name, lane.partition)
        if failure is None or failure.is_passed(lane.done):
            self._failures.clear(lane.table.name, lane.partition)
            lane.is_careful = False

    def _check_recovery(self) -> None:
        """Raise when a lane stays shut although Faust has long declared the worker ready."""
        ready = self._app.tables.actives_ready and not self._app.rebalancing
        shut = self.shut() if ready else []
        if not shut:
            self._shut_since_s = None
        elif self._shut_since_s is None:
            self._shut_since_s = time.monotonic()
        elif time.monotonic() - self._shut_since_s > self._limits.hole_exit_s:
            lane = shut[0]
            raise RecoveryError(f"{lane.table.name}/{lane.partition} ends before its claim")

    async def _commit(self) -> None:
        """Commit each input at its slowest reader's recorded offset."""
        positions = {}
        for topic, readers in self._readers.items():
            services = ",".join(sorted(engine.service.name for engine in readers))
            for partition in range(self._partitions):
                lanes = [engine.lanes.get(partition) for engine in readers]
                recorded = [
                    lane.recorded.get(topic) if lane and lane.is_open and lane.recorded else None
                    for lane in lanes
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
            lanes = [(engine, lane) for engine, lane in self.lanes() if lane.is_open]
            try:
                await self._provenance.inspect(lanes, INSPECT_TIMEOUT_S)
            except (KafkaException, TimeoutError) as exc:
                LOG.warning("topics could not be inspected", extra={"error": type(exc).__name__})
            except Exception as exc:  # noqa: BLE001 -- as above: without it nobody would notice
                self.fail("inspection", exc)

    # -- closing ------------------------------------------------------------------------------

    async def stop(self) -> None:
        """The worker ends: nothing is watched any more, and the lanes close while the consumer lives.

        A watch that met a stopped consumer would end the process as if by a fault.
        """
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Drain all lanes within part of a session, commit, close. What is cut off comes again."""
        self.stops.clear()
        self._skipped.clear()
        self._consumer.stopped = frozenset()
        lanes = list(self.lanes())
        if not lanes:
            return
        started = time.monotonic()
        try:
            async with asyncio.timeout(
                self._app.conf.broker_session_timeout * DRAIN_PART_OF_SESSION
            ):
                await asyncio.gather(*(lane.drain() for _, lane in lanes if lane.is_open))
                await self._commit()
        except (TimeoutError, KafkaError) as exc:
            LOG.warning("drain was cut off", extra={"error": type(exc).__name__})
        left = sum(lane.in_flight for _, lane in lanes)
        for engine, lane in lanes:
            engine.lanes.pop(lane.partition, None)
            engine.state.close(lane.partition)
            lane.close()
            stopping = asyncio.create_task(_stop_producer(lane.claim))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
        self.full.clear()
        self._pause()
        self.committed.clear()
        LOG.info("closed", extra={"left": left, "took_s": round(time.monotonic() - started, 3)})

    def _on_lane_failed(self, lane: Lane, where: str, exc: BaseException) -> NoReturn:
        inputs = lane.inputs_in_flight()
        if inputs is not None:
            self._failures.note(lane.table.name, lane.partition, *inputs, exc)
        self.fail(where, exc)

    def fail(self, where: str, exc: BaseException) -> NoReturn:
        """End the process at once: leave the group, log without values, exit."""
        foreign = isinstance(exc, ForeignTableError)
        tells = foreign or isinstance(
            exc, KafkaError | HoleError | RecoveryError | TimeoutError | OSError
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
            os._exit(EXIT_FOREIGN if foreign else EXIT_FAULT)


async def _stop_producer(claim: fence.Claim) -> None:
    try:
        async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
            await claim.producer.stop()
    except Exception as exc:  # noqa: BLE001 -- fenced or cut off: nothing of it is waited for
        LOG.debug("producer did not stop in order: %s", type(exc).__name__)
