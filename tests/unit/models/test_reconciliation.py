"""Kafka's account against Stripe's, pure: what differs is listed, all of it, and totals say the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ids
from models.events import EVENTS, Event, EventType
from models.graphs import RefundStatus
from models.payment import CLOSED_DISPUTES, NO_FUNDS_WITHDRAWN
from models.reconciliation import (
    Account,
    DayTotals,
    MoneyDifference,
    MoneyMovement,
    MovementKind,
    add_movements,
    compare,
    movement_of_event,
    movement_of_stripe_object,
)
from models.times import from_rfc3339, to_rfc3339

E = EventType
ORDER = ids.order_id("guest", "reconciliation")
NOW, DAY_MS = "2026-11-23T12:00:00.000Z", 24 * 3600 * 1000
LATER = 10 * DAY_MS
COLUMN = {
    MovementKind.CHARGE: "charged",
    MovementKind.REFUND: "refunded",
    MovementKind.DISPUTE: "disputed",
}


def moved(
    kind: MovementKind,
    id: str,
    amount: int,
    at_ms: int = 0,
    sequence: int = 0,
    currency: str = "INR",
) -> MoneyMovement:
    return MoneyMovement(kind, id, ORDER, currency, amount, at_ms, sequence)


def compared(
    stripe: Account, tiffin: Account, until_ms: int = LATER, now: str = NOW
) -> tuple[list[MoneyDifference], list[DayTotals]]:
    return compare(stripe, tiffin, since={}, now=now, until_ms=until_ms)


@st.composite
def accounts(draw: st.DrawFn) -> tuple[Account, Account]:
    """Two accounts of a few objects, over three days, that agree more often than not."""
    keys = st.tuples(st.sampled_from(MovementKind), st.sampled_from("abcd"))
    amounts = st.sampled_from([0, 0, 1, 5, 700])
    currencies = st.sampled_from(["INR", "INR", "INR", "USD"])
    sides: tuple[dict[Any, MoneyMovement], dict[Any, MoneyMovement]] = ({}, {})
    for kind, id in draw(st.sets(keys, max_size=8)):
        same = draw(amounts)
        for side in sides:
            amount = draw(st.one_of(st.just(same), st.just(same), st.none(), amounts))
            if amount is not None:
                at_ms = draw(st.integers(0, 3 * DAY_MS - 1))
                side[kind, id] = moved(kind, id, amount, at_ms, currency=draw(currencies))
    return sides


def worth(moved: MoneyMovement | None) -> dict[str, int]:
    return {moved.currency: moved.amount} if moved and moved.amount else {}


@given(accounts(), st.integers(0, 4 * DAY_MS))
def test_differences_and_totals_tell_the_same(both: tuple[Account, Account], until_ms: int) -> None:
    stripe, tiffin = both
    found, days = compared(stripe, tiffin, until_ms)
    listed = {(d.kind, d.id) for d in found}
    for key in {*stripe, *tiffin}:
        sides = [account[key] for account in both if key in account]
        is_young = max(side.at_ms for side in sides) > until_ms
        is_same = worth(stripe.get(key)) == worth(tiffin.get(key))
        assert (key in listed) is not (is_same or is_young)
    left: Counter[tuple[str, ...]] = Counter()
    objects: Counter[tuple[str, str]] = Counter()
    for d in found:
        left[d.day, d.currency, COLUMN[d.kind]] += (d.stripe or 0) - (d.tiffin or 0)
        objects[d.day, d.currency] += 1
    for day in days:
        assert day.differing == objects.pop((day.day, day.currency), 0)
        for column in COLUMN.values():
            sums = getattr(day, column)
            assert sums.stripe - sums.tiffin == left.pop((day.day, day.currency, column), 0)
        assert day.is_even is (day.differing == 0)
    assert not objects, "each difference counts in a day that is shown"
    assert not any(left.values())
    assert [d.day for d in days] == sorted((d.day for d in days), reverse=True)


@given(accounts(), st.integers(0, 4 * DAY_MS))
def test_an_account_agrees_with_itself(both: tuple[Account, Account], until_ms: int) -> None:
    for account in both:
        found, days = compared(account, account, until_ms)
        assert found == []
        assert all(day.is_even for day in days)
        assert sum(d.charged.stripe + d.refunded.stripe + d.disputed.stripe for d in days) == sum(
            moved.amount for moved in account.values()
        ), "what is young and agrees counts too"


def test_what_adds_up_by_chance_is_not_even() -> None:
    keys = [(MovementKind.REFUND, "a"), (MovementKind.REFUND, "b")]
    stripe, tiffin = ({key: moved(*key, amount) for key in keys[at : at + 1]} for at, amount in
                      ((0, 300), (1, 300)))  # fmt: skip
    found, (day,) = compared(stripe, tiffin)
    assert (day.refunded.stripe, day.refunded.tiffin, day.differing) == (300, 300, 2)
    assert (len(found), day.is_even) == (2, False)


def test_another_currency_is_another_amount() -> None:
    key = (MovementKind.CHARGE, "a")
    found, days = compared({key: moved(*key, 300)}, {key: moved(*key, 300, currency="USD")})
    assert [(d.currency, d.stripe, d.tiffin) for d in found] == [
        ("INR", 300, None), ("USD", None, 300)
    ]  # fmt: skip
    assert [(day.currency, day.differing) for day in days] == [("USD", 1), ("INR", 1)]


def test_a_difference_keeps_the_time_when_it_was_seen_first() -> None:
    key, earlier = (MovementKind.REFUND, "a"), "2026-11-23T11:00:00.000Z"
    stripe = {key: moved(*key, 300)}
    ((first,), _) = compared(stripe, {}, now=earlier)
    (again,), _ = compare(stripe, {}, since={key: first.since}, now=NOW, until_ms=LATER)
    assert (again.since, again.stripe, again.tiffin) == (earlier, 300, None)


def test_what_is_too_young_for_the_other_side_is_no_difference() -> None:
    key = (MovementKind.REFUND, "a")
    old, young = {key: moved(*key, 300, 99)}, {key: moved(*key, 200, 101)}
    for sides, is_listed in (((old, {}), True), ((old, young), False), (({}, young), False)):
        found, days = compared(*sides, until_ms=100)
        assert bool(found) is is_listed
        assert [day.is_even for day in days] == [False] * is_listed


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=8), st.data())
def test_what_is_emitted_again_changes_nothing(
    words: list[tuple[str, int]], data: st.DataObject
) -> None:
    moves = [
        moved(MovementKind.REFUND, id, amount, 0, n) for n, (id, amount) in enumerate(words, 1)
    ]
    account: dict[Any, MoneyMovement] = {}
    add_movements(account, moves)
    again = dict(account)
    for at in data.draw(st.lists(st.integers(0, len(moves)), max_size=4)):
        add_movements(again, moves[at:])
        add_movements(again, moves[: at + 1])
    assert again == account


def event(kind: EventType, **data: Any) -> Event:
    known = {
        "payment_id": "pay", "order_id": ORDER, "amount": 700, "currency": "INR", "attempt": 1,
        "stripe_charge_id": "ch_1", "receipt_url": None, "refund_id": "refund_1", "reason": "LATE",
        "stripe_refund_id": "re_1", "status": RefundStatus.SUCCEEDED, "by": "stripe", "refunded_total": 700,
        "dispute_id": "du_1", **data,
    }  # fmt: skip
    fields = EVENTS[kind].data.__struct_fields__
    return Event(
        event_id="e", event_type=kind, occurred_at=NOW, order_id=ORDER, payment_id="pay",
        sequence=4, causation_id="c", correlation_id="c", producer="payments",
        data=EVENTS[kind].data(**{name: known[name] for name in fields if name in known}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        (E.PAYMENT_COMPLETED, {}, (MovementKind.CHARGE, "ch_1", 700)),
        (E.PAYMENT_REFUND_PARTIAL, {"amount": 300}, (MovementKind.REFUND, "re_1", 300)),
        (E.PAYMENT_REFUNDED, {}, (MovementKind.REFUND, "re_1", 700)),
        (E.PAYMENT_REFUND_FAILED, {"status": "FAILED"}, (MovementKind.REFUND, "re_1", 0)),
        (E.PAYMENT_DISPUTED, {"status": "needs_response"}, (MovementKind.DISPUTE, "du_1", 700)),
        (
            E.PAYMENT_DISPUTED,
            {"status": "warning_needs_response"},
            (MovementKind.DISPUTE, "du_1", 0),
        ),
        (E.PAYMENT_DISPUTE_CLOSED, {"status": "lost"}, (MovementKind.DISPUTE, "du_1", 700)),
        (E.PAYMENT_DISPUTE_CLOSED, {"status": "won"}, (MovementKind.DISPUTE, "du_1", 0)),
    ],
)
def test_what_an_event_says_of_the_money(
    kind: EventType, data: dict[str, Any], wanted: tuple[MovementKind, str, int]
) -> None:
    found = movement_of_event(event(kind, **data))
    assert found
    assert (found.kind, found.id, found.amount) == wanted
    assert (found.order_id, found.at_ms, found.sequence) == (ORDER, from_rfc3339(NOW), 4)


def test_what_stripe_never_heard_of_is_in_no_account() -> None:
    assert movement_of_event(event(E.PAYMENT_REFUND_FAILED, stripe_refund_id=None)) is None
    assert movement_of_event(event(E.PAYMENT_FAILED, failure_reason="expired_card")) is None


@pytest.mark.parametrize(
    ("kind", "thing", "amount"),
    [
        (MovementKind.CHARGE, {"status": "succeeded", "amount_captured": 500}, 500),
        (MovementKind.CHARGE, {"status": "failed", "amount_captured": 0}, 0),
        (MovementKind.CHARGE, {"status": "pending", "amount_captured": 500}, 0),
        (MovementKind.REFUND, {"status": "succeeded", "amount": 300}, 300),
        *(
            (MovementKind.REFUND, {"status": s, "amount": 300}, 0)
            for s in ("pending", "failed", "canceled")
        ),
        *(
            (MovementKind.DISPUTE, {"status": s, "amount": 300}, 300)
            for s in ("needs_response", "lost")
        ),
        *(
            (MovementKind.DISPUTE, {"status": s, "amount": 300}, 0)
            for s in sorted(NO_FUNDS_WITHDRAWN)
        ),
    ],
)
def test_what_stripe_says_of_the_money(
    kind: MovementKind, thing: dict[str, Any], amount: int
) -> None:
    found = movement_of_stripe_object(
        kind, {"id": "x", "currency": "jod", "created": 86_400, **thing}, ORDER
    )
    assert (found.amount, found.currency, to_rfc3339(found.at_ms)[:10]) == (
        amount, "JOD", "1970-01-02"
    )  # fmt: skip


def test_of_what_is_closed_only_lost_money_is_gone() -> None:
    assert {"lost"} == CLOSED_DISPUTES - NO_FUNDS_WITHDRAWN
