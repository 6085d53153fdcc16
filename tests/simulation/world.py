"""One history: a plan is carried out, then all faults end, and what is left is waited for."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from faust.types import TP

from agents import services
from app.settings import Settings
from models.topics import TOPICS
from tables.changelog import PROGRESS_KEY
from tests.simulation import consumer
from tests.simulation.database import Disk
from tests.simulation.kafka import Cluster, Group
from tests.simulation.mail import Mail
from tests.simulation.people import NoAnswerError, People
from tests.simulation.plan import FaultPlan, Plan
from tests.simulation.stripe import HTTPClient, SimulatedStripe
from tests.simulation.virtual_time import CLOCKS, Process, SimulatedLoop
from tests.simulation.worker import Surroundings, Worker

PARTITIONS = 3
SESSION_S, REBALANCE_S = 6.0, 8.0
RESTART_S = 2.0
REQUEST_S = 14.0
QUIET_S = 8.0
"""So long nothing may be written and nothing may wait, and the history is over."""
MAX_QUIET_WAIT_S = 400.0


@dataclass
class History:
    """What happened, in order. answers: what people were told. exits: workers that ended by themselves."""

    lines: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    exits: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    commits: list[tuple[str, int, int, int]] = field(default_factory=list)
    quiet_at_s: float | None = None

    def digest(self) -> str:
        """Of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


class World:
    """All that there is. After `run` it holds what the checker reads."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = SimulatedLoop(self.draw("order"))
        single = [topic.name for topic in TOPICS.values() if topic.partitions == 1]
        self.cluster = Cluster(self.loop, self.draw("network"), PARTITIONS, single)
        self.history = History()
        self.cluster.on_append = self._appended
        self.group = Group(self.cluster, SESSION_S, REBALANCE_S, self._generation)
        self.group.on_commit = self._committed
        self._progress: dict[tuple[str, int], dict[str, int]] = {}
        self.stripe = SimulatedStripe(self.loop, self.draw("stripe"), self._take_webhook)
        self.mail = Mail(self.loop, self.draw("mail"))
        self.settings = Settings(
            _env_file=None, sandbox=True, partitions=PARTITIONS, session_timeout_s=SESSION_S,
            rebalance_timeout_s=REBALANCE_S, payment_deadline_s=40.0, late_payment_s=20.0,
            kitchen_deadline_s=25.0, stripe_write_timeout_s=4.0, stripe_read_timeout_s=4.0,
            reconcile_after_s=6.0, reconcile_interval_s=5.0, confirm_deadline_s=20.0,
            notification_repeat_after_s=30.0, smtp_host="mail", mail_from="a@example.com",
        )  # fmt: skip
        self.around = Surroundings(
            self.cluster,
            self.group,
            self.settings,
            lambda _: HTTPClient(self.stripe),
            self.mail,
            self._searched,
        )  # fmt: skip
        self.workers: dict[int, Worker] = {}
        self.disks: dict[int, Disk] = {}
        self._starts = 0
        self._waiting: dict[Process, set[asyncio.Future[Any]]] = {}
        self.is_healing = False
        self.searched_ms = 0
        self.readers = {each.name: tuple(each.inputs) for each in services()}

    def draw(self, what: str) -> random.Random:
        """Numbers of the seed, of their own for each purpose."""
        return random.Random(f"{what} {self.plan.seed}")

    def run(self) -> History:
        """Let it all happen. Raises StuckError."""
        with _determinism(self.loop, self.plan.seed):
            consumer.CLUSTERS[""] = self.cluster
            self.loop.run_until_complete(self.loop.world.spawn_in(self.loop, self._main()))
        return self.history

    def note(self, what: str, **facts: Any) -> None:
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        self.history.lines.append(f"{self.loop.now_s:.6f} {self.loop.steps} {what} {told}")

    def orders(self) -> dict[str, int]:
        """Order -> what its customer agreed to pay."""
        people = (People(self, order, self.draw("")) for order in self.plan.orders)
        return {each.order_id: each.plan.amount for each in people}

    # -- the course of things

    async def _main(self) -> None:
        for number in range(self.plan.workers):
            self.start_worker(number)
        acting = [
            asyncio.create_task(People(self, order, self.draw(f"people {order.number}")).act())
            for order in self.plan.orders
        ]
        striking = [asyncio.create_task(self._strike(fault)) for fault in self.plan.faults]
        await asyncio.gather(*acting, *striking)
        await self._heal()
        await self._until_quiet()
        self.note("over")
        for tp, log in sorted(self.cluster.logs.items()):
            digest = hashlib.sha256(repr(log.records).encode()).hexdigest()
            self.history.lines.append(f"{tp.topic}/{tp.partition} {log.next_offset} {digest}")

    async def _heal(self) -> None:
        self.note("healing")
        self.is_healing = True
        self.cluster.trouble = type(self.cluster.trouble)()
        self.cluster.down.clear()
        self.stripe.trouble = type(self.stripe.trouble)()
        self.mail.away = self.mail.unanswered = 0.0
        for number in range(self.plan.workers):
            if not self.workers[number].process.is_alive:
                self.start_worker(number)
        self.stripe.close_disputes()

    async def _until_quiet(self) -> None:
        """Wait until for a while nothing was written but checkpoints, and nobody has anything to do."""
        until_s = self.loop.now_s + MAX_QUIET_WAIT_S
        seen, since_s = self._state(), self.loop.now_s
        while self.loop.now_s < until_s:
            await asyncio.sleep(1.0)
            state = self._state()
            if state != seen or self._is_busy():
                seen, since_s = state, self.loop.now_s
            elif self.loop.now_s - since_s >= QUIET_S:
                self.history.quiet_at_s = self.loop.now_s
                return
        self.history.wrong.append(f"it never becomes quiet: {self._why_busy()}")

    def _state(self) -> Any:
        ends = {tp: log.next_offset for tp, log in self.cluster.logs.items() if tp.topic in TOPICS}
        return {tp: end for tp, end in ends.items() if tp.topic != "worker-clocks"}, len(
            self.mail.letters
        )

    def _searched(self, until_ms: int) -> None:
        self.searched_ms = max(self.searched_ms, until_ms)

    def _is_busy(self) -> bool:
        return bool(self._why_busy())

    def _why_busy(self) -> str:
        latest = max((event["created"] for event in self.stripe.state.events.values()), default=0)
        if self.searched_ms <= (latest + 1) * 1000:
            return "Stripe's events have not been searched"
        if not self.alive():
            return "nobody is there"
        reasons = (self._why_worker_busy(number, worker) for number, worker in self.alive())
        return next(filter(None, reasons), "")

    def _why_worker_busy(self, number: int, worker: Worker) -> str:
        if worker.runtime is None or not worker.runtime.ready():
            return f"worker {number} is not ready"
        services = worker.runtime._services
        for hosted, task in services.tasks():
            place = f"{hosted.name}/{task.partition}"
            if task.in_flight or task.inbox.waiting:
                return f"{place} has inputs"
            if task.durable_offsets != task.checkpointed_offsets:
                return f"{place} has no checkpoint"
            for topic, offset in task.inbox.next_offsets.items():
                tp = TP(topic, task.partition)
                readers = [
                    each.tasks.get(task.partition) for each in services.readers_by_topic[topic]
                ]
                done = min(each.durable_offsets[topic] + 1 for each in readers if each)
                is_committed = self.group.committed.get(tp, (0, ""))[0] >= done
                if offset < self.cluster.log(tp).next_offset or not is_committed:
                    return f"{place} lags in {topic}, or has not committed it"
        pending = {type(part).__name__: getattr(part, "pending", 0) for part in worker._parts}
        watches = worker.reconciler._watches.values()
        pending["Reconciler"] = sum(not watch.waits_for_receipt for watch in watches)
        left = {name: count for name, count in pending.items() if count}
        return f"worker {number} has {left}" if left else ""

    # -- workers

    def alive(self) -> list[tuple[int, Worker]]:
        return [(n, w) for n, w in sorted(self.workers.items()) if w.process.is_alive]

    def start_worker(self, number: int) -> None:
        self._starts += 1
        disk = self.disks.setdefault(number, Disk())
        name = f"w{number}-{self._starts}"
        worker = Worker(name, disk, self.around, self.draw(f"worker {name}"))
        worker.process.on_death = lambda: self._died(number, worker)
        self.workers[number] = worker
        self.note("start", worker=name)
        worker.start()

    def _died(self, number: int, worker: Worker) -> None:
        status = getattr(worker.process, "exit_status", None)
        self.note("died", worker=worker.name, status=status)
        if status is not None:
            self.history.exits.append((worker.name, status))
        for future in self._waiting.pop(worker.process, set()):
            if not future.done():
                self.loop.in_world(_break_off, future, after_s=0.01)
        self.loop.in_world(self._restart, number, worker, after_s=RESTART_S)

    def _restart(self, number: int, worker: Worker) -> None:
        """The supervisor starts it again."""
        if self.workers.get(number) is worker and number < self.plan.workers:
            self.start_worker(number)

    def _generation(self, generation: int, owned: Any) -> None:
        told = {name: sorted(partitions) for name, partitions in owned.items()}
        self.note("generation", number=generation, owned=told)

    def _committed(self, positions: Mapping[TP, tuple[int, str]]) -> None:
        """Note what was committed, and what the changelogs say by now."""
        for tp, (offset, _) in sorted(positions.items()):
            readers = [name for name, inputs in self.readers.items() if tp.topic in inputs]
            done = [
                self._progress.get((name, tp.partition), {}).get(tp.topic, -1) for name in readers
            ]
            self.history.commits.append((*tp, offset, min(done) + 1))
            self.note("commit", tp=f"{tp.topic}/{tp.partition}", offset=offset)

    def _appended(self, tp: TP, first: int, count: int) -> None:
        if tp.topic.endswith("-changelog"):
            for record in self.cluster.log(tp).records[-count:]:
                if record.key == PROGRESS_KEY:
                    name = tp.topic.split("-")[-2]
                    assert record.value is not None
                    self._progress[name, tp.partition] = orjson.loads(record.value)["offsets"]
        self.note("append", tp=f"{tp.topic}/{tp.partition}", first=first, count=count)

    # -- what comes to workers from outside

    async def call(self, worker: Worker, work: Callable[[], Any], within_s: float) -> Any:
        """Have something done in a worker's process. Raises NoAnswerError."""
        answered = self.loop.create_future()
        process = worker.process
        if not process.is_alive:
            raise NoAnswerError
        self._waiting.setdefault(process, set()).add(answered)

        async def do() -> None:
            result, error = None, None
            try:
                result = await work()
            except Exception as exc:  # noqa: BLE001 -- it is the answer
                error = exc
            self.loop.in_world(answer, result, error, after_s=0.002)

        def answer(result: Any, error: Exception | None) -> None:
            if answered.done():
                return
            if error is not None:
                answered.set_exception(error)
            else:
                answered.set_result(result)

        self.loop.in_world(lambda: process.is_alive and process.spawn(do()), after_s=0.002)
        try:
            async with asyncio.timeout(within_s):
                return await answered
        except TimeoutError:
            raise NoAnswerError from None
        finally:
            self._waiting.get(process, set()).discard(answered)

    async def request(self, write: Any, settle: Any, draw: random.Random) -> Any:
        """A command by HTTP, at the worker that owns the order; forwarding is not simulated."""
        candidates = [w for _, w in self.alive() if w.context is not None]
        if not candidates:
            raise NoAnswerError
        owners = [w for w in candidates if w.context.tables[write.service].owns(write.order_id)]
        worker = draw.choice(owners or candidates)
        return await self.call(worker, lambda: settle(worker.context, write), REQUEST_S)

    def answered(self, write: Any, code: str, events: tuple[str, ...]) -> None:
        """Somebody was told what became of a command."""
        self.note("answer", order=write.order_id, action=write.command_type, code=code)
        self.history.answers.append(
            {
                "service": write.service, "order": write.order_id, "command": write.command_id,
                "type": str(write.command_type), "code": code, "events": list(events),
            }
        )  # fmt: skip

    def read(self, service: str, order_id: str) -> Any:
        """What a view shows: the owner's record, None while nobody answers."""
        for _, worker in self.alive():
            if worker.context is not None:
                table = worker.context.tables[service]
                if table.owns(order_id):
                    return table.get(order_id)
        return None

    async def _take_webhook(self, event: Any) -> bool:
        candidates = [w for _, w in self.alive() if w.context is not None]
        if not candidates:
            return False
        worker = self.stripe.draw.choice(candidates)

        async def take() -> None:
            facts = await worker.intake.take_webhook(event)
            if facts is not None:
                await worker.sender.send_webhook(facts)

        try:
            await self.call(worker, take, 10.0)
        except Exception:  # noqa: BLE001 -- anything but a 2xx: Stripe sends it again
            return False
        self.note("webhook", id=event["id"], type=event["type"])
        return True

    # -- faults

    async def _strike(self, fault: FaultPlan) -> None:
        await asyncio.sleep(fault.at_s)
        self.note("fault", kind=fault.kind, worker=fault.worker, for_s=fault.for_s)
        number = fault.worker % self.plan.workers
        worker = self.workers[number]
        match fault.kind:
            case "crash" | "power cut" | "wipe":
                process = worker.process
                while process.is_alive:
                    if process.steps_left is None:
                        process.at_last_step = process.kill
                        process.steps_left = fault.steps
                    await asyncio.sleep(0.05)
                if fault.kind == "power cut":
                    self.disks[number].lose_power(self.draw(f"power {fault.number}"))
                elif fault.kind == "wipe":
                    self.disks[number].wipe()
            case "stop":
                process = worker.process
                process.at_last_step = lambda: self._stop(process, fault.for_s)
                process.steps_left = fault.steps
            case "restart":
                if worker.runtime is not None and worker.process.is_alive:
                    worker.process.spawn(worker.stop())
            case "join":
                await self._join(fault)
            case _:
                await self._trouble(fault)

    def _stop(self, process: Process, for_s: float) -> None:
        process.at_last_step = process.kill
        self.note("stop", worker=process.name)
        self.history.stopped.append(process.name)
        self.loop.stop_process(process, for_s)

    async def _join(self, fault: FaultPlan) -> None:
        """One more worker, for a while."""
        number = 100 + fault.number
        self.start_worker(number)
        await asyncio.sleep(fault.for_s + 5.0)
        worker = self.workers.pop(number)
        if worker.process.is_alive and worker.runtime is not None:
            stopping = worker.process.spawn(worker.stop())
            while worker.process.is_alive and not stopping.done():  # noqa: ASYNC110 -- likewise
                await asyncio.sleep(0.1)
        worker.process.kill()

    async def _trouble(self, fault: FaultPlan) -> None:
        trouble, stripe = self.cluster.trouble, self.stripe.trouble
        mild = min(fault.share, 0.5)
        places: dict[str, tuple[Any, str, float]] = {
            "requests lost": (trouble, "lost", mild),
            "answers lost": (trouble, "unanswered", mild),
            "slow network": (trouble, "slow_s", 0.5 * fault.share),
            "stripe times out before": (stripe, "before", fault.share),
            "stripe times out after": (stripe, "after", fault.share),
            "stripe answers 500 before": (stripe, "error_before", fault.share),
            "stripe answers 500 after": (stripe, "error_after", fault.share),
            "webhooks lost": (stripe, "webhooks_lost", fault.share),
            "webhooks late": (stripe, "webhooks_late_s", fault.for_s),
            "webhooks doubled": (stripe, "webhooks_doubled", fault.share),
            "mail away": (self.mail, "away", fault.share),
            "mail unanswered": (self.mail, "unanswered", fault.share),
        }
        if fault.kind in places:
            place, name, value = places[fault.kind]
            before = type(place).__dataclass_fields__[name].default
            setattr(place, name, value)
            await asyncio.sleep(fault.for_s)
            setattr(place, name, before)
        else:
            await self._kafka_trouble(fault)

    async def _kafka_trouble(self, fault: FaultPlan) -> None:
        draw = self.draw("trouble")
        if fault.kind == "cut off":
            name = self.workers[fault.worker % self.plan.workers].name
            self.cluster.cut_off.add(name)
            await asyncio.sleep(fault.for_s)
            self.cluster.cut_off.discard(name)
        elif fault.kind == "leader away":
            self.cluster.down[fault.worker % PARTITIONS] = self.loop.now_s + fault.for_s
        elif fault.kind == "compaction":
            for tp, log in sorted(self.cluster.logs.items()):
                if tp.topic.endswith("-changelog") and log.next_offset > 2:
                    log.compact(draw.randrange(log.next_offset - 1))
        elif fault.kind == "empty offsets":
            for tp, log in sorted(self.cluster.logs.items()):
                if tp.topic in TOPICS:
                    log.next_offset += draw.randrange(3)
        elif fault.kind == "streams lose":
            for _, worker in self.alive():
                worker.lose_share = fault.share
            await asyncio.sleep(fault.for_s)
            for _, worker in self.alive():
                worker.lose_share = 0.0


def _break_off(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(NoAnswerError())


@contextmanager
def _determinism(loop: SimulatedLoop, seed: int) -> Iterator[None]:
    """No log is written, nothing is collected, clocks are virtual."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.collect()
    gc.freeze()
    gc.disable()
    asyncio.set_event_loop(loop)
    CLOCKS.begin(loop, seed)
    warnings.simplefilter("ignore", RuntimeWarning)  # a killed process leaves coroutines behind
    try:
        yield
    finally:
        CLOCKS.end()
        asyncio.set_event_loop(None)
        gc.enable()
