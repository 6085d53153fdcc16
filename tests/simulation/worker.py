"""A worker: the real services, the engine and what runs beside them, wired as app/factory.py does."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from faust.tables.recovery import Recovery
from faust.types import TP

from app.clock import BrokerClock
from app.declaration import declare
from app.kafka import sender as sender_module
from app.kafka.sender import KafkaCommandSender
from app.notifications.channels import CustomerMessage
from app.notifications.notifier import Notifier
from app.reconciliation.missing_webhooks import MissingWebhooks
from app.reconciliation.runner import RUNNER_PARTITION
from app.settings import Settings
from app.stripe import gateway as gateway_module
from app.stripe.effects import EffectsService
from app.stripe.errors import InvalidError
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.stripe.known_receipts import KnownReceipts
from app.stripe.reconciler import Reconciler
from app.task_runner import Background, Backoff
from app.timers import Timers
from models.errors import UnavailableError
from models.levels import LATEST, LevelChange, LevelHistory
from models.notification import Channel, Notification
from models.order import Placed
from tables import caught_up
from tests.simulation import consumer as consumer_module
from tests.simulation.consumer import Assignor, ConsumerThread, SimulatedConsumer
from tests.simulation.database import Disk, Store
from tests.simulation.kafka import Cluster, Group, Producer
from tests.simulation.virtual_time import EPOCH_S, Process, put_in_place
from web.http.admission import Admission

LEVELS = LevelHistory((LevelChange(LATEST, 0),))
HEARTBEAT_S = 1.0
STREAM_S = 0.001
FAUST_CRASHED = 1
SEARCH_S, SEARCH_GRACE_S = 6.0, 3.0


def make_producer(**_: Any) -> Producer:
    """In the place of `AIOKafkaProducer` in the command sender."""
    cluster = consumer_module.CLUSTERS[""]
    return Producer(cluster, cluster.new_producer_id(), 0)


put_in_place(sender_module, AIOKafkaProducer=make_producer)


class Letters:
    """In the place of `MessageRenderer`: what a letter says is not simulated."""

    def write(self, order_id: str, notification: Notification, placed: Placed) -> CustomerMessage:
        assert placed.contact is not None
        at = datetime.fromtimestamp(notification.requested_at / 1000, UTC)
        return CustomerMessage(
            notification.notification_id, order_id, placed.contact, notification.event_type, "", "",
            "", at, at,
        )  # fmt: skip


class Reader:
    """In the place of `KafkaReader`, as the search for missing webhooks asks it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def since(self, topic: str, since_ms: int, take: Callable[[Any], None]) -> Any:
        """Give all records of a topic since then; places and unusable records are nobody's business here."""
        logs = [log for tp, log in sorted(self._cluster.logs.items()) if tp.topic == topic]
        found = [record for log in logs for record in log.records if record.timestamp >= since_ms]
        await self._cluster.ask_until(lambda: None)
        for record in found:
            take(record)
        return {}, 0


class Searches(Background):
    """What the reconciliation does about lost webhooks, at one worker and at a pace of its own."""

    def __init__(
        self, worker: Worker, sender: KafkaCommandSender, now_s: Callable[[], float]
    ) -> None:
        super().__init__()
        self._worker, self._now_s = worker, now_s
        reader: Any = Reader(worker.around.cluster)
        self._missing = MissingWebhooks(worker.gateway, sender, worker.intake.take, reader)

    async def _run(self) -> None:
        payments = self._worker.runtime.tables["payments"]
        while True:
            await asyncio.sleep(SEARCH_S)
            if RUNNER_PARTITION not in payments.open_partitions():
                continue
            until_ms = round((self._now_s() - SEARCH_GRACE_S) * 1000)
            search = self._missing.search(
                int(EPOCH_S * 1000), until_ms,
                is_runner=lambda: RUNNER_PARTITION in payments.open_partitions(),
                found=lambda _: None,
            )  # fmt: skip
            try:
                async for end_ms, _ in search:
                    self._worker.around.on_search(end_ms)
            except (UnavailableError, InvalidError):
                continue


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker is given. stripe_http: in the place of the HTTP client under Stripe's SDK.

    on_search: told up to when nothing of Stripe's is missing in Kafka.
    """

    cluster: Cluster
    group: Group
    settings: Settings
    stripe_http: Callable[[float], Any]
    mail: Any
    on_search: Callable[[int], None]


class Worker:
    """One process of a worker, from its start to its end. `started`: once it takes requests."""

    def __init__(self, name: str, disk: Disk, around: Surroundings, draw: random.Random) -> None:
        self.name, self.url = name, f"http://{name}:6066"
        self.disk, self.around, self.draw = disk, around, draw
        self.process = Process(name, skew_s=draw.uniform(-2.0, 2.0))
        self.runtime: Any = None
        self.is_stopping = False
        self.lose_share = 0.0
        self.context: Any = None
        self.gateway: Any = None
        self.intake: Any = None
        self._parts: list[Background] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        self.process.spawn(self._run())

    async def stop(self) -> None:
        """As at SIGTERM; runs in the worker's own process."""
        self.is_stopping = True
        for part in reversed(self._parts):
            await part.stop()
        await self.runtime._task_manager.stop()
        self.consumer.leave_group(0.5)
        self.process.kill()

    # -- wiring

    async def _run(self) -> None:
        around, settings = self.around, self.around.settings
        declared = declare(settings, frozenset({Channel.EMAIL}))
        app: Any = declared.app
        runtime = declared.runtime
        self.app, self.runtime = app, runtime
        for hosted in runtime._services:
            put_in_place(hosted.table, _data=Store(self.disk, hosted.name))
        self._join_group()
        runtime.use_levels(lambda: LEVELS)
        sender = self.sender = KafkaCommandSender("simulated")
        put_in_place(gateway_module, PooledHTTPClient=around.stripe_http)
        gateway = self.gateway = StripeGateway(
            settings.stripe_secret_key.get_secret_value(), base_url="http://stripe",
            write_timeout_s=settings.stripe_write_timeout_s,
            read_timeout_s=settings.stripe_read_timeout_s, rate_per_s=1000.0,
        )  # fmt: skip
        clock = BrokerClock(
            sender, worker=self.url, partitions=settings.partitions,
            max_offset_s=settings.clock_most_off_s,
        )  # fmt: skip
        runtime.remove_due_by(lambda: None if clock.reasons() else clock.now_ms())
        payments, orders = runtime.tables["payments"], runtime.tables["orders"]
        self.intake = EventIntake(
            gateway, _note_nothing, KnownReceipts(payments.get).has, clock.now_s
        )
        effects = EffectsService(
            gateway, sender, now_s=clock.now_s, clock_known=clock.synced,
            concurrency=settings.effects_concurrency, confirm_deadline_s=settings.confirm_deadline_s,
        )  # fmt: skip
        reconciler = self.reconciler = Reconciler(
            gateway, sender, after_s=settings.reconcile_after_s,
            interval_s=settings.reconcile_interval_s, now_s=clock.now_s,
        )  # fmt: skip
        notifier = Notifier(
            {Channel.EMAIL: around.mail}, Letters(), orders.get, sender,
            concurrency=settings.notifier_concurrency, backoff=Backoff(0.5, 5.0),
            max_age_s=settings.notification_max_age_s, session_s=settings.session_timeout_s,
            now_s=clock.now_s,
        )  # fmt: skip
        timers = Timers(
            sender, functools.partial(caught_up, runtime), clock_known=clock.synced,
            now_s=clock.earliest_now_s,
        )  # fmt: skip
        for table, listener in (
            (payments, effects), (payments, reconciler), (orders, timers),
            (runtime.tables["notifications"], notifier),
        ):  # fmt: skip
            table.add_listener(listener)
        bounds = SimpleNamespace(command_s=settings.command_wait_s)
        deps = SimpleNamespace(sender=sender, admission=Admission(), bounds=bounds)
        self.context = SimpleNamespace(tables=runtime.tables, deps=deps, under_way=set())
        searches = Searches(self, sender, clock.now_s)
        self._parts = [clock, notifier, timers, reconciler, effects, searches]
        for part in self._parts:
            part.start()

    def _join_group(self) -> None:
        around, app = self.around, self.app
        thread = ConsumerThread(around.cluster, around.group, self.name, self.draw)
        services = self.runtime._services
        kind = type(
            "Consumer",
            (SimulatedConsumer, app.transport.Consumer),
            {"new_thread": staticmethod(lambda: thread)},
        )
        self.consumer = kind(
            app.transport, callback=None or _nothing, on_partitions_revoked=_nothing,
            on_partitions_assigned=_nothing, beacon=app.beacon,
        )  # fmt: skip
        thread.consumer = self.consumer
        self.thread = thread
        app.consumer = self.consumer
        app.__dict__["assignor"] = self.assignor = Assignor(
            services.readers_by_topic, (each.changelog for each in services), around.group
        )
        app.__dict__["_fetcher"] = SimpleNamespace(maybe_start=_nothing)
        app._producer = None
        for table in app.tables.values():
            app.tables._changelogs[table.changelog_topic.get_topic_name()] = table
        self.streams = {
            (hosted.name, topic): asyncio.Queue[Any]()
            for hosted in services
            for topic in hosted.service.inputs
        }
        for hosted in services:
            for topic in hosted.service.inputs:
                self._spawn(self._stream(hosted, topic))
        recovery = app.tables.recovery
        self._spawn(Recovery.__dict__["_restart_recovery"].fun(recovery))
        self._spawn(self._fetch())
        self._spawn(self._be_member())

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._crash)
        self._tasks.append(task)

    def _crash(self, _: asyncio.Task[Any]) -> None:
        """A part of Faust has ended, as its recovery does when Kafka does not answer: Faust ends the worker."""
        if self.process.is_alive and not self.is_stopping:
            put_in_place(self.process, exit_status=FAUST_CRASHED)
            self.process.kill()

    # -- what Faust does

    async def _fetch(self) -> None:
        """Faust's fetcher: gives what comes to the streams."""
        while True:
            async for tp, message in self.consumer.getmany(1.0):
                for hosted in self.runtime._services.readers_by_topic[tp.topic]:
                    self.streams[hosted.name, tp.topic].put_nowait(message)

    async def _stream(self, hosted: Any, topic: str) -> None:
        """An agent's stream: each gets its events for itself."""
        queue, feeder = self.streams[hosted.name, topic], self.runtime._task_manager.feeder
        while True:
            message = await queue.get()
            if self.draw.random() < self.lose_share:
                continue
            if self.draw.random() < 0.2:
                await asyncio.sleep(self.draw.random() * STREAM_S)
            feeder.feed(hosted, message.topic, message.partition, message.value)

    async def _be_member(self) -> None:
        """As aiokafka's coordinator routine with Faust's listener."""
        app, thread, around = self.app, self.thread, self.around
        group = around.group
        while True:
            if thread.assigned:
                beating = asyncio.create_task(self._beat(), name="heartbeats")
                await self._revoke()
                beating.cancel()
            app.on_rebalance_start()
            try:
                generation, owned = await around.cluster.ask(
                    lambda: group.join(self.name, self.url),
                    group.rebalance_s + 5.0,
                )
            except Exception:  # noqa: BLE001 -- as aiokafka: it tries again
                await asyncio.sleep(0.2)
                continue
            app.consumer_generation_id = generation
            self.assignor.owned = owned
            assigned = self.assignor.assigned_actives()
            thread.assign(generation, assigned)
            await self._assign(assigned, generation)
            await self._beat()

    async def _beat(self) -> None:
        """Until there is a rebalance."""
        thread, group = self.thread, self.around.group
        generation, failures_since_s = thread.generation, self.around.cluster.loop.now_s
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                said = await self.around.cluster.ask(
                    lambda: group.heartbeat(self.name, generation), 3.0
                )
            except Exception:  # noqa: BLE001 -- lost: aiokafka rejoins when the session is over
                if self.around.cluster.loop.now_s - failures_since_s > group.session_s:
                    return
                continue
            failures_since_s = self.around.cluster.loop.now_s
            if said:
                return

    async def _revoke(self) -> None:
        app, consumer = self.app, self.consumer
        app.on_rebalance_start()
        app.tables.recovery.on_partitions_revoked(set(self.thread.assigned))
        consumer.stop_flow()
        consumer.pause_partitions(self.thread.assignment())
        for queue in self.streams.values():
            while not queue.empty():
                queue.get_nowait()
        await app.on_partitions_revoked.send(set(self.thread.assigned))

    async def _assign(self, assigned: set[TP], generation: int) -> None:
        app = self.app
        revoked, newly_assigned = app._update_assignment(assigned)
        await asyncio.sleep(0)
        self.consumer.pause_partitions(assigned)
        await asyncio.sleep(0)
        for table in app.tables.values():
            await table.on_rebalance(assigned, revoked, newly_assigned, generation)
        await asyncio.sleep(0)
        await app.tables.recovery.on_rebalance(assigned, revoked, newly_assigned, generation)


async def _nothing(*_: Any, **__: Any) -> None:
    """Nothing is to be done."""


async def _note_nothing(*_: Any) -> None:
    """The audit of webhooks is not simulated."""
