"""The outside verifier sees each rule that is broken: so the tests that use it can fail."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STEPS = ("PAYMENT_INITIATED", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED")
MONEY: dict[str, Any] = {"orderId": "order_1", "amount": 100, "currency": "INR"}
COMPLETED = MONEY | {
    "paymentId": "pay_1", "attempt": 1, "stripeChargeId": "ch_1", "receiptUrl": None
}  # fmt: skip
DATA = {
    "PAYMENT_INITIATED": MONEY | {"userId": "guest", "stripeIntentId": "pi_1"},
    "PAYMENT_PROCESSING": {"paymentId": "pay_1", "stripeIntentId": "pi_1", "attempt": 1},
    "PAYMENT_COMPLETED": COMPLETED,
}


def record(topic: str, offset: int, event: dict[str, Any], **headers: str) -> Record:
    told = {
        "traceparent": TRACE, "ce_id": event["eventId"], "ce_type": event["eventType"],
        "ce_source": f"/tiffin/{event['producer']}", "ce_time": event["occurredAt"],
        "ce_specversion": "1.0", "content-type": "application/json",
    }  # fmt: skip
    return Record(topic, 0, offset, "order_1", json.dumps(event).encode(), told | headers)


def event(number: int, type_: str, **changes: Any) -> dict[str, Any]:
    return {
        "eventId": f"e{number}", "eventType": type_, "schemaVersion": 1,
        "occurredAt": f"2026-01-01T00:00:0{number}.000Z", "orderId": "order_1",
        "paymentId": "pay_1", "sequence": number, "causationId": "c", "correlationId": "c",
        "producer": "payments", "data": DATA[type_],
    } | changes  # fmt: skip


def paid() -> list[Record]:
    """What a paid order leaves in payment-events and in the topics of each type."""
    events = [event(number, type_) for number, type_ in enumerate(STEPS, 1)]
    return [
        record(topic, offset, told)
        for offset, told in enumerate(events)
        for topic in ("payment-events", kafka_invariants.TOPIC_OF_TYPE[told["eventType"]])
    ]


def with_last(**changes: Any) -> list[Record]:
    """The same, but its last event is another one, in both topics."""
    last = event(3, STEPS[2], **changes)
    topics = ("payment-events", "payment-completed")
    return [*paid()[:-2], *(record(topic, 2, last) for topic in topics)]


def completed_twice() -> list[Record]:
    again = event(4, "PAYMENT_COMPLETED")
    return [*paid(), record("payment-events", 3, again), record("payment-completed", 1, again)]


def repeated_with_another_value() -> list[Record]:
    return [
        *paid(),
        record("payment-events", 3, event(3, STEPS[2], data=COMPLETED | {"amount": 1})),
    ]


def with_header(**headers: str) -> list[Record]:
    return [*paid()[:-1], record("payment-completed", 2, event(3, STEPS[2]), **headers)]


def without_header(left_out: str) -> list[Record]:
    *others, last = paid()
    headers = {name: text for name, text in last.headers.items() if name != left_out}
    return [*others, last._replace(headers=headers)]


BROKEN: dict[str, tuple[str, Callable[[], list[Record]]]] = {
    "a sequence has a gap": ("has [1, 2, 4]", lambda: with_last(sequence=4)),
    "a sequence comes twice": ("came as [1, 2, 2]", lambda: with_last(sequence=2)),
    "a sequence comes too late": (
        "came as [2, 1, 3]",
        lambda: [*paid()[2:4], *paid()[:2], *paid()[4:]],
    ),
    "time goes back": ("time went back", lambda: with_last(occurredAt="2026-01-01T00:00:00.000Z")),
    "time has no milliseconds": (
        "2026-01-01T00:00:09Z",
        lambda: with_last(occurredAt="2026-01-01T00:00:09Z"),
    ),
    "a field is empty": ("payment-events/0@2", lambda: with_last(correlationId="")),
    "a field too many": ("{'note'}", lambda: with_last(note="x")),
    "a name is not in camelCase": (
        "stripe_charge_id",
        lambda: with_last(data={"stripe_charge_id": "ch"}),
    ),
    "a float": ("the float 25.0", lambda: with_last(data={"amount": 25.0})),
    "another order's key": (
        "key order_2",
        lambda: [*paid()[:-1], paid()[-1]._replace(key="order_2")],
    ),
    "another partition": (
        "all in one partition",
        lambda: [*paid()[:-1], paid()[-1]._replace(partition=1)],
    ),
    "no copy in the type's topic": ("payment-completed does not hold", lambda: paid()[:-1]),
    "no original of the copy": (
        "payment-completed does not hold",
        lambda: [*paid()[:-2], paid()[-1]],
    ),
    "completed twice": ("completed 2 times", completed_twice),
    "repeated with another value": ("e3 differs", repeated_with_another_value),
    "no trace": ("payment-completed/0@2", lambda: with_header(traceparent="")),
    "another id in the header": ("payment-completed/0@2", lambda: with_header(ce_id="e9")),
    "no version of CloudEvents": (
        "payment-completed/0@2: no {'ce_specversion'}",
        lambda: without_header("ce_specversion"),
    ),
    "no type of content": ("payment-completed/0@2", lambda: without_header("content-type")),
    "an unknown version of CloudEvents": (
        "payment-completed/0@2: no CloudEvent",
        lambda: with_header(ce_specversion="1.1"),
    ),
    "another type of content": (
        "payment-completed/0@2",
        lambda: with_header(**{"content-type": "text/plain"}),
    ),
    "data that is not of its schema": (
        "PAYMENT_COMPLETED $.data.amount: 'much' is not of type 'integer'",
        lambda: with_last(data=COMPLETED | {"amount": "much"}),
    ),
    "data without a field": (
        "PAYMENT_COMPLETED $.data: 'attempt' is a required property",
        lambda: with_last(data={n: v for n, v in COMPLETED.items() if n != "attempt"}),
    ),
    "another producer in the header": (
        "payment-completed/0@2",
        lambda: with_header(ce_source="/tiffin/orders"),
    ),
}
"""What is broken -> what the verifier says, records."""


def test_what_is_right_passes() -> None:
    kafka_invariants.check(paid())
    kafka_invariants.check([*paid(), *paid()])  # all sent again after a crash


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_seen(name: str) -> None:
    says, make = BROKEN[name]
    with pytest.raises(AssertionError, match=re.escape(says)):
        kafka_invariants.check(make())
