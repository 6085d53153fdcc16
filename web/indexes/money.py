"""The money of owned partitions: sums, refunds and disputes from the table, and what does not hold of it.

A listener of payments and of orders. In memory are the orders that one of the two has not done with, and
those whose money is broken; the rest is in the index of payments' table. Names nobody.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from models.graphs import OrderStatus
from models.index_entries import (
    BLOCKED,
    DISPUTES,
    FAILED_REFUNDS,
    REFUNDS,
    REFUNDS_IN,
    money_sums,
    payment_has_ended,
)
from models.money_checks import MoneyViolation, OrderMoney, is_retryable, money_of, violations
from models.order import OrderRecord
from models.payment import Dispute, PaymentRecord, Refund
from tables import BrokenRecordError, NotOwnerError, NotReadyError, StateTable, StoredRecord
from web.indexes.entries import has_ended, latest_ended

MAX_ENDED_LISTED: Final = 1000
"""Orders with refunds or disputes that are over: of each partition, the latest so many are listed."""


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
class _OrderMoney:
    """What both tables say of an order, as far as it is known here.

    has_payment_ended, has_order_ended: None while not known. listed: a payment under way that has refunds or
    disputes. broken: violation -> since when.
    """

    money: OrderMoney | None = None
    has_payment_ended: bool | None = None
    listed: PaymentRecord | None = None
    status: OrderStatus | None = None
    has_order_ended: bool | None = None
    broken: dict[MoneyViolation, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """One of the two has not done with the order; of a record that is missing nothing is waited for."""
        return self.has_payment_ended is False or self.has_order_ended is False


class MoneyIndex:
    """A listener of payments' and orders' tables. All methods run on the worker's event loop."""

    def __init__(
        self,
        payments: StateTable,
        orders: StateTable,
        *,
        grace_s: float = 120.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """grace_s: what is broken for a shorter time is in flight."""
        self._payments, self._orders = payments, orders
        self._grace_ms = round(grace_s * 1000)
        self._now_s = now_s
        self._partitions: dict[int, dict[str, _OrderMoney]] = {}

    def totals(self, partition: int) -> Mapping[str, Mapping[str, int]]:
        """Currency -> sums over all payments (`money_sums`). Raises as `StateTable.sums`."""
        return money_sums(self._payments.sums(partition))

    def refund_counts(self, partition: int) -> Counter[str]:
        """State -> number of all refunds. Raises as `StateTable.sums`."""
        sums = self._payments.sums(partition).items()
        return Counter(
            {name.removeprefix(REFUNDS_IN): n for name, n in sums if name.startswith(REFUNDS_IN)}
        )

    def waits_for_operator(self, partition: int) -> int:
        """Orders with a refund that failed and can be retried. Raises as `StateTable.sums`."""
        return self._payments.sums(partition).get(FAILED_REFUNDS, 0)

    def broken(self, partition: int) -> Iterator[tuple[str, MoneyViolation, int]]:
        """Order, what does not hold of it, and since when (milliseconds since the epoch)."""
        known = self._partitions.get(partition, {})
        for order_id in [key for key, of in known.items() if of.money is None or of.status is None]:
            self._settle(known, order_id)
        now_ms = round(self._now_s() * 1000)
        for order_id, of in known.items():
            for code, since_ms in of.broken.items():
                if now_ms - since_ms >= self._grace_ms:
                    yield order_id, code, since_ms

    def refunds(self, partition: int) -> Iterator[RefundEntry]:
        """Those of payments under way, and the latest that are over. Raises NotOwnerError, NotReadyError."""
        for record in self._open_and_ended(partition, REFUNDS):
            yield from _refund_entries(record)

    def disputes(self, partition: int) -> Iterator[DisputeEntry]:
        """Those of payments under way, and the latest that are over. Raises NotOwnerError, NotReadyError."""
        for record in self._open_and_ended(partition, DISPUTES):
            if (payment := record.payment) is not None:
                whose = (payment.order_id, payment.payment_id, payment.currency)
                for dispute in payment.disputes.values():
                    yield DisputeEntry(*whose, dispute)

    def open_disputes(self, partition: int) -> Iterator[Dispute]:
        """Those that the bank has not decided; all are of payments under way."""
        for of in self._partitions.get(partition, {}).values():
            if of.listed is not None and of.listed.payment is not None:
                yield from (each for each in of.listed.payment.disputes.values() if each.is_open)

    def partitions(self) -> tuple[int, ...]:
        """Those that payments' table answers for."""
        return self._payments.open_partitions()

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record of either table."""
        known = self._partitions.setdefault(partition, {})
        of = known.setdefault(key, _OrderMoney())
        if isinstance(record.state, PaymentRecord):
            self._put_payment(of, record)
        elif isinstance(record.state, OrderRecord):
            self._put_order(of, record)
        if of.is_open:
            self._check(of)
        else:
            self._settle(known, key)

    def closed(self, partition: int) -> None:
        """Forget a partition. Both tables leave it together."""
        self._partitions.pop(partition, None)

    def _put_payment(self, of: _OrderMoney, record: StoredRecord) -> None:
        state: PaymentRecord = record.state
        of.money = money_of(state) or of.money
        of.has_payment_ended = record.quarantine is None and payment_has_ended(state)
        has_disputes = state.payment is not None and bool(state.payment.disputes)
        is_listed = bool(has_disputes or state.refunds() or state.work.refund_wanted)
        of.listed = state if is_listed and not of.has_payment_ended else None

    def _put_order(self, of: _OrderMoney, record: StoredRecord) -> None:
        state: OrderRecord = record.state
        of.status = state.order.status if state.order else of.status
        of.has_order_ended = has_ended(record)

    def _settle(self, known: dict[str, _OrderMoney], order_id: str) -> None:
        """Read what is not known here from the tables, and forget an order that both have done with."""
        of = known[order_id]
        try:
            if of.has_order_ended is None and (order := self._orders.get(order_id)) is not None:
                self._put_order(of, order)
            if (
                of.has_payment_ended is None
                and (payment := self._payments.get(order_id)) is not None
            ):
                self._put_payment(of, payment)
        except (NotOwnerError, NotReadyError, BrokenRecordError):
            pass  # asked again when somebody looks; of what has ended, by the checks of all that has
        else:
            self._check(of)
        if not of.is_open and not of.broken:
            del known[order_id]

    def _check(self, of: _OrderMoney) -> None:
        """Hold payment and order against each other; what was broken before keeps its time."""
        found = violations(of.money, of.status) if of.money else ()
        if found or of.broken:
            now_ms = round(self._now_s() * 1000)
            of.broken = {code: of.broken.get(code, now_ms) for code in found}

    def _open_and_ended(self, partition: int, prefix: str) -> Iterator[PaymentRecord]:
        known = list(self._partitions.get(partition, {}).values())
        yield from (of.listed for of in known if of.listed is not None)
        for record in latest_ended(self._payments, partition, prefix, MAX_ENDED_LISTED):
            yield record.state


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
