"""The live checks of the money: each invariant can break, what is in flight is not broken, sums are exact.

In memory are the orders that one of the two tables has not done with, and the broken ones; no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agents.orders import orders_service
from agents.payments import payments_service
from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.index_entries import BLOCKED, TOTALS
from models.money_checks import MoneyViolation, money_of
from models.order import OrderRecord
from models.payment import Dispute, PaymentRecord, PaymentWork
from tests.support.in_memory_backend import InMemoryTable
from tests.support.records import order, record, refund
from web.indexes import money
from web.indexes.money import MoneyIndex

S, P, R, B = OrderStatus, PaymentStatus, RefundStatus, MoneyViolation


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """Both tables of partition 0 and the index that listens to them."""

    def __init__(self, **given: Any) -> None:
        self.payments = InMemoryTable(payments_service(), "payments")
        self.orders = InMemoryTable(orders_service(), "orders")
        self.given = given
        self.index = MoneyIndex(self.payments, self.orders, **given)

    def put(self, order_id: str, state: PaymentRecord | OrderRecord) -> None:
        table = self.payments if isinstance(state, PaymentRecord) else self.orders
        self.index.updated(0, order_id, table.put(order_id, state))

    def move(self) -> None:
        """Another worker takes the partition over: it is given what has not ended, of either table first."""
        self.index = MoneyIndex(self.payments, self.orders, **self.given)
        for table in (self.orders, self.payments):
            for key, stored in table.records.items():
                if not table.service.has_ended(stored.state):
                    self.index.updated(0, key, stored)

    def check_ended(self) -> None:
        """As `EndedOrderChecks` does."""
        for stored in self.payments.scan(0):
            self.index.updated(0, stored.key, stored)

    @property
    def in_memory(self) -> set[str]:
        return set(self.index._partitions.get(0, {}))


def test_what_is_broken_counts_only_when_it_lasts_and_keeps_its_time() -> None:
    clock = Clock()
    world = World(grace_s=60, now_s=clock)
    world.put("a", record("a"))
    world.put("a", order("a", S.CANCELLED))
    assert list(world.index.broken(0)) == []
    clock.now_s += 59
    world.put("a", record("a", receipt_url="https://example.com"))
    assert list(world.index.broken(0)) == []
    clock.now_s += 1
    assert list(world.index.broken(0)) == [("a", B.CANCELLED_KEEPS_MONEY, 1_000_000)]
    pending = refund("r", 1000, R.PENDING, stripe_refund_id="re")
    world.put("a", record("a", work=PaymentWork(refunds={"r": pending})))
    assert list(world.index.broken(0)) == []
    clock.now_s += 100
    world.put("a", record("a"))
    assert list(world.index.broken(0)) == [], "it breaks anew, so it may be in flight again"


def test_only_what_is_open_or_broken_is_in_memory_and_the_checks_of_ended_ones_find_the_rest() -> (
    None
):
    world = World(grace_s=0)
    for number in range(20):
        world.put(f"done{number}", record(f"done{number}"))
        world.put(f"done{number}", order(f"done{number}", S.PREPARING))
    assert len(world.in_memory) == 20
    for number in range(20):
        world.put(f"done{number}", order(f"done{number}", S.DELIVERED))
    assert world.in_memory == set()
    world.put("unpaid", record("unpaid", status=P.CANCELLED, captured=0))
    world.put("unpaid", order("unpaid", S.DELIVERED))
    world.put("short", record("short", captured=900))
    broken = {("unpaid", B.ORDER_WITHOUT_MONEY), ("short", B.CAPTURED_FALLS_SHORT)}

    def found() -> set[tuple[str, MoneyViolation]]:
        return {(order_id, code) for order_id, code, _ in world.index.broken(0)}

    assert found() == broken
    assert world.in_memory == {"unpaid", "short"}
    world.move()
    assert found() == broken - {("unpaid", B.ORDER_WITHOUT_MONEY)}, "both tables have done with it"
    world.check_ended()
    assert found() == broken
    assert world.in_memory == {"unpaid", "short"}
    world.put("unpaid", order("unpaid", S.CANCELLED))
    assert world.in_memory == {"short"}
    world.index.closed(0)
    assert found() == set()


def test_an_order_is_held_against_a_payment_that_was_done_with_before_this_worker_came() -> None:
    world = World(grace_s=0)
    world.payments.put("a", record("a"))
    world.put("a", order("a", S.PAYMENT_PENDING))
    assert [code for _, code, _ in world.index.broken(0)] == [B.MONEY_WITHOUT_ORDER]
    world.orders.put("b", order("b", S.CANCELLED))
    world.put("b", record("b", status=P.PROCESSING, captured=0))
    assert ("b", B.CANCELLED_KEEPS_MONEY) not in {each[:2] for each in world.index.broken(0)}
    world.put("b", record("b"))
    assert ("b", B.CANCELLED_KEEPS_MONEY) in {each[:2] for each in world.index.broken(0)}


def test_what_the_other_table_can_not_tell_yet_is_asked_for_when_somebody_looks() -> None:
    world = World(grace_s=0)
    world.payments.put("a", record("a"))
    world.payments.is_ours = False  # opened a moment later
    world.put("a", order("a", S.PAYMENT_PENDING))
    world.put("b", order("b", S.DELIVERED))
    assert list(world.index.broken(0)) == []
    assert world.in_memory == {"a"}, "what has ended is left to the checks of all that has"
    world.payments.is_ours = True
    assert [each[:2] for each in world.index.broken(0)] == [("a", B.MONEY_WITHOUT_ORDER)]
    assert world.in_memory == {"a"}


def dispute(amount: int, status: str) -> dict[str, Dispute]:
    return {"d": Dispute(dispute_id="d", amount=amount, status=status, reason="general")}


STATES = st.builds(
    record,
    st.sampled_from("abc"),
    currency=st.sampled_from(["INR", "JPY"]),
    captured=st.integers(0, 1000),
    refunds=st.builds(
        lambda amount, status: {"r": refund("r", amount, status)},
        st.integers(0, 500),
        st.sampled_from(R),
    ),
    disputes=st.builds(
        dispute,
        st.integers(0, 500),
        st.sampled_from(["needs_response", "won", "lost", "warning_closed"]),
    ),
)


@given(st.lists(STATES, max_size=12))
def test_totals_are_the_sums_over_the_latest_records(updates: list[PaymentRecord]) -> None:
    world, latest = World(), {}
    for state in updates:
        assert state.payment
        # An order's currency never changes.
        order_id = f"{state.payment.order_id}-{state.payment.currency}"
        world.put(order_id, state)
        latest[order_id] = state
    sums: dict[str, Counter[str]] = {}
    for state in latest.values():
        of = money_of(state)
        assert of
        of_currency = sums.setdefault(of.currency, Counter())
        of_currency.update({name: getattr(of, name) for name in TOTALS})
        of_currency["payments"] += 1
    assert world.index.totals(0) == sums
    refunds = Counter(
        str(each.status) for state in latest.values() for each in state.refunds().values()
    )
    assert world.index.refund_counts(0) == refunds


def test_lists_show_each_refund_with_what_can_be_done_about_it() -> None:
    world = World()
    index = world.index
    failed = refund("r1", 400, R.FAILED)
    state = record("a", refunds={"r1": failed})
    world.put("a", state)
    (entry,) = index.refunds(0)
    assert (entry.state, entry.can_retry, entry.retried_by) == (R.FAILED, True, None)
    assert index.waits_for_operator(0) == 1
    again = refund("r2", 400, R.PENDING, retry_of="r1")
    world.put("a", structs.replace(state, work=PaymentWork(refunds={"r2": again})))
    by_id = {entry.refund.refund_id: entry for entry in index.refunds(0) if entry.refund}
    assert (by_id["r1"].can_retry, by_id["r1"].retried_by) == (False, "r2")
    assert index.waits_for_operator(0) == 0
    world.put("a", record("a", captured=300, refunds={"r1": failed}))
    assert next(index.refunds(0)).can_retry, "what is left can still be given back"
    lost = dispute(1000, "lost")
    world.put("a", record("a", disputes=lost, refunds={"r1": failed}))
    assert not next(index.refunds(0)).can_retry, "nothing is left"
    world.put("b", record("b", work=PaymentWork(refund_wanted="LATE")))
    (blocked,) = [entry for entry in index.refunds(0) if entry.order_id == "b"]
    assert (blocked.state, blocked.amount, blocked.refund) == (BLOCKED, 1000, None)
    assert index.refund_counts(0) == {R.FAILED: 1, BLOCKED: 1}
    world.put("b", record("b"))
    assert [entry.order_id for entry in index.refunds(0)] == ["a"]


def listed(entries: Callable[[int], Any]) -> set[str]:
    return {entry.order_id for entry in entries(0)}


def test_of_refunds_and_disputes_that_are_over_the_latest_are_listed_and_all_others(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(money, "MAX_ENDED_LISTED", 10)
    world = World()
    world.put("failed", record("failed", refunds={"r": refund("r", 1, R.FAILED)}))
    world.put("open", record("open", disputes=dispute(1, "needs_response")))
    for at_ms in range(2, 32):
        state = record(
            f"o{at_ms}", occurred_at=at_ms, disputes=dispute(0, "won"),
            refunds={"r": refund("r", 1, R.SUCCEEDED)},
        )  # fmt: skip
        world.put(f"o{at_ms}", state)
    latest = {f"o{at_ms}" for at_ms in range(22, 32)}
    assert listed(world.index.refunds) == {"failed", *latest}
    assert listed(world.index.disputes) == {"open", *latest}
    world.move()
    assert listed(world.index.refunds) == {"failed", *latest}
    assert listed(world.index.disputes) == {"open", *latest}
    assert world.index.totals(0)["INR"]["refunded"] == 30, "sums forget nothing"
