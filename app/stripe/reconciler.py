"""Asks Stripe about single payments and refunds that have been under way for too long.

Whole accounts are compared in app/reconciliation.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import single
from app.stripe.errors import InvalidError, MisconfiguredError
from app.stripe.gateway import StripeGateway
from app.stripe.rate_limit import Priority
from app.task_runner import Background, Backoff, bind_order
from models import ids
from models.commands import Command, CommandType, ObservePayment
from models.errors import UnavailableError
from models.graphs import PaymentStatus
from models.index_entries import RECEIPT_WAIT_MS
from models.payment import PaymentRecord
from models.sender import CommandSender
from models.stripe_facts import UNKNOWN_OBJECT, DisputeFacts, IntentFacts, RefundFacts
from models.times import to_rfc3339
from tables import StoredRecord

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:reconciler"
MAX_INTERVAL_FACTOR: Final = 10
"""Each answer that settles nothing doubles the interval, up to so many of the first."""
MAX_CONCURRENT_LOOKUPS: Final = 4
MIN_UNKNOWN_ANSWERS: Final = 2
"""Stripe must say so often that it does not know a payment: a server that is behind says so once."""


@dataclass(slots=True)
class _WatchedPayment:
    """A payment under way; equal to another if nothing has moved. due_s: on the event loop's clock."""

    partition: int
    order_id: str
    intent_id: str
    attempt: int
    correlation_id: str = field(compare=False)
    is_processing: bool
    in_doubt_since: int | None
    pending_refunds: frozenset[str]
    doubted_disputes: frozenset[str]
    receipt_until_ms: int
    is_repaired: bool
    sequence: int = field(compare=False)
    audit_sequence: int = field(compare=False)
    due_s: float = field(default=0.0, compare=False)
    unknown: int = field(default=0, compare=False)
    asked: int = field(default=0, compare=False)

    @property
    def is_in_doubt(self) -> bool:
        """A webhook told what only a look-up can place, or the payment was made anew from its events."""
        return self.in_doubt_since is not None or bool(self.doubted_disputes) or self.is_repaired

    @property
    def waits_for_receipt(self) -> bool:
        """For nothing else."""
        waits = self.pending_refunds or self.doubted_disputes or self.is_repaired
        return not (self.is_processing or waits)


class Reconciler(Background, Collector):
    """A listener of payments' table, and a task that asks about what it found there; a collector of metrics.

    Watches payments of owned partitions in PROCESSING whose confirm has been answered (before, its effect
    asks), those with facts held for money that we have not heard of, and refunds that Stripe has not finished.
    A payment in doubt, of which a webhook told what only a look-up can place, is asked about at once.
    """

    def __init__(
        self,
        gateway: StripeGateway,
        sender: CommandSender,
        *,
        after_s: float,
        interval_s: float,
        in_doubt_interval_s: float = 2.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """after_s: without news for so long, ask; interval_s: then again, more and more rarely.

        in_doubt_interval_s: in the place of interval_s for a payment in doubt.
        """
        super().__init__()
        self.observed, self.errors = 0, 0
        self._gateway, self._sender = gateway, sender
        self._after_s, self._interval_s = after_s, interval_s
        # Workers that started together must not ask together.
        self._pauses, self._pauses_in_doubt = (
            Backoff(first_s, first_s * MAX_INTERVAL_FACTOR, jitter=(0.75, 1.25))
            for first_s in (interval_s, min(in_doubt_interval_s, interval_s))
        )
        self._in_doubt_added = asyncio.Event()
        self._now_s = now_s
        self._watches: dict[str, _WatchedPayment] = {}

    def collect(self) -> Iterator[Metric]:
        """Payments under way."""
        yield single("tiffin_payments_watched", self.watched)

    @property
    def watched(self) -> int:
        """Payments under way."""
        return len(self._watches)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Watch a payment that is under way; news of it puts the question off."""
        watch = _watch(partition, key, record.state, round(self._now_s() * 1000))
        known = self._watches.get(key)
        if watch is None:
            self._watches.pop(key, None)
        elif known != watch:
            after_s = 0 if watch.is_in_doubt else self._after_s
            watch.due_s = asyncio.get_running_loop().time() + after_s
            self._watches[key] = watch
            if watch.is_in_doubt:
                self._in_doubt_added.set()
        else:
            known.sequence, known.audit_sequence = watch.sequence, watch.audit_sequence

    def closed(self, partition: int) -> None:
        """Leave a partition to its next owner."""
        self._watches = {
            key: watch for key, watch in self._watches.items() if watch.partition != partition
        }

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, self._interval_s / 4)):
                    await self._in_doubt_added.wait()
            self._in_doubt_added.clear()
            due = [watch for watch in self._watches.values() if watch.due_s <= loop.time()]
            # A few at a time and the longest waiting first, for a backlog would use up the rate.
            due.sort(key=lambda each: (not each.is_in_doubt, each.waits_for_receipt, each.due_s))
            await asyncio.gather(*map(self._ask, due[:MAX_CONCURRENT_LOOKUPS]))

    async def _ask(self, watch: _WatchedPayment) -> None:
        bind_order(watch.order_id)
        pauses = self._pauses_in_doubt if watch.is_in_doubt else self._pauses
        if watch.waits_for_receipt and self._now_s() * 1000 > watch.receipt_until_ms:
            self._watches.pop(watch.order_id, None)
            return
        watch.asked += 1
        # A receipt may wait, and some charges have none: four questions within its time.
        pause_s = (
            self._interval_s * 4**watch.asked
            if watch.waits_for_receipt
            else pauses.delay_s(watch.asked)
        )
        watch.due_s = asyncio.get_running_loop().time() + pause_s
        try:
            await self._observe(watch)
        except (UnavailableError, InvalidError) as error:
            self.errors += 1
            log.warning("a payment could not be observed", reason=type(error).__name__)
        except Exception:
            self.errors += 1
            log.exception("unexpected error in the reconciler")

    async def _observe(self, watch: _WatchedPayment) -> None:
        priority = Priority.LOOK_UP if watch.is_in_doubt else Priority.POLL
        sequence, audit_sequence = watch.sequence, watch.audit_sequence
        intent = await self._find_intent(watch.intent_id, priority)
        watch.unknown = 0 if intent else watch.unknown + 1
        if 0 < watch.unknown < MIN_UNKNOWN_ANSWERS:
            return
        if intent is None:
            about = {"intent": watch.intent_id, "hint": "is the key of this account and mode?"}
            log.error("Stripe does not know a payment; an operator must act", **about)
        refunds: list[RefundFacts] = []
        if intent and (watch.pending_refunds or watch.is_repaired):
            with self._if_readable(watch, "refunds"):
                refunds = await self._gateway.list_refunds(watch.intent_id, priority)
        found: dict[str, DisputeFacts | None] = {}
        for id in sorted(watch.doubted_disputes) if intent else ():
            with self._if_readable(watch, "disputes"):
                found[id] = await self._gateway.find_dispute(id)
        if self._watches.get(watch.order_id) is not watch:
            return  # news came meanwhile, or the partition went: this answer may be old
        now_ms = round(self._now_s() * 1000)
        command = Command(
            order_id=watch.order_id,
            command_id=ids.command_id("observe", watch.order_id, watch.attempt, now_ms),
            command_type=CommandType.OBSERVE_PAYMENT,
            issued_at=to_rfc3339(now_ms), issued_by=ISSUER, correlation_id=watch.correlation_id,
            data=ObservePayment(
                attempt=watch.attempt, intent=intent, refunds=tuple(refunds),
                disputes=tuple(filter(None, found.values())),
                unknown_disputes=tuple(id for id, dispute in found.items() if dispute is None),
                sequence=sequence, audit_sequence=audit_sequence,
            ),
        )  # fmt: skip
        await self._sender.send(command)
        self.observed += 1

    async def _find_intent(self, intent_id: str, priority: Priority) -> IntentFacts | None:
        """The intent; None when Stripe knows none of this id."""
        try:
            return await self._gateway.retrieve_intent(intent_id, priority)
        except InvalidError as error:
            if error.code != UNKNOWN_OBJECT:
                raise
            return None

    @contextlib.contextmanager
    def _if_readable(self, watch: _WatchedPayment, what: str) -> Iterator[None]:
        """Go on without what the key may not read: it stays listed as stuck, and is asked for later."""
        try:
            yield
        except MisconfiguredError as error:
            self.errors += 1
            watch.due_s = asyncio.get_running_loop().time() + self._pauses.delay_s(watch.asked)
            log.warning("the key may not read what is in doubt", what=what, reason=str(error))


def _watch(
    partition: int, order_id: str, state: PaymentRecord, now_ms: int
) -> _WatchedPayment | None:
    """What there is to ask about a payment; None when nothing is under way that Stripe knows of."""
    payment, work = state.payment, state.work
    if payment is None or work.unknown_since is not None:
        return None
    # Stripe spoke of a refund or dispute of money that we have not heard of: it has not told all.
    is_open = payment.status is PaymentStatus.PROCESSING or work.in_doubt_since is not None
    is_money_expected = bool(work.held) and payment.status is not PaymentStatus.CANCELLED
    is_processing = is_money_expected or (is_open and not state.is_confirm_pending)
    refunds = (refund.stripe_refund_id for refund in work.refunds.values())
    pending = frozenset(filter(None, refunds))
    doubted = frozenset(work.doubted_disputes)
    receipt_until_ms = 0
    if payment.completed_at is not None and payment.receipt_url is None:
        receipt_until_ms = payment.completed_at + RECEIPT_WAIT_MS
    is_repaired = work.repaired_at is not None
    is_asked_about = is_processing or pending or doubted or is_repaired
    if not is_asked_about and receipt_until_ms < now_ms:
        return None
    return _WatchedPayment(
        partition, order_id, payment.stripe_intent_id, payment.attempt, work.correlation_id,
        is_processing=is_processing, in_doubt_since=work.in_doubt_since, pending_refunds=pending,
        doubted_disputes=doubted, receipt_until_ms=receipt_until_ms, is_repaired=is_repaired,
        sequence=payment.sequence, audit_sequence=work.audit_sequence,
    )  # fmt: skip
