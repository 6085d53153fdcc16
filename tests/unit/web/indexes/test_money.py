"""The live checks of the money: each invariant can break, what is in flight is not broken, sums are exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import VIOLATION_DESCRIPTIONS, MoneyViolation, OrderMoney, broken, money_of
from models.payment import (
    Dispute,
    Effect,
    EffectKind,
    PaymentRecord,
    PaymentWork,
    Refund,
)
from tests.support.records import order, record, refund
from web.indexes.money import (
    AMOUNTS,
    BLOCKED,
    MAX_FINISHED_KEPT,
    MoneyIndex,
)

S, P, R, B = OrderStatus, PaymentStatus, RefundStatus, MoneyViolation
PAID = OrderMoney(
    currency="INR", status=P.COMPLETED, authorised=1000, captured=1000, refunded=0,
    refund_pending=0, disputed=0, is_wanted=False, needs_operator=False, is_unattended=False,
)  # fmt: skip
UNPAID = replace(PAID, status=P.PENDING, captured=0)


@pytest.mark.parametrize(
    ("money", "status", "wanted"),
    [
        (replace(PAID, captured=1001), S.PENDING, B.CAPTURED_EXCEEDS_AUTHORISED),
        (replace(PAID, status=P.REFUNDED, refunded=1001), S.REFUNDED, B.REFUNDED_EXCEEDS_CAPTURED),
        (replace(PAID, refunded=600, disputed=600), S.DELIVERED, B.GIVEN_BACK_TWICE),
        (replace(PAID, status=P.CANCELLED), S.PENDING, B.STATUS_AGAINST_MONEY),
        (replace(PAID, status=P.REFUNDED), S.DELIVERED, B.STATUS_AGAINST_MONEY),
        (replace(PAID, refunded=1000), S.DELIVERED, B.STATUS_AGAINST_MONEY),
        (PAID, S.PAYMENT_PENDING, B.MONEY_WITHOUT_ORDER),
        (UNPAID, S.PREPARING, B.ORDER_WITHOUT_MONEY),
        (PAID, S.CANCELLED, B.CANCELLED_KEEPS_MONEY),
        (replace(PAID, refunded=999), S.CANCELLED, B.CANCELLED_KEEPS_MONEY),
        (PAID, S.REFUNDED, B.CANCELLED_KEEPS_MONEY),
        (replace(PAID, refund_pending=5, is_unattended=True), S.DELIVERED, B.REFUND_UNATTENDED),
    ],
)
def test_each_invariant_can_break(
    money: OrderMoney, status: OrderStatus, wanted: MoneyViolation
) -> None:
    assert broken(money, status) == [wanted]


@pytest.mark.parametrize(
    ("money", "status"),
    [
        (PAID, S.PENDING),
        (PAID, S.DELIVERED),
        (PAID, None),
        (UNPAID, S.PAYMENT_PENDING),
        (replace(UNPAID, status=P.FAILED), S.PAYMENT_FAILED),
        (replace(UNPAID, status=P.CANCELLED), S.CANCELLED),
        (replace(PAID, refund_pending=1000), S.CANCELLED),
        (replace(PAID, refunded=400, refund_pending=600), S.CANCELLED),
        (replace(PAID, is_wanted=True), S.CANCELLED),
        (replace(PAID, needs_operator=True), S.CANCELLED),
        (replace(PAID, disputed=1000), S.CANCELLED),
        (replace(PAID, status=P.REFUNDED, refunded=1000), S.REFUNDED),
        (replace(PAID, status=P.REFUNDED, refunded=1000), S.DELIVERED),
        (replace(PAID, refunded=400, disputed=600), S.DELIVERED),
    ],
)
def test_what_is_right_or_under_way_is_not_broken(
    money: OrderMoney, status: OrderStatus | None
) -> None:
    assert broken(money, status) == []


def test_every_code_has_its_meaning() -> None:
    assert VIOLATION_DESCRIPTIONS.keys() == set(MoneyViolation)


def test_an_unattended_refund_is_one_that_neither_stripe_nor_an_effect_knows() -> None:
    def of(pending: Refund, *effects: Effect) -> bool:
        work = PaymentWork(
            refunds={pending.refund_id: pending}, effects={e.effect_id: e for e in effects}
        )
        money = money_of(record("o", work=work))
        assert money
        return money.is_unattended

    pending = refund("r", 5, R.PENDING)
    asked = Effect(effect_id="refund:r", kind=EffectKind.REFUND, body={}, requested_at=1)
    assert of(pending)
    assert not of(pending, asked)
    assert not of(pending.model_copy(update={"stripe_refund_id": "re"}))


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
        index.drop(1)
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
    index.put_payment(0, "a", state.model_copy(update={"work": PaymentWork(refunds={"r2": again})}))
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
