"""The effects service: performs the Stripe writes that payments' table holds, and reports how they ended.

The table is the work list: an effect is durable before it is made, and stays pending until its
result, a command, has been decided. So a crash at any point leaves an effect that is found again.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from app.stripe.effect_attempt import EffectAttempt, EffectAttemptRunner
from app.stripe.errors import MisconfiguredError
from app.stripe.gateway import StripeGateway
from models import ids, tracing
from models.commands import Command, CommandType, StripeResult
from models.errors import KafkaUnavailableError, StripeUnavailableError
from models.payment import EffectKind, PaymentRecord
from models.times import to_rfc3339
from tables import StoredRecord

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:effects"
INITIAL_BACKOFF_S: Final = 0.25
MAX_BACKOFF_S: Final = 30.0


class Sender(Protocol):
    """What is needed of a command sender."""

    async def send(self, command: Command) -> None:
        """Return once Kafka has it. Raises KafkaUnavailableError."""


@dataclass(slots=True)
class EffectCounters:
    """Counts since the start; in_flight is the number of calls of Stripe under way now.

    results: (kind of effect, how it ended) -> reports. errors: class -> what had to be tried again.
    """

    in_flight: int = 0
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Job:
    """One pending effect (one try of it) and the task that performs it."""

    attempt: EffectAttempt
    correlation_id: str
    is_wanted: bool = True
    task: asyncio.Task[None] | None = None


class EffectsService:
    """A listener of payments' table. All methods run on the worker's event loop.

    Each pending effect of an owned partition is performed by one task, from the moment it is
    stored until Kafka has its result; a partition that closes ends its tasks, and its next owner
    looks up what they left.
    """

    def __init__(
        self,
        gateway: StripeGateway,
        sender: Sender,
        *,
        concurrency: int = 16,
        confirm_deadline_s: float = 90.0,
        backoff_s: tuple[float, float] = (INITIAL_BACKOFF_S, MAX_BACKOFF_S),
        now_s: Callable[[], float] = time.time,
        clock_known: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """concurrency: effects being made at one time, at most half of them creates.

        backoff_s: first and longest between two tries of an effect. now_s: Kafka's clock, which gave
        the times at which effects were requested. clock_known: waited for before any is made: by a
        clock that is ahead each confirm would be too late.
        """
        self.counters = EffectCounters()
        self._sender = sender
        self._runner = EffectAttemptRunner(gateway, confirm_deadline_s, now_s)
        self._calls = asyncio.Semaphore(concurrency)
        self._creates = asyncio.Semaphore(max(1, concurrency // 2))
        self._backoff_s = backoff_s
        self._now_s = now_s
        self._clock_known = clock_known
        self._jobs: dict[str, dict[str, _Job]] = {}
        self._orders: dict[int, set[str]] = {}
        self._opened_ms: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Effects that wait, are being made, or whose result has not been decided yet."""
        return sum(map(len, self._jobs.values()))

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Begin with the effects that are new in the record, forget those that are gone from it."""
        state: PaymentRecord = record.state
        opened_ms = self._opened_ms.setdefault(partition, self._now_s() * 1000)
        wanted = {effect.idempotency_key: effect for effect in state.work.effects.values()}
        jobs = self._jobs.get(key)
        if jobs is None:
            if not wanted:
                return
            jobs = self._jobs[key] = {}
            self._orders.setdefault(partition, set()).add(key)
        for effect_key in [effect_key for effect_key in jobs if effect_key not in wanted]:
            jobs.pop(effect_key).is_wanted = False
        for effect_key, effect in wanted.items():
            if effect_key in jobs:
                jobs[effect_key].attempt.charges = state.work.charges
                continue
            # What was requested before this worker had the partition may have been made already.
            # A clock that is off costs a look-up or saves one; the key keeps it from being twice.
            is_unknown = effect.requested_at <= opened_ms
            attempt = EffectAttempt(key, effect, state.work.charges, is_unknown=is_unknown)
            job = jobs[effect_key] = _Job(attempt, state.work.correlation_id)
            job.task = asyncio.create_task(self._perform(job), name=f"effect {effect_key}")
            self._tasks.add(job.task)
            job.task.add_done_callback(self._tasks.discard)
        if not jobs:
            del self._jobs[key]
            self._orders[partition].discard(key)

    def closed(self, partition: int) -> None:
        """Stop all work of a partition that is not ours any more."""
        self._opened_ms.pop(partition, None)
        for key in self._orders.pop(partition, ()):
            for job in self._jobs.pop(key).values():
                if job.task:
                    job.task.cancel()

    async def stop(self) -> None:
        """Stop all work; what was under way is looked up after the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _perform(self, job: _Job) -> None:
        effect = job.attempt.effect
        structlog.contextvars.clear_contextvars()  # of whoever happened to store the record
        structlog.contextvars.bind_contextvars(
            orderId=job.attempt.order_id,
            **{tracing.TRACEPARENT: tracing.continued(effect.traceparent)},
        )
        if self._clock_known is not None:
            await self._clock_known()
        failures = effect.tries - 1
        while job.is_wanted:
            await self._pause(failures)
            failures += 1
            try:
                result = await self._run(job.attempt)
            except StripeUnavailableError as error:
                self._note(job, error)
                continue
            except Exception as error:
                self.counters.errors[type(error).__name__] += 1
                log.exception("an effect met a bug", effect=effect.idempotency_key)
                continue
            if result is not None:
                await self._report(job, result)
                return

    async def _run(self, attempt: EffectAttempt) -> StripeResult | None:
        # A flood of new orders must leave room for those that are paying.
        is_create = attempt.effect.kind is EffectKind.CREATE_INTENT
        async with self._creates if is_create else contextlib.nullcontext(), self._calls:
            self.counters.in_flight += 1
            try:
                return await self._runner.run(attempt)
            finally:
                self.counters.in_flight -= 1

    def _note(self, job: _Job, error: StripeUnavailableError) -> None:
        name = type(error).__name__
        self.counters.errors[name] += 1
        about = {"effect": job.attempt.effect.idempotency_key, "reason": str(error)}
        if isinstance(error, MisconfiguredError):
            log.error("Stripe refuses our key or address: NO PAYMENT WORKS", **about)
        else:
            log.warning("Stripe gave no answer; trying again", error=name, **about)

    async def _report(self, job: _Job, result: StripeResult) -> None:
        """Send the result until Kafka has it; its id makes a second one harmless."""
        effect = job.attempt.effect
        command = Command(
            order_id=job.attempt.order_id,
            command_id=ids.command_id("result", result.idempotency_key, result.result),
            command_type=CommandType.STRIPE_RESULT,
            issued_at=to_rfc3339(round(self._now_s() * 1000)),
            issued_by=ISSUER,
            causation_id=effect.effect_id,
            correlation_id=job.correlation_id,
            data=result,
        )
        failures = 0
        while True:
            try:
                await self._sender.send(command)
            except KafkaUnavailableError as error:
                self.counters.errors[type(error).__name__] += 1
                failures += 1
                await self._pause(failures)
                continue
            break
        self.counters.results[effect.kind, result.result] += 1
        facts: dict[str, Any] = {"kind": effect.kind, "result": result.result, "code": result.code}
        log.info("an effect ended", effect=effect.idempotency_key, **facts)

    async def _pause(self, failures: int) -> None:
        """Nothing before the first call, then longer each time."""
        if failures:
            first_s, longest_s = self._backoff_s
            pause_s = min(longest_s, first_s * 2 ** min(failures - 1, 16))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
