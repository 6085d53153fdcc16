"""Sums of payment events: exact under redelivery and crashes, additive over time, equal to the payments."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.analytics import ANALYTICS
from agents.service import Service
from models import analytics, ids, topics
from models.analytics import BucketLength, CountedPayment, Sum, Sums
from models.events import EVENTS, Event, EventType
from models.graphs import RefundStatus
from models.messages import encode
from models.payment import Payment
from models.payment_fold import evolve
from models.times import to_rfc3339
from models.transition import Input, UnreadableError

E = EventType
START_MS = 1_700_000_000_000
RESTAURANTS = ("annapurna", "a/b é", "")
CURRENCIES = ("INR", "JPY")


def event(order_id: str, sequence: int, kind: EventType, at_ms: int, **data: Any) -> Event:
    """A payment event as payments emits it; what a type demands and nobody gives is filled in."""
    known = {
        "order_id": order_id, "payment_id": ids.payment_id(order_id), "user_id": "guest",
        "amount": 1000, "currency": "INR", "stripe_intent_id": "pi_1", "attempt": 1,
        "stripe_charge_id": "ch_1", "receipt_url": None, "failure_reason": "insufficient_funds",
        "cancel_reason": "CHANGED_MIND", "stripe_refund_id": "re_1", "by": "orders",
        "status": RefundStatus.SUCCEEDED, "reason": "LATE", "refunded_total": 0, "next_action": "x",
        "refund_id": "refund_1", "dispute_id": "dp_1",
    }  # fmt: skip
    fields = EVENTS[kind].data.__struct_fields__
    return Event(
        event_id=f"{order_id}:{sequence}", event_type=kind, occurred_at=to_rfc3339(at_ms),
        order_id=order_id, payment_id=ids.payment_id(order_id), sequence=sequence,
        causation_id="c", correlation_id="c", producer="payments",
        data=EVENTS[kind].data(**{k: v for k, v in (known | data).items() if k in fields}),
    )  # fmt: skip


@st.composite
def payments(draw: st.DrawFn) -> list[list[Event]]:
    """Histories of a few payments, over hours and days, each legal enough to be folded."""
    histories = []
    for number in range(draw(st.integers(1, 4))):
        order_id = ids.order_id("guest", str(number))
        money = {"currency": draw(st.sampled_from(CURRENCIES)), "amount": 1000}
        at_ms = START_MS + draw(st.integers(0, 7200)) * 1000
        history: list[Event] = []

        def add(kind: EventType, within_s: int, **data: Any) -> None:
            nonlocal at_ms
            at_ms += draw(st.integers(0, within_s * 1000))
            history.append(event(order_id, len(history) + 1, kind, at_ms, **(money | data)))  # noqa: B023

        add(E.PAYMENT_INITIATED, 0, restaurant_id=draw(st.sampled_from(RESTAURANTS)))
        for attempt in range(1, draw(st.integers(0, 3)) + 1):
            add(E.PAYMENT_PROCESSING, 300, attempt=attempt)
            reason = draw(st.sampled_from(["insufficient_funds", "NOT_SUBMITTED"]))
            add(E.PAYMENT_FAILED, 30, failure_reason=reason)
        match draw(st.sampled_from(["paid", "cancelled", "open"])):
            case "cancelled":
                add(E.PAYMENT_CANCELLED, 4000)
            case "paid":
                add(E.PAYMENT_PROCESSING, 300)
                add(E.PAYMENT_COMPLETED, 4000)
                for kind, data in draw(st.permutations(_after_payment())):
                    if draw(st.booleans()):
                        add(kind, 90_000, **data)
        histories.append(history)
    return histories


def _after_payment() -> list[tuple[EventType, dict[str, Any]]]:
    failed = {"status": RefundStatus.FAILED, "amount": 300, "refund_id": "refund_1"}
    return [
        (E.PAYMENT_REFUND_PARTIAL, {"amount": 300, "refund_id": "refund_1"}),
        (E.PAYMENT_REFUND_FAILED, failed),
        (E.PAYMENT_DISPUTED, {"status": "needs_response", "amount": 700}),
        (E.PAYMENT_DISPUTED, {"status": "under_review", "amount": 700}),
        (E.PAYMENT_DISPUTE_CLOSED, {"status": "won", "amount": 700}),
        (E.PAYMENT_REFUNDED, {"amount": 200, "refund_id": "refund_2"}),
    ]


@dataclass
class Partition:
    """What the engine does for one partition: drops what a record has, keeps rows beside records.

    A crash leaves all rows of the last group, but only some of its records.
    """

    service: Service[CountedPayment | None] = ANALYTICS
    records: dict[str, tuple[int, Any]] = field(default_factory=dict)
    rows: dict[str, bytes] = field(default_factory=dict)

    def apply(self, offset: int, event: Event) -> None:
        key, value = event.order_id, encode(event)
        header, message = self.service.parse(topics.PAYMENT_EVENTS, key.encode(), value)
        sequence, raw = self.records.get(key, (0, None))
        if header.sequence <= sequence:
            return
        given = Input(topics.PAYMENT_EVENTS, key, header, message, 0, (), offset)
        decision = self.service.decide(self.service.load(raw), given, self.rows.get)
        self.rows |= decision.rows
        stored = orjson.loads(orjson.dumps(self.service.dump(decision.state)))
        self.records[key] = (header.sequence, stored)


def interleaved(histories: list[list[Event]], data: st.DataObject) -> list[Event]:
    """One partition's records: each order's own in order, some of them emitted twice."""
    waiting = [list(history) for history in histories]
    log: list[Event] = []
    while any(waiting):
        turn = data.draw(st.sampled_from([n for n, left in enumerate(waiting) if left]))
        log.append(waiting[turn].pop(0))
        if data.draw(st.integers(0, 4)) == 0:
            log.append(data.draw(st.sampled_from(log)))
    return log


def of(rows: dict[str, bytes], by: BucketLength) -> Iterator[tuple[str, Sums]]:
    for key, raw in rows.items():
        if key.startswith(f"{by}/"):
            yield key, analytics.load_row(raw)[1]


def summed(rows: dict[str, bytes], by: BucketLength) -> Sums:
    total: Sums = Counter()
    for _, sums in of(rows, by):
        total.update(sums)
    return total


@settings(deadline=None)
@given(histories=payments(), data=st.data())
def test_sums_are_exact_whatever_is_repeated_or_cut_off(
    histories: list[list[Event]], data: st.DataObject
) -> None:
    partition, log = Partition(), interleaved(histories, data)
    offset = 0
    while offset < len(log):
        group = log[offset : offset + data.draw(st.integers(1, 6))]
        records = dict(partition.records)
        for number, event in enumerate(group):
            partition.apply(offset + number, event)
        if data.draw(st.booleans()):
            survived = data.draw(st.sets(st.sampled_from([event.order_id for event in group])))
            kept = {key: record for key, record in partition.records.items() if key in survived}
            partition.records = records | kept
            for number, event in enumerate(group):
                partition.apply(offset + number, event)
        offset += len(group)
    clean = Partition()
    for number, event in enumerate(e for history in histories for e in history):
        clean.apply(number, event)
    assert {k: v for by in BucketLength for k, v in of(partition.rows, by)} == {
        k: v for by in BucketLength for k, v in of(clean.rows, by)
    }


@settings(deadline=None)
@given(histories=payments())
def test_sums_agree_with_the_payments_and_with_each_other(histories: list[list[Event]]) -> None:
    partition = Partition()
    folded: list[Payment] = []
    truth: Counter[str] = Counter()
    for history in histories:
        payment: Payment | None = None
        for event in history:
            payment = evolve(payment, event)
            partition.apply(sum(truth.values()), event)
            truth[event.event_type] += 1
        folded.append(payment)
    for by in BucketLength:
        sums = summed(partition.rows, by)
        assert analytics.revenue(sums) == sum(payment.net for payment in folded)
        assert sums[Sum.CONVERTED] == sums[Sum.COMPLETED] == truth[E.PAYMENT_COMPLETED]
        assert sums[Sum.INITIATED] == len(histories)
        assert sums[Sum.ATTEMPTS] == truth[E.PAYMENT_PROCESSING]
        assert sums[Sum.DECLINED] == truth[E.PAYMENT_FAILED]
        assert sum(analytics.grouped(sums, Sum.DECLINES).values()) == sums[Sum.DECLINED]
        assert sums[Sum.DISPUTES] == sum(len(payment.disputes) for payment in folded)
        if by is not BucketLength.MINUTE:
            assert sum(analytics.grouped(sums, Sum.PAID).values()) == sums[Sum.COMPLETED]
    times = (f"{Sum.PAID}/", Sum.PAID_MS)
    for longer, shorter in (
        (BucketLength.HOUR, BucketLength.MINUTE),
        (BucketLength.DAY, BucketLength.HOUR),
    ):
        added: dict[tuple[str, str, str], Sums] = defaultdict(Counter)
        for key, sums in of(partition.rows, shorter):
            bucket, currency, restaurant = analytics.parts_of(key)
            added[bucket[:-2], currency, restaurant].update(sums)
        for key, sums in of(partition.rows, longer):
            known = added[analytics.parts_of(key)]
            for name in {*sums, *known}:
                if shorter is not BucketLength.MINUTE or not name.startswith(times):
                    assert known[name] == sums[name]


def test_money_that_comes_back_is_taken_off_where_it_came_back() -> None:
    order_id, day_ms = ids.order_id("guest", "1"), 86_400_000
    refund = {"amount": 300, "refund_id": "refund_1"}
    partition = Partition()
    for number, (kind, at_ms, data) in enumerate(
        [
            (E.PAYMENT_INITIATED, 0, {}),
            (E.PAYMENT_COMPLETED, 2_000, {}),
            (E.PAYMENT_REFUND_PARTIAL, day_ms, refund),
            (E.PAYMENT_REFUND_FAILED, 2 * day_ms, refund | {"status": RefundStatus.FAILED}),
            (E.PAYMENT_DISPUTED, 3 * day_ms, {"status": "needs_response"}),
            (E.PAYMENT_DISPUTE_CLOSED, 4 * day_ms, {"status": "won"}),
        ]
    ):
        partition.apply(number, event(order_id, number + 1, kind, START_MS + at_ms, **data))
    days = [analytics.revenue(sums) for _, sums in sorted(of(partition.rows, BucketLength.DAY))]
    assert days == [1000, -300, 300, -1000, 1000]


def test_events_of_orders_in_the_same_topic_are_no_money() -> None:
    partition, order_id = Partition(), ids.order_id("guest", "1")
    asked = event(order_id, 1, E.PAYMENT_REFUND_INITIATED, START_MS)
    partition.apply(0, structs.replace(asked, producer="orders"))
    assert not partition.rows


def test_payment_without_its_beginning_is_refused() -> None:
    with pytest.raises(UnreadableError, match="begins"):
        Partition().apply(0, event(ids.order_id("guest", "1"), 2, E.PAYMENT_PROCESSING, START_MS))


@settings(deadline=None)
@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=200), st.integers(1, 4))
def test_quantiles_of_merged_times_are_within_one_percent(times: list[int], parts: int) -> None:
    merged: Sums = Counter()
    for part in range(parts):
        merged.update(Counter(f"{Sum.PAID}/{analytics.bin_of(ms)}" for ms in times[part::parts]))
    times.sort()
    for quantile, found in zip(
        (0.0, 0.5, 0.99), analytics.quantiles(merged, 0, 0.5, 0.99), strict=True
    ):
        true = times[int(quantile * (len(times) - 1))]
        assert abs(found - true) <= analytics.ACCURACY * true + 0.5


def test_keys_name_their_bucket_and_any_restaurant() -> None:
    at_ms = START_MS + 59_999
    for by, restaurant in zip(BucketLength, RESTAURANTS, strict=True):
        bucket = analytics.bucket_of(by, at_ms)
        key = analytics.row_key(by, bucket, "INR", restaurant)
        assert key.count("/") == 3
        assert analytics.parts_of(key) == (bucket, "INR", restaurant)
        assert analytics.start_of(by, bucket) == at_ms - at_ms % analytics.LENGTH_MS[by]
