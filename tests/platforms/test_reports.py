"""The report of payments on real Kafka and real workers: equal to what the topic holds, whoever is killed."""

from __future__ import annotations

import csv
import io
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Producer

from app.settings import SANDBOX_TOKEN_KEY
from models import ids
from models.events import EVENTS, Event, EventType
from models.graphs import RefundStatus
from models.messages import encode
from models.times import from_rfc3339, to_rfc3339
from models.topics import PAYMENT_EVENTS
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.support.kafka_topics import read_all, stored_json
from web.http.tokens import DevelopmentStaff, Role

E = EventType
START_MS = from_rfc3339("2025-03-01T22:30:00.000Z")
RANGE = {"from": "2025-03-01", "to": "2025-03-04"}
PAYMENTS = 400
MARK = "JPY"
"""Currency of the last record of each partition: once it is counted, so is all before it."""
PARTITIONS = 3


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("reports"), workers=2) as platform:
        yield platform


def make(order_id: str, sequence: int, kind: EventType, at_ms: int, **given: Any) -> bytes:
    """A payment event, as payments would emit it."""
    known = {
        "order_id": order_id, "payment_id": ids.payment_id(order_id), "user_id": "guest",
        "stripe_intent_id": "pi_1", "attempt": 1, "stripe_charge_id": "ch_1", "receipt_url": None,
        "cancel_reason": "CHANGED_MIND", "stripe_refund_id": "re_1", "refund_id": "refund_1",
        "by": "stripe", "status": RefundStatus.SUCCEEDED, "reason": "LATE", "refunded_total": 0, **given,
    }  # fmt: skip
    fields = EVENTS[kind].data.__struct_fields__
    event = Event(
        event_id=ids.event_id(order_id, "payments", sequence), event_type=kind,
        occurred_at=to_rfc3339(at_ms), order_id=order_id, payment_id=ids.payment_id(order_id),
        sequence=sequence, causation_id="test", correlation_id="test", producer="payments",
        data=EVENTS[kind].data(**{name: known[name] for name in fields if name in known}),
    )  # fmt: skip
    return encode(event)


def histories(rnd: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """Payments over three hours and past midnight: declined, paid, cancelled, refunded in part."""
    for number in range(PAYMENTS):
        order_id, at_ms = ids.order_id("reports", str(number)), START_MS + rnd.randrange(10_800_000)
        money: dict[str, Any] = {
            "amount": rnd.randrange(100, 90_000),
            "currency": rnd.choice(["INR", "USD"]),
        }
        restaurant = rnd.choice(["annapurna-bengaluru", "hinode-kyoto"])
        plan: list[tuple[EventType, dict[str, Any]]] = [
            (E.PAYMENT_INITIATED, {"restaurant_id": restaurant})
        ]
        for reason in rnd.choice(
            [[], [], ["insufficient_funds"], ["expired_card", "NOT_SUBMITTED"]]
        ):
            plan += [(E.PAYMENT_PROCESSING, {}), (E.PAYMENT_FAILED, {"failure_reason": reason})]
        end = rnd.random()
        if end < 0.1:
            plan.append((E.PAYMENT_CANCELLED, {}))
        elif end < 0.9:
            plan += [(E.PAYMENT_PROCESSING, {}), (E.PAYMENT_COMPLETED, {})]
            if end < 0.3:
                plan.append((E.PAYMENT_REFUND_PARTIAL, {"amount": money["amount"] // 3}))
        events = []
        for sequence, (kind, data) in enumerate(plan, 1):
            at_ms += rnd.randrange(1, 60_000)
            events.append(make(order_id, sequence, kind, at_ms, **{**money, **data}))
        yield order_id, events


class Load:
    """Sends the histories, shuffled into each other, 5 % of the events twice; `sent`: 0 to 1."""

    def __init__(self, bootstrap: str, *, seconds: float) -> None:
        self.seconds, self.sent = seconds, 0.0
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "log_level": 0}
        )
        self.thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        rnd = random.Random(11)
        left = dict(histories(rnd))
        total = sum(map(len, left.values()))
        again: list[tuple[str, bytes]] = []
        started, count = time.monotonic(), 0
        while left:
            order_id = rnd.choice(list(left))
            value = left[order_id].pop(0)
            if not left[order_id]:
                del left[order_id]
            again = [*again[-50:], (order_id, value)]
            self._producer.produce(PAYMENT_EVENTS, value, key=order_id)
            if rnd.random() < 0.05:
                key, repeated = rnd.choice(again)
                self._producer.produce(PAYMENT_EVENTS, repeated, key=key)
            count += 1
            self.sent = count / total
            time.sleep(max(0.0, started + self.sent * self.seconds - time.monotonic()))
        self._producer.flush(60)

    def has_sent(self, part: float) -> bool:
        return self.sent >= part

    def mark(self) -> None:
        """End each partition with a record that tells when it has been counted."""
        for partition in range(PARTITIONS):
            order_id = ids.order_id("mark", str(uuid.uuid4()))
            value = make(
                order_id, 1, E.PAYMENT_INITIATED, START_MS, amount=500, currency=MARK,
                restaurant_id="mark",
            )  # fmt: skip
            self._producer.produce(PAYMENT_EVENTS, value, key=order_id, partition=partition)
        assert self._producer.flush(60) == 0


def ask(platform: Platform, worker: int = 0, **query: str) -> httpx.Response:
    token = DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True).issue(Role.OPERATOR, "test")
    with httpx.Client(trust_env=False, timeout=MAX_WAIT_S) as client:
        return client.get(
            f"{platform.endpoints.workers[worker]}/api/reports/payments",
            params=RANGE | query,
            headers={"Authorization": f"Bearer {token}"},
        )


def counted_marks(platform: Platform) -> int:
    """-1 while a worker is away."""
    try:
        answer = ask(platform, currency=MARK)
    except httpx.TransportError:
        return -1
    if answer.status_code != 200 or answer.json()["incomplete"]:
        return -1
    return sum(total["initiated"] for total in answer.json()["totals"])


def truth(platform: Platform) -> dict[str, dict[tuple[str, str], Counter[str]]]:
    """What the topic holds, each event once: by hour and currency, and by restaurant and currency."""
    events: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in read_all(platform.bootstrap, PAYMENT_EVENTS):
        event = orjson.loads(record.value)
        events[event["orderId"]].setdefault(event["eventId"], event)
    sums: dict[str, dict[tuple[str, str], Counter[str]]] = {
        "hour": defaultdict(Counter), "restaurant": defaultdict(Counter)
    }  # fmt: skip
    for history in events.values():
        begun = next(e for e in history.values() if e["eventType"] == E.PAYMENT_INITIATED)
        currency, restaurant = begun["data"]["currency"], begun["data"]["restaurantId"]
        for event in history.values():
            places = (
                sums["hour"][event["occurredAt"][:13], currency],
                sums["restaurant"][restaurant, currency],
            )
            data, kind = event["data"], event["eventType"]
            for place in places:
                place[kind] += 1
                if kind == E.PAYMENT_COMPLETED:
                    place["captured"] += data["amount"]
                if kind == E.PAYMENT_REFUND_PARTIAL:
                    place["refunded"] += data["amount"]
                if kind == E.PAYMENT_FAILED:
                    place[data["failureReason"]] += 1
            if kind == E.PAYMENT_COMPLETED:
                sums["hour"][begun["occurredAt"][:13], currency]["converted"] += 1
                sums["restaurant"][restaurant, currency]["converted"] += 1
    return sums


def assert_equal(shown: dict[str, Any], sums: Counter[str]) -> None:
    assert shown["initiated"] == sums[E.PAYMENT_INITIATED]
    assert shown["converted"] == sums["converted"]
    assert shown["attempts"] == sums[E.PAYMENT_PROCESSING]
    assert shown["completed"] == sums[E.PAYMENT_COMPLETED]
    assert shown["cancelled"] == sums[E.PAYMENT_CANCELLED]
    assert shown["declined"]["count"] == sums[E.PAYMENT_FAILED]
    reasons = ("insufficient_funds", "expired_card", "NOT_SUBMITTED")
    assert shown["declined"]["reasons"] == {name: sums[name] for name in reasons if sums[name]}
    assert shown["refunds"] == sums[E.PAYMENT_REFUND_PARTIAL]
    assert shown["captured"]["amount"] == sums["captured"]
    assert shown["refunded"]["amount"] == sums["refunded"]
    assert shown["revenue"]["amount"] == sums["captured"] - sums["refunded"]


def times_to_pay(platform: Platform) -> list[int]:
    """Milliseconds of every payment in the topic, in order."""
    at: dict[tuple[str, str], int] = {}
    for record in read_all(platform.bootstrap, PAYMENT_EVENTS):
        event = orjson.loads(record.value)
        at[event["eventType"], event["orderId"]] = from_rfc3339(event["occurredAt"])
    return sorted(
        done - at[E.PAYMENT_INITIATED, order_id]
        for (kind, order_id), done in at.items()
        if kind == E.PAYMENT_COMPLETED
    )


def test_report_equals_the_topic_whoever_is_killed(platform: Platform) -> None:
    load = Load(platform.bootstrap, seconds=12)
    load.thread.start()
    for part, victim in ((0.2, 0), (0.5, 1), (0.8, 0)):
        wait_until(partial(load.has_sent, part), f"{part:.0%} to be sent", timeout_s=MAX_WAIT_S)
        platform.workers[victim].kill()
    load.thread.join()
    load.mark()
    wait_until(
        lambda: counted_marks(platform) == PARTITIONS, "all to be counted", timeout_s=MAX_WAIT_S
    )

    sums = truth(platform)
    for worker in (0, 1):
        report = ask(platform, worker, by="hour").json()
        assert report["incomplete"] == []
        shown = {(b["start"][:13], b["currency"]): b for b in report["buckets"]}
        assert shown.keys() == sums["hour"].keys()
        for key, bucket in shown.items():
            assert_equal(bucket, sums["hour"][key])
        for row in report["restaurants"]:
            assert_equal(row, sums["restaurant"][row["restaurantId"], row["currency"]])
    _assert_longer_and_shorter(platform, report)
    _assert_times(platform)
    _assert_csv(platform, report)


def _assert_longer_and_shorter(platform: Platform, hours: dict[str, Any]) -> None:
    days = ask(platform, by="day").json()
    assert {bucket["start"][:10] for bucket in days["buckets"]} == {"2025-03-01", "2025-03-02"}
    assert days["totals"] == hours["totals"]
    first = {"from": "2025-03-01T22:00:00Z", "to": "2025-03-01T23:00:00Z"}
    minutes, hour = (ask(platform, by=by, **first).json() for by in ("minute", "hour"))
    assert len(minutes["buckets"]) > len(hour["buckets"]) > 0
    for bucket in hour["totals"]:
        bucket.pop("timeToPay", None)
    assert minutes["totals"] == hour["totals"]
    one = ask(platform, currency="USD", restaurant="hinode-kyoto").json()
    assert one["totals"] == [
        {name: value for name, value in row.items() if name != "restaurantId"}
        for row in hours["restaurants"]
        if (row["restaurantId"], row["currency"]) == ("hinode-kyoto", "USD")
    ]


def _assert_times(platform: Platform) -> None:
    found = [t["timeToPay"] for t in ask(platform, by="day").json()["totals"] if "timeToPay" in t]
    times = times_to_pay(platform)
    assert sum(time["count"] for time in found) == len(times)
    for time_to_pay in found:
        assert times[0] * 0.99 <= time_to_pay["p50Ms"] <= time_to_pay["p99Ms"] <= times[-1] * 1.01


def _assert_csv(platform: Platform, report: dict[str, Any]) -> None:
    answer = ask(platform, 1, by="hour", format="csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["start"], line["currency"], line["revenue"]) for line in lines] == [
        (bucket["start"], bucket["currency"], bucket["revenue"]["display"])
        for bucket in report["buckets"]
    ]
    assert all(datetime.fromisoformat(line["start"]).minute == 0 for line in lines)


def test_no_record_is_in_the_changelog_before_its_rows(platform: Platform) -> None:
    """A crash may cut the changelog anywhere: what a record has seen must be in the rows by then."""
    load = Load(platform.bootstrap, seconds=0)
    before = max(0, counted_marks(platform))
    load.thread.start()
    load.thread.join()
    load.mark()
    wait_until(
        lambda: counted_marks(platform) == before + PARTITIONS,
        "all to be counted",
        timeout_s=MAX_WAIT_S,
    )
    held: dict[int, int] = defaultdict(lambda: -1)
    records = 0
    for record in read_all(platform.bootstrap, "tiffin-analytics-changelog"):
        if record.key.startswith((b"\0", b"__faust")):
            continue
        value = stored_json("analytics", record.value)
        if b"/" in record.key:
            held[record.partition] = max(held[record.partition], value["offset"])
        else:
            assert value["offsets"][PAYMENT_EVENTS] <= held[record.partition]
            records += 1
    assert records >= PARTITIONS
