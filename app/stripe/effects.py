"""Performs the Stripe writes that payments' table holds, and reports how they ended.

An effect is a row (app/task_runner.py): stored before it is made, pending until its result is decided.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram, values
from app.stripe.effect_attempt import EffectAttempt, EffectAttemptRunner
from app.stripe.errors import MisconfiguredError
from app.stripe.gateway import StripeGateway
from app.task_runner import Backoff, RowTask, RowTasks
from models import ids, tracing
from models.commands import Command, CommandType, StripeResult
from models.errors import StripeUnavailableError
from models.payment import Effect, EffectKind, PaymentRecord
from models.sender import CommandSender
from models.times import to_rfc3339

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:effects"
BACKOFF: Final = Backoff(0.25, 30.0)


class EffectsService(RowTasks[Effect, EffectAttempt], Collector):
    """One task for each pending effect. A collector of metrics too."""

    def __init__(
        self,
        gateway: StripeGateway,
        sender: CommandSender,
        *,
        concurrency: int,
        confirm_deadline_s: float,
        backoff: Backoff = BACKOFF,
        now_s: Callable[[], float] = time.time,
        clock_known: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """concurrency: effects being made at one time, at most half of them creates.

        backoff: between two tries of an effect. now_s: Kafka's clock, which gave the times at which
        effects were requested. clock_known: waited for before any is made: by a clock that is ahead each
        confirm would be too late.
        """
        super().__init__(sender, backoff, now_s, ready=clock_known)
        self._runner = EffectAttemptRunner(gateway, confirm_deadline_s, now_s)
        self._duration = Histogram("tiffin_effect_duration_seconds")
        self._calls = asyncio.Semaphore(concurrency)
        self._creates = asyncio.Semaphore(max(1, concurrency // 2))

    @property
    def pending(self) -> int:
        """Effects that wait, are being made, or whose result has not been decided yet."""
        return len(self._all())

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        pending, oldest_s = dict.fromkeys(EffectKind, 0), dict.fromkeys(EffectKind, 0.0)
        now_s = self._now_s()
        for each in self._all():
            effect = each.work.effect
            pending[effect.kind] += 1
            age_s = now_s - effect.requested_at / 1000
            oldest_s[effect.kind] = max(oldest_s[effect.kind], age_s)
        yield values("tiffin_effects_pending", pending)
        yield values("tiffin_effect_oldest_seconds", oldest_s)
        yield values("tiffin_effect_results_total", self.counters.results)
        yield values("tiffin_effect_errors_total", self.counters.errors)
        yield from self._duration.collect()

    def _wanted(self, state: PaymentRecord) -> Mapping[str, Effect]:
        return {effect.idempotency_key: effect for effect in state.work.effects.values()}

    def _begin(
        self, key: str, item: Effect, state: PaymentRecord, opened_ms: float
    ) -> EffectAttempt:
        # A clock that is off costs a look-up or saves one; the key keeps it from being made twice.
        is_unknown = item.requested_at <= opened_ms
        work = state.work
        return EffectAttempt(key, item, work.correlation_id, work.charges, is_unknown=is_unknown)

    def _keep(self, each: RowTask[EffectAttempt], _item: Effect, state: PaymentRecord) -> bool:
        each.work.charges = state.work.charges
        return True

    def _log_context(self, work: EffectAttempt) -> dict[str, str]:
        return {tracing.TRACEPARENT: tracing.continued(work.effect.traceparent)}

    def _failures_before(self, work: EffectAttempt) -> int:
        return work.effect.tries - 1

    async def _attempt(self, each: RowTask[EffectAttempt]) -> bool:
        effect = each.work.effect
        name, kind = f"effect {effect.kind}", tracing.SpanKind.INTERNAL
        with tracing.span(name, kind, parent=effect.traceparent) as span:
            return await self._attempt_within(each.work, span)

    async def _attempt_within(self, attempt: EffectAttempt, span: tracing.Span) -> bool:
        result = None
        try:
            result = await self._perform(attempt)
        except StripeUnavailableError as error:
            self._count_error(attempt, error)
        except Exception as error:
            self.counters.errors[type(error).__name__] += 1
            log.exception("unexpected error in an effect", effect=attempt.effect.idempotency_key)
        if result is None:
            span.fail("trying again")
            return False
        span.set("tiffin.result", result.result)
        await self._report_result(attempt, result)
        return True

    async def _perform(self, attempt: EffectAttempt) -> StripeResult | None:
        # A flood of new orders must leave room for those that are paying.
        is_create = attempt.effect.kind is EffectKind.CREATE_INTENT
        async with self._creates if is_create else contextlib.nullcontext(), self._calls:
            self.counters.in_flight += 1
            try:
                return await self._runner.run(attempt)
            finally:
                self.counters.in_flight -= 1

    def _count_error(self, attempt: EffectAttempt, error: StripeUnavailableError) -> None:
        name = type(error).__name__
        self.counters.errors[name] += 1
        about = {"effect": attempt.effect.idempotency_key, "reason": str(error)}
        if isinstance(error, MisconfiguredError):
            log.error("Stripe refuses our key or address: NO PAYMENT WORKS", **about)
        else:
            log.warning("Stripe gave no answer; trying again", error=name, **about)

    async def _report_result(self, attempt: EffectAttempt, result: StripeResult) -> None:
        effect = attempt.effect
        await self._report(
            Command(
                order_id=attempt.order_id,
                command_id=ids.command_id("result", result.idempotency_key, result.result),
                command_type=CommandType.STRIPE_RESULT,
                issued_at=to_rfc3339(round(self._now_s() * 1000)), issued_by=ISSUER,
                causation_id=effect.effect_id, correlation_id=attempt.correlation_id, data=result,
            )
        )  # fmt: skip
        self.counters.results[effect.kind, result.result] += 1
        took_s = max(0.0, self._now_s() - effect.requested_at / 1000)
        self._duration.observe(took_s, effect.kind, result.result)
        about = {"effect": effect.idempotency_key, "kind": effect.kind}
        log.info("an effect ended", **about, result=result.result, code=result.code)
