"""What has ended is held against each other a few at a time, and found broken whoever has the partition now."""

from __future__ import annotations

import asyncio

import pytest

from agents.orders import orders_service
from agents.payments import payments_service
from app.reconciliation import order_checks
from app.reconciliation.order_checks import EndedOrderChecks
from models.graphs import OrderStatus
from models.money_checks import MoneyViolation
from tests.support.in_memory_backend import InMemoryTable
from tests.support.records import order, record
from web.indexes.money import MoneyIndex


class Pauses:
    """Sleeps at once; `ended`: after so many pauses it sleeps for ever."""

    def __init__(self, most: int) -> None:
        self.taken: list[float] = []
        self.most, self.ended = most, asyncio.Event()

    async def __call__(self, pause_s: float) -> None:
        self.taken.append(pause_s)
        if len(self.taken) == self.most:
            self.ended.set()
            await asyncio.Event().wait()


async def test_broken_ones_are_found_in_a_whole_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_checks, "RECORDS_AT_ONCE", 3)
    payments = InMemoryTable(payments_service(), "payments")
    orders = InMemoryTable(orders_service(), "orders")
    for number in range(10):
        payments.put(f"o{number}", record(f"o{number}"))
        orders.put(f"o{number}", order(f"o{number}", OrderStatus.DELIVERED))
    orders.put("o7", order("o7", OrderStatus.REFUNDED))
    index, pauses = MoneyIndex(payments, orders, grace_s=0), Pauses(5)
    checks = EndedOrderChecks(payments, index, sleep=pauses)
    checks.start()
    await pauses.ended.wait()
    await checks.stop()
    assert checks.checked == 10
    assert pauses.taken == [order_checks.PAUSE_S] * 4 + [order_checks.BETWEEN_PASSES_S]
    (broken,) = index.broken(0)
    assert broken[:2] == ("o7", MoneyViolation.CANCELLED_KEEPS_MONEY)


async def test_a_partition_that_leaves_is_left_to_its_next_worker() -> None:
    payments = InMemoryTable(payments_service(), "payments", is_ours=False)
    payments.open_partitions = lambda: (0,)  # type: ignore[method-assign]
    pauses = Pauses(1)
    checks = EndedOrderChecks(payments, MoneyIndex(payments, payments), sleep=pauses)
    checks.start()
    await pauses.ended.wait()
    await checks.stop()
    assert pauses.taken == [order_checks.BETWEEN_PASSES_S]
