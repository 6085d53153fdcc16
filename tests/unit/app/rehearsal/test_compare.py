"""The comparer: it finds what differs, only that, and says what."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.rehearsal.compare import DifferenceKind, differences
from app.rehearsal.history import SentRecord, sent_record
from app.rehearsal.money import MoneyMoved, money_of
from app.rehearsal.report import masked

TOPICS = ("payment-events", "order-events", "payment-completed")


def message(
    number: int, data: dict[str, Any], topic: str = "order-events", **other: Any
) -> SentRecord:
    body = {"eventId": f"e{number}", "eventType": "ORDER_CREATED", "sequence": number} | other
    value = orjson.dumps({**body, "data": data})
    return SentRecord(topic, b"order_1", value, (("ce_id", b"%d" % number),))


values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
data = st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=4)
messages = st.lists(st.builds(lambda d, t: (d, t), data, st.sampled_from(TOPICS)), max_size=8).map(
    lambda found: [message(n, d, t) for n, (d, t) in enumerate(found)]
)


@given(messages, st.randoms())
def test_the_same_outputs_differ_in_nothing_however_often_they_are_repeated(
    sent: list[SentRecord], random: Any
) -> None:
    repeated = [*sent, *random.sample(sent, len(sent) // 2)]
    assert differences("orders", sent, repeated) == []
    assert differences("orders", repeated, sent) == []


@given(messages, messages)
def test_whatever_is_not_the_same_is_found(
    before: list[SentRecord], after: list[SentRecord]
) -> None:
    assert (differences("orders", before, after) == []) == (set(before) == set(after))


@given(messages, messages)
def test_both_sides_tell_the_same(before: list[SentRecord], after: list[SentRecord]) -> None:
    """What is missing one way is additional the other way; fields differ with their values turned."""
    turned = {
        DifferenceKind.MISSING: DifferenceKind.ADDITIONAL,
        DifferenceKind.ADDITIONAL: DifferenceKind.MISSING,
    }
    one = differences("orders", before, after)
    other = differences("orders", after, before)
    flipped = [(turned.get(d.kind.kind, d.kind.kind), d.kind.topic, d.kind.field) for d in other]
    told = [(d.kind.kind, d.kind.topic, d.kind.field) for d in one]
    assert sorted(told) == sorted(flipped)


@given(messages.filter(bool), st.data())
def test_one_output_left_out_or_added_is_named(sent: list[SentRecord], choice: Any) -> None:
    at = choice.draw(st.integers(0, len(sent) - 1))
    rest = sent[:at] + sent[at + 1 :]
    for before, after, kind in (
        (sent, rest, DifferenceKind.MISSING), (rest, sent, DifferenceKind.ADDITIONAL),
    ):  # fmt: skip
        (found,) = differences("orders", before, after)
        assert (found.kind.kind, found.kind.topic) == (kind, sent[at].topic)


@given(data, st.text("abc", min_size=1, max_size=2), values)
def test_one_field_that_changes_is_named_with_its_values(
    was: dict[str, Any], name: str, value: Any
) -> None:
    now = {**was, name: value}
    found = differences("orders", [message(1, was)], [message(1, now)])
    is_same = name in was and orjson.dumps(was[name]) == orjson.dumps(value)
    if is_same:
        assert found == []
        return
    (only,) = found
    assert only.kind.field == f"data.{name}"
    assert (only.before, only.after) == (was.get(name), value)


def test_another_type_is_told_as_that_and_nothing_more() -> None:
    (found,) = differences(
        "orders", [message(1, {"a": 1})], [message(1, {"b": 2}, eventType="ORDER_CANCELLED")]
    )
    assert found.kind.kind is DifferenceKind.TYPE
    assert (found.before, found.after) == ("ORDER_CREATED", "ORDER_CANCELLED")


def test_the_same_step_by_another_cause_is_compared_field_by_field() -> None:
    before = message(1, {"by": "timers"}, occurredAt="10:10", causationId="c1")
    after = message(2, {"by": "timers"}, occurredAt="10:08", causationId="c2", sequence=1)
    found = differences("orders", [before], [after])
    assert [(d.kind.field, d.before, d.after) for d in found] == [("occurredAt", "10:10", "10:08")]


def test_a_header_and_other_bytes_of_the_same_values_are_found() -> None:
    was = message(1, {})
    (header,) = differences("orders", [was], [was._replace(headers=(("ce_id", b"2"),))])
    assert (header.kind.kind, header.kind.field) == (DifferenceKind.HEADER, "ce_id")
    assert was.value is not None
    (spelt,) = differences("orders", [was], [was._replace(value=was.value.replace(b":", b": ", 1))])
    assert spelt.kind.kind is DifferenceKind.BYTES


def test_spans_are_not_compared_traces_are() -> None:
    def traced(trace: str, span: str) -> SentRecord:
        return sent_record("t", b"k", b"{}", [("traceparent", f"00-{trace}-{span}-01".encode())])

    one, other = "a" * 32, "b" * 32
    assert traced(one, "1" * 16) == traced(one, "2" * 16)
    assert traced(one, "1" * 16) != traced(other, "1" * 16)


# -- money


def paid(number: int, kind: str, **given: Any) -> SentRecord:
    return message(number, {"currency": "EUR", **given}, "payment-events", eventType=kind)


@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**6), max_size=5))
def test_money_is_what_events_say_each_counted_once(amount: int, refunds: list[int]) -> None:
    sent = [paid(0, "PAYMENT_COMPLETED", amount=amount)]
    sent += [
        paid(n, "PAYMENT_REFUND_PARTIAL", amount=each, refundId=f"r{n}")
        for n, each in enumerate(refunds, 1)
    ]
    again = [each._replace(topic="payment-completed") for each in sent]
    assert money_of([*sent, *sent, *again]) == {"EUR": MoneyMoved(amount, sum(refunds))}


def test_a_refund_that_failed_gave_nothing_back() -> None:
    sent = [
        paid(1, "PAYMENT_COMPLETED", amount=500),
        paid(2, "PAYMENT_REFUNDED", amount=500, refundId="r"),
        paid(3, "PAYMENT_REFUND_FAILED", amount=500, refundId="r"),
    ]
    assert money_of(sent) == {"EUR": MoneyMoved(500, 0)}


# -- data of persons


@given(
    st.recursive(
        values, lambda inner: st.dictionaries(st.sampled_from(("name", "email", "reason")), inner)
    )
)
def test_a_text_of_no_known_field_is_never_shown(value: Any) -> None:
    shown = orjson.dumps(masked(value, "detail")).decode()

    def texts(of: Any) -> list[str]:
        return (
            [of]
            if isinstance(of, str)
            else [t for v in of.values() for t in texts(v)]
            if isinstance(of, dict)
            else []
        )

    for text in texts(masked(value, "detail")):
        assert text.endswith((" character)", " characters)"))
    assert shown
