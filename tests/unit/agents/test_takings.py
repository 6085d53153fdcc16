"""A restaurant's takings of a day: whatever comes in which order, each change counts once."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.analytics import ANALYTICS
from agents.takings import TakingsPolicy, takings_service
from models import topics
from models.events import EVENTS, Event, EventType
from models.levels import Level
from models.messages import decode, encode
from models.takings import DayTakings, Takings, TakingsChange, restaurant_key
from models.times import DAY_MS, from_rfc3339, to_rfc3339
from models.transition import Input
from tests.support.payment_flow import AMOUNT, PaymentFlowHarness

RESTAURANT = "annapurna-bengaluru"
ZONE = ZoneInfo("Asia/Kolkata")
KEPT_DAYS = 5
SERVICE = takings_service(TakingsPolicy({RESTAURANT: ZONE}, KEPT_DAYS))
NOW_MS = from_rfc3339("2026-11-27T12:00:00.000Z")
SOURCES = ("analytics/0", "analytics/1", "analytics/2")


def summed(told: list[tuple[str, TakingsChange]], at_ms: int = NOW_MS) -> Takings:
    """The state behind these changes, each from a source; stored and read again each time."""
    state = SERVICE.load(None)
    for number, (source, change) in enumerate(told):
        identity, message = SERVICE.parse(topics.RESTAURANT_TAKINGS, b"r", encode(change))
        identity = identity._replace(producer=source, sequence=number + 1)
        record = Input(topics.RESTAURANT_TAKINGS, RESTAURANT, identity, message, at_ms)
        state = SERVICE.decide(state, record, lambda _: None).state
        state = SERVICE.load(orjson.loads(orjson.dumps(SERVICE.dump(state))))
    return state


def change(offset: int, at_ms: int, currency: str = "INR", **sums: int) -> TakingsChange:
    return TakingsChange(
        event_id=f"e{offset}", order_id=f"o{offset}", occurred_at=to_rfc3339(at_ms),
        currency=currency, offset=offset, **sums,
    )  # fmt: skip


def rows_of(state: Takings) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (day, currency): (sums.orders, sums.gross, sums.refunded)
        for day, by_currency in state.days.items()
        for currency, sums in by_currency.items()
    }


@st.composite
def payments(draw: st.DrawFn) -> list[tuple[str, TakingsChange]]:
    """What each partition tells of its orders: paid, refunded in parts, refunds that failed after all."""
    told = []
    for source in SOURCES:
        for offset in range(draw(st.integers(0, 6))):
            at_ms = NOW_MS - draw(st.integers(0, 9 * DAY_MS))
            currency = draw(st.sampled_from(["INR", "JPY"]))
            amount = draw(st.integers(1, 10**6))
            kind = draw(st.sampled_from(["paid", "refunded", "reversed"]))
            sums = {
                "paid": {"orders": 1, "gross": amount},
                "refunded": {"refunded": amount},
                "reversed": {"refunded": -amount},
            }[kind]
            told.append((source, change(offset, at_ms, currency, **sums)))
    return told


@given(payments(), st.data())
def test_any_order_gives_the_same_sums_and_each_change_counts_once(
    told: list[tuple[str, TakingsChange]], data: Any
) -> None:
    """Partitions are mixed at will, each in its own order; from some place on one may tell all again."""
    left = {source: [each for each in told if each[0] == source] for source in SOURCES}
    mixed = []
    while any(left.values()):
        source = data.draw(st.sampled_from([name for name, queue in left.items() if queue]))
        mixed.append(left[source].pop(0))
    for source in data.draw(st.sets(st.sampled_from(SOURCES))):
        mixed += [each for each in told if each[0] == source]  # its table was made anew
    expected: Counter[tuple[str, str, str]] = Counter()
    first_day = date(2026, 11, 27) - timedelta(days=KEPT_DAYS)
    days = set()
    for _, each in told:
        day = (from_rfc3339(each.occurred_at) + 5.5 * 3_600_000) // DAY_MS
        iso = (date(1970, 1, 1) + timedelta(days=int(day))).isoformat()
        if iso >= first_day.isoformat():
            days.add((iso, each.currency))
            for name in ("orders", "gross", "refunded"):
                expected[iso, each.currency, name] += getattr(each, name)
    found = rows_of(summed(mixed))
    assert found == {
        (day, currency): tuple(expected[day, currency, n] for n in ("orders", "gross", "refunded"))
        for day, currency in days
    }


def test_a_day_begins_when_it_does_at_the_restaurant() -> None:
    midnight_ms = from_rfc3339("2026-11-27T00:00:00.000+05:30")
    state = summed([("a/0", change(n, midnight_ms - 1 + n, orders=1, gross=5)) for n in range(2)])
    assert sorted(state.days) == ["2026-11-26", "2026-11-27"]


def test_days_that_are_over_go_and_days_to_come_are_not_kept() -> None:
    told = [("a/0", change(n, NOW_MS - n * DAY_MS, orders=1, gross=5)) for n in range(3)]
    told.append(("a/0", change(3, NOW_MS + 400 * DAY_MS, orders=1, gross=5)))
    assert len(summed(told).days) == 3
    later_ms = NOW_MS + 7 * DAY_MS
    told.append(("a/1", change(9, later_ms, orders=1, gross=7)))
    assert rows_of(summed(told, later_ms)) == {("2026-12-04", "INR"): (1, 7, 0)}


def told_by(log: list[Any], level: int = Level.V0_2) -> list[TakingsChange]:
    """What analytics tells of an order's payment events."""
    state, told = ANALYTICS.load(None), []
    rows: dict[str, bytes] = {}
    for offset, event in enumerate(log):
        record = Input(
            topics.PAYMENT_EVENTS, event.order_id,
            ANALYTICS.parse(topics.PAYMENT_EVENTS, event.order_id.encode(), encode(event))[0],
            event, from_rfc3339(event.occurred_at), (), offset, level,
        )  # fmt: skip
        decision = ANALYTICS.decide(state, record, rows.get)
        state = decision.state
        rows |= decision.rows
        for output in decision.outputs:
            assert (output.topic, output.key) == (topics.RESTAURANT_TAKINGS, "r1")
            told.append(decode(TakingsChange, output.value))
    return told


def events_of(flow: PaymentFlowHarness) -> list[Event]:
    return [e for e in flow.log if topics.PAYMENT_EVENTS in EVENTS[e.event_type].topics]


def test_a_payment_is_told_when_it_is_paid_and_when_it_goes_back() -> None:
    flow = PaymentFlowHarness()
    flow.pay()
    flow.refund(100)
    flow.refund(AMOUNT - 100)
    told = told_by(events_of(flow))
    assert [(each.orders, each.gross, each.refunded) for each in told] == [
        (1, AMOUNT, 0), (0, 0, 100), (0, 0, AMOUNT - 100),
    ]  # fmt: skip
    offsets = [each.offset for each in told]
    assert offsets == sorted(set(offsets))


def test_nothing_is_told_of_a_payment_that_took_no_money() -> None:
    flow = PaymentFlowHarness()
    flow.pay()
    before_money = [e for e in events_of(flow) if e.event_type is not EventType.PAYMENT_COMPLETED]
    assert told_by(before_money) == []


def test_an_older_build_beside_this_one_meets_none_of_it() -> None:
    flow = PaymentFlowHarness()
    flow.pay()
    assert told_by(events_of(flow), Level.V0_1) == []


@pytest.mark.parametrize("name", ["", "a/b", "\0x", "r" * 600])
def test_what_can_be_no_key_is_told_to_nobody(name: str) -> None:
    assert restaurant_key(name) is None


def test_net_is_what_is_left() -> None:
    assert DayTakings(orders=2, gross=500, refunded=200).net == 300
