"""The live checks of the money: each invariant can break, what is in flight is not broken, sums are exact."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import MoneyViolation, money_of
from models.payment import (
    Dispute,
    PaymentRecord,
    PaymentWork,
)
from tests.support.records import order, record, refund
from web.indexes.money import (
    AMOUNTS,
    BLOCKED,
    MAX_FINISHED_KEPT,
    MoneyIndex,
)

S, P, R, B = OrderStatus, PaymentStatus, RefundStatus, MoneyViolation


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_broken_counts_only_when_it_lasts_and_keeps_its_time() -> None:
    clock = Clock()
    index = MoneyIndex(grace_s=60, now_s=clock)
    index.put_payment(0, "a", record("a"))
    index.put_order(0, "a", order("a", S.CANCELLED))
    assert list(index.broken(0)) == []
    clock.now_s += 59
    index.put_payment(0, "a", record("a", receipt_url="https://example.com"))
    assert list(index.broken(0)) == []
    clock.now_s += 1
    assert list(index.broken(0)) == [("a", B.CANCELLED_KEEPS_MONEY, 1_000_000)]
    pending = refund("r", 1000, R.PENDING, stripe_refund_id="re")
    index.put_payment(0, "a", record("a", work=PaymentWork(refunds={"r": pending})))
    assert list(index.broken(0)) == []
    clock.now_s += 100
    index.put_payment(0, "a", record("a"))
    assert list(index.broken(0)) == [], "it breaks anew, so it may be in flight again"


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


@given(st.lists(st.tuples(st.integers(0, 1), STATES), max_size=12), st.booleans())
def test_totals_are_the_sums_over_the_latest_records(
    updates: list[tuple[int, PaymentRecord]], is_dropped: bool
) -> None:
    index, latest = MoneyIndex(), {}
    for partition, state in updates:
        # An order's currency never changes, nor its partition.
        order_id = f"{state.payment.order_id}-{partition}-{state.payment.currency}"
        index.put_payment(partition, order_id, state)
        latest[partition, order_id] = money_of(state)
    if is_dropped:
        index.closed(1)
        latest = {key: money for key, money in latest.items() if key[0] == 0}
    for partition in (0, 1):
        sums: dict[str, Counter[str]] = {}
        for (at, _), money in latest.items():
            if at == partition:
                of_currency = sums.setdefault(money.currency, Counter())
                of_currency.update({name: getattr(money, name) for name in AMOUNTS})
                of_currency["payments"] += 1
        assert index.totals(partition) == sums


def test_lists_show_each_refund_with_what_can_be_done_about_it() -> None:
    index = MoneyIndex()
    failed = refund("r1", 400, R.FAILED)
    state = record("a", refunds={"r1": failed})
    index.put_payment(0, "a", state)
    (entry,) = index.refunds(0)
    assert (entry.state, entry.can_retry, entry.retried_by) == (R.FAILED, True, None)
    assert index.waits_for_operator(0) == 1
    again = refund("r2", 400, R.PENDING, retry_of="r1")
    index.put_payment(0, "a", structs.replace(state, work=PaymentWork(refunds={"r2": again})))
    by_id = {entry.refund.refund_id: entry for entry in index.refunds(0)}
    assert (by_id["r1"].can_retry, by_id["r1"].retried_by) == (False, "r2")
    assert index.waits_for_operator(0) == 0
    index.put_payment(0, "a", record("a", captured=300, refunds={"r1": failed}))
    assert next(index.refunds(0)).can_retry, "what is left can still be given back"
    lost = dispute(1000, "lost")
    index.put_payment(0, "a", record("a", disputes=lost, refunds={"r1": failed}))
    assert not next(index.refunds(0)).can_retry, "nothing is left"
    index.put_payment(0, "b", record("b", work=PaymentWork(refund_wanted="LATE")))
    (blocked,) = [entry for entry in index.refunds(0) if entry.order_id == "b"]
    assert (blocked.state, blocked.amount, blocked.refund) == (BLOCKED, 1000, None)
    index.put_payment(0, "b", record("b"))
    assert [entry.order_id for entry in index.refunds(0)] == ["a"]


def test_of_refunds_that_are_over_the_latest_are_kept_and_all_others() -> None:
    index = MoneyIndex()
    index.put_payment(0, "failed", record("failed", refunds={"r": refund("r", 1, R.FAILED)}))
    many = 2 * MAX_FINISHED_KEPT + 1
    for n in range(many):
        index.put_payment(0, f"o{n}", record(f"o{n}", refunds={"r": refund("r", 1, R.SUCCEEDED)}))
    kept = {entry.order_id for entry in index.refunds(0)}
    assert kept == {"failed", *(f"o{n}" for n in range(MAX_FINISHED_KEPT, many))}
    assert index.totals(0)["INR"]["refunded"] == many, "sums forget nothing"
