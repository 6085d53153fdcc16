"""The money of owned partitions, in memory: totals, what does not hold of it, refunds and disputes.

A listener of payments and of orders; it shows what is durable and is dropped with its partition.
Names nobody. Refunds that are over are many: the latest are kept.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from models.graphs import OrderStatus, RefundStatus
from models.money_checks import MoneyViolation, OrderMoney, is_retryable, money_of, violations
from models.order import OrderRecord
from models.payment import Dispute, PaymentRecord, Refund
from tables import StoredRecord

MAX_FINISHED_KEPT: Final = 1000
"""Orders whose refunds are over: of each partition, at least the latest so many."""
AMOUNTS: Final = ("authorised", "captured", "refunded", "refund_pending", "disputed", "net")
BLOCKED: Final = "BLOCKED"
"""State of a refund that waits for a dispute to be closed, beside those of RefundStatus."""


@dataclass(frozen=True, slots=True)
class RefundEntry:
    """A refund in lists; refund: None for one that waits for a dispute (then amount is what is left)."""

    order_id: str
    payment_id: str
    currency: str
    state: str
    amount: int
    reason: str
    refund: Refund | None = None
    retried_by: str | None = None
    can_retry: bool = False


@dataclass(frozen=True, slots=True)
class DisputeEntry:
    """A dispute in lists."""

    order_id: str
    payment_id: str
    currency: str
    dispute: Dispute


@dataclass(slots=True)
class _PartitionMoney:
    """over: orders whose refunds are over, in the order in which they became so."""

    money: dict[str, OrderMoney] = field(default_factory=dict)
    orders: dict[str, OrderStatus] = field(default_factory=dict)
    totals: dict[str, Counter[str]] = field(default_factory=dict)
    broken: dict[str, dict[MoneyViolation, int]] = field(default_factory=dict)
    refunds: dict[str, tuple[RefundEntry, ...]] = field(default_factory=dict)
    disputes: dict[str, tuple[DisputeEntry, ...]] = field(default_factory=dict)
    over: dict[str, None] = field(default_factory=dict)


class MoneyIndex:
    """A listener of payments' and orders' tables. All methods run on the worker's event loop."""

    def __init__(self, *, grace_s: float = 120.0, now_s: Callable[[], float] = time.time) -> None:
        """grace_s: what is broken for a shorter time is in flight."""
        self._grace_ms = round(grace_s * 1000)
        self._now_s = now_s
        self._partitions: dict[int, _PartitionMoney] = {}

    def totals(self, partition: int) -> Mapping[str, Mapping[str, int]]:
        """Currency -> sums of AMOUNTS and the number of payments."""
        return self._of(partition).totals

    def broken(self, partition: int) -> Iterator[tuple[str, MoneyViolation, int]]:
        """Order, what does not hold of it, and since when (milliseconds since the epoch)."""
        now_ms = round(self._now_s() * 1000)
        for order_id, codes in self._of(partition).broken.items():
            for code, since_ms in codes.items():
                if now_ms - since_ms >= self._grace_ms:
                    yield order_id, code, since_ms

    def refunds(self, partition: int) -> Iterator[RefundEntry]:
        """Those under way, and the latest that are over."""
        return chain.from_iterable(self._of(partition).refunds.values())

    def disputes(self, partition: int) -> Iterator[DisputeEntry]:
        """All of them."""
        return chain.from_iterable(self._of(partition).disputes.values())

    def waits_for_operator(self, partition: int) -> int:
        """Orders with a refund that failed and can be retried."""
        return sum(money.needs_operator for money in self._of(partition).money.values())

    def partitions(self) -> tuple[int, ...]:
        """Those that this index knows of."""
        return tuple(sorted(self._partitions))

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record of either table."""
        if isinstance(record.state, PaymentRecord):
            self.put_payment(partition, key, record.state)
        elif isinstance(record.state, OrderRecord):
            self.put_order(partition, key, record.state)

    def put_payment(self, partition: int, order_id: str, record: PaymentRecord) -> None:
        """Take in a payment's record."""
        known = self._partitions.setdefault(partition, _PartitionMoney())
        before, money = known.money.get(order_id), money_of(record)
        if money is None:
            return
        if money != before:
            known.money[order_id] = money
            totals = known.totals.setdefault(money.currency, Counter())
            if before is not None:
                totals.subtract(_amounts(before))
            totals.update(_amounts(money))
        self._check(known, order_id)
        _put_refunds(known, order_id, record)
        if record.payment and record.payment.disputes:
            known.disputes[order_id] = tuple(
                DisputeEntry(order_id, record.payment.payment_id, money.currency, dispute)
                for dispute in record.payment.disputes.values()
            )

    def put_order(self, partition: int, order_id: str, record: OrderRecord) -> None:
        """Take in an order's record."""
        if record.order is not None:
            known = self._partitions.setdefault(partition, _PartitionMoney())
            if known.orders.get(order_id) is not record.order.status:
                known.orders[order_id] = record.order.status
                self._check(known, order_id)

    def closed(self, partition: int) -> None:
        """Forget a partition. Both tables leave it together."""
        self._partitions.pop(partition, None)

    def _of(self, partition: int) -> _PartitionMoney:
        return self._partitions.get(partition) or _PartitionMoney()

    def _check(self, known: _PartitionMoney, order_id: str) -> None:
        """Hold payment and order against each other; what was broken before keeps its time."""
        money = known.money.get(order_id)
        found = violations(money, known.orders.get(order_id)) if money else []
        if not found:
            known.broken.pop(order_id, None)
            return
        since, now_ms = known.broken.get(order_id, {}), round(self._now_s() * 1000)
        known.broken[order_id] = {code: since.get(code, now_ms) for code in found}


def _amounts(money: OrderMoney) -> dict[str, int]:
    return {"payments": 1, **{name: getattr(money, name) for name in AMOUNTS}}


def _put_refunds(known: _PartitionMoney, order_id: str, record: PaymentRecord) -> None:
    entries = tuple(_refund_entries(record))
    known.over.pop(order_id, None)
    if not entries:
        known.refunds.pop(order_id, None)
        return
    known.refunds[order_id] = entries
    if all(entry.state == RefundStatus.SUCCEEDED for entry in entries):
        known.over[order_id] = None
    if len(known.over) > 2 * MAX_FINISHED_KEPT:  # halved at once, so that it costs little an order
        for oldest in list(known.over)[:MAX_FINISHED_KEPT]:
            del known.over[oldest], known.refunds[oldest]


def _refund_entries(record: PaymentRecord) -> Iterator[RefundEntry]:
    payment, refunds = record.payment, record.refunds()
    if payment is None:
        return
    retries = {refund.retry_of: refund.refund_id for refund in refunds.values() if refund.retry_of}
    whose = (payment.order_id, payment.payment_id, payment.currency)
    for refund in refunds.values():
        yield RefundEntry(
            *whose, refund.status, refund.amount, refund.reason, refund=refund,
            retried_by=retries.get(refund.refund_id),
            can_retry=not payment.is_refund_blocked and is_retryable(record, refund.refund_id),
        )  # fmt: skip
    if record.work.refund_wanted and payment.captured:
        left = payment.captured - payment.refunded - record.refund_pending
        yield RefundEntry(*whose, BLOCKED, left, record.work.refund_wanted)
