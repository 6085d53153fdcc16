"""Compares whole accounts with Stripe: webhooks that never came, intents of no order, money that differs.

It runs at one worker, the owner of partition 0 of payments, and moves with that partition. What each run
found is a record of the topic `reconciliation`; its cursor says up to when all of Stripe's events are known to
be in Kafka. That is true whoever wrote it, so no fence is needed: a worker that has lost the partition unawares
repeats what the next one does, and repetitions are recognised (webhooks by event id, cancels by Stripe).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import structlog
from msgspec.structs import replace

from app.kafka.headers import record_headers
from app.kafka.reader import KafkaReader
from app.reconciliation.accounts import CANCELLED, KafkaAccount, StripeAccount, load_accounts
from app.reconciliation.missing_webhooks import MissingWebhooks
from app.stripe.errors import InvalidError
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.task_runner import Background
from models import ids
from models.errors import UnavailableError
from models.messages import decode_known, encode, full_values
from models.reconciliation import (
    MissingEvent,
    MoneyDifference,
    Orphan,
    ReconciliationReport,
    compare,
)
from models.sender import CommandSender
from models.times import DAY_MS, from_rfc3339, to_rfc3339
from models.topics import RECONCILIATION

log = structlog.stdlib.get_logger(__name__)

RUNNER_PARTITION: Final = 0
"""Of payments: its owner is the one runner."""
FIRST_LOOK_MS: Final = 3 * DAY_MS
"""Without a cursor: as long as Stripe itself repeats a webhook."""
STRIPE_KEEPS_MS: Final = 30 * DAY_MS

MAX_SHOWN: Final = 100
REPORTS_READ: Final = 20
"""Of the newest: a foreign record hides none of those before it."""
RETRY_S: Final = 15.0
SOURCE: Final = "/tiffin/reconciler"
REPORT_TYPE: Final = "RECONCILIATION_REPORT"
"""CloudEvents' ce_source and ce_type of a run's report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationSchedule:
    """When things are done, in seconds; see the settings of the same names. days: that are compared."""

    interval_s: float
    grace_s: float
    totals_interval_s: float
    orphan_grace_s: float
    days: int


class Reconciliation(Background):
    """One task a worker; it works only while `is_runner` says so.

    report: what the latest runs found, by whichever worker; None at all but the runner. counters: since
    the worker's start.
    """

    def __init__(
        self,
        gateway: StripeGateway,
        intake: EventIntake,
        sender: CommandSender,
        kafka: KafkaReader,
        *,
        is_runner: Callable[[], bool],
        schedule: ReconciliationSchedule,
        take_back: Callable[[Collection[str]], Awaitable[None]],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """take_back: is told platform ids that are ours and were lost (app/platform_identity.py)."""
        super().__init__()
        self.counters = dict.fromkeys(("runs", "errors", "applied", "orphans"), 0)
        self.report: ReconciliationReport | None = None
        self._is_runner, self._schedule, self._now_s = is_runner, schedule, now_s
        self._take_back = take_back
        self._sender, self._reader, self._stripe = sender, kafka, StripeAccount(gateway)
        self._missing = MissingWebhooks(gateway, sender, intake.take, kafka)
        self._kafka: KafkaAccount | None = None

    async def _run(self) -> None:
        due_s = 0.0
        while True:
            if not self._is_runner():
                self.report, self._kafka, due_s = None, None, 0.0
                self._missing.done.clear()
            elif self._now_s() >= due_s:
                is_done = await self._try()
                pause_s = self._schedule.interval_s
                due_s = self._now_s() + (pause_s if is_done else min(pause_s, RETRY_S))
            await asyncio.sleep(min(1.0, self._schedule.interval_s / 4))

    async def _try(self) -> bool:
        structlog.contextvars.clear_contextvars()
        try:
            await self.run_once()
        except UnavailableError as error:
            log.warning("the reconciliation will try again", reason=str(error))
        except Exception:
            log.exception("unexpected error in the reconciliation")
        else:
            if not self._known.problems:
                self.counters["runs"] += 1
                return True
        self.counters["errors"] += 1
        return False

    async def run_once(self) -> None:
        """One run; what could not be done stands in the report. Raises KafkaUnavailableError."""
        now_ms = round(self._now_s() * 1000)
        if self.report is None:
            self.report = await self._resumed(now_ms)
        is_due = self._must_compare(now_ms)
        problems = []
        for step in (self._find_missing, self._compare) if is_due else (self._find_missing,):
            try:
                await step(now_ms)
            except (UnavailableError, InvalidError) as error:
                # One step's trouble keeps no other from its work.
                log.warning("the reconciliation could not do all", reason=str(error))
                name = step.__name__.strip("_").upper()
                problems.append(f"{name}: {error}")
        # At the end alone: who looks meanwhile sees the last run's problems, not none.
        unusable = self._missing.unusable + (self._kafka.unusable if self._kafka else 0)
        self._change(run_at=to_rfc3339(now_ms), problems=tuple(problems), unusable=unusable)
        if self._is_runner():
            name = ids.derive_id("report", self._known.run_at)
            headers = record_headers(name, REPORT_TYPE, SOURCE, self._known.run_at)
            await self._sender.put(RECONCILIATION, b"report", encode(self._known), headers)

    @property
    def _known(self) -> ReconciliationReport:
        """The report, in the middle of a run."""
        assert self.report is not None
        return self.report

    def _change(self, **changes: Any) -> None:
        self.report = replace(self._known, **changes)

    def _must_compare(self, now_ms: int) -> bool:
        """At its pace; while something differs in every run, to see it settle or to list it soon."""
        known = self._known
        if known.compared_at is None or known.differences or known.settling:
            return True
        age_ms = now_ms - from_rfc3339(known.compared_at)
        return age_ms >= self._schedule.totals_interval_s * 1000

    async def _resumed(self, now_ms: int) -> ReconciliationReport:
        """Where the last runner stopped."""
        for raw in await self._reader.newest(RECONCILIATION, REPORTS_READ):
            try:
                report = decode_known(ReconciliationReport, raw)
            except ValueError:
                log.warning("a report of the reconciliation can't be read; taking the one before")
                continue
            if from_rfc3339(report.cursor) <= now_ms:
                return report
            log.warning("a report's cursor lies in the future; taking the one before")
        at = to_rfc3339(now_ms)
        return ReconciliationReport(run_at=at, cursor=to_rfc3339(now_ms - FIRST_LOOK_MS))

    async def _find_missing(self, now_ms: int) -> None:
        """Webhooks that never came."""
        self._change(listed=0)
        cursor_ms = max(from_rfc3339(self._known.cursor), now_ms - STRIPE_KEEPS_MS)
        until_ms = now_ms - round(self._schedule.grace_s * 1000)
        search = self._missing.search(
            cursor_ms, until_ms, is_runner=self._is_runner, found=self._note
        )
        async for end_ms, listed in search:
            cursor_ms = max(cursor_ms, end_ms)
            self._change(cursor=to_rfc3339(cursor_ms), listed=self._known.listed + listed)

    def _note(self, event: MissingEvent) -> None:
        self.counters["applied"] += event.result == "APPLIED"
        self._change(
            missing=(event, *self._known.missing)[:MAX_SHOWN],
            missing_total=self._known.missing_total + 1,
        )

    async def _compare(self, now_ms: int) -> None:
        """Money that differs, and payment intents of no order."""
        since_ms = self._compared_since(now_ms)
        if (
            self._kafka is None or since_ms < self._kafka.since_ms
        ):  # it has forgotten what was before
            self._kafka = KafkaAccount(self._reader, since_ms)
        self._kafka.forget(since_ms)
        await self._kafka.read()
        # First, for it tells which ids are ours, and by these all else is.
        await self._cancel_orphans(since_ms, now_ms)
        theirs, ours, unchecked = await load_accounts(self._stripe, self._kafka)
        known = (*self._known.differences, *self._known.settling)
        found, of_days = compare(
            theirs, ours, since={(d.kind, d.id): d.since for d in known}, now=to_rfc3339(now_ms),
            until_ms=now_ms - round(self._schedule.grace_s * 1000),
        )  # fmt: skip
        self._change(
            compared_at=to_rfc3339(now_ms), compared_since=to_rfc3339(since_ms),
            totals=tuple(of_days), unchecked=unchecked,
            differences=tuple(d for d in found if self._has_settled(d, now_ms)),
            settling=tuple(d for d in found if not self._has_settled(d, now_ms)),
        )  # fmt: skip
        for difference in self._known.differences:
            log.error("money differs from Stripe's", **full_values(difference))

    def _compared_since(self, now_ms: int) -> int:
        """A day's beginning; an earlier one when nobody has compared for long, or something differs.

        What differs is compared until it agrees, or Stripe's own events of it are gone.
        """
        latest_ms, oldest_ms = now_ms, now_ms - STRIPE_KEEPS_MS
        if self._known.compared_at is not None:
            latest_ms = max(from_rfc3339(self._known.compared_at), oldest_ms)
        first_ms = (latest_ms // DAY_MS - (self._schedule.days - 1)) * DAY_MS
        differing = (*self._known.differences, *self._known.settling)
        days = [from_rfc3339(f"{d.day}T00:00:00Z") for d in differing if d.day]
        return min([first_ms, *(day_ms for day_ms in days if day_ms >= oldest_ms)])

    def _has_settled(self, difference: MoneyDifference, now_ms: int) -> bool:
        return now_ms - from_rfc3339(difference.since) >= self._schedule.grace_s * 1000

    async def _cancel_orphans(self, since_ms: int, now_ms: int) -> None:
        """Cancel what a customer could still pay, and no order would hear of."""
        assert self._kafka is not None
        until_ms = now_ms - round(self._schedule.orphan_grace_s * 1000)
        found = await self._stripe.intents(since_ms, until_ms, self._kafka.intents)
        if found.lost_ids:
            await self._take_back(sorted(found.lost_ids))
            # News of these payments was passed over: look for it again.
            self._missing.done.clear()
            cursor_ms = min(since_ms, from_rfc3339(self._known.cursor))
            self._change(cursor=to_rfc3339(cursor_ms))
        for intent in found.orphans:
            if not self._is_runner():
                break
            orphan = await self._stripe.cancel_orphan(intent)
            self.counters["orphans"] += orphan.result == CANCELLED
            log.warning("a payment intent of no order", intent=intent["id"], result=orphan.result)
            self._note_orphan(orphan)

    def _note_orphan(self, orphan: Orphan) -> None:
        self._change(
            orphans=(orphan, *self._known.orphans)[:MAX_SHOWN],
            orphans_total=self._known.orphans_total + 1,
        )
