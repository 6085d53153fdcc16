"""Files of accepted differences, settings of --what-if, and the store on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.records import FetchedRecord
from app.rehearsal.accepted import (
    AcceptFileError,
    not_accepted,
    not_found,
    read_accepted,
    write_accepted,
)
from app.rehearsal.compare import Difference, DifferenceKind, KindKey
from app.rehearsal.money import MoneyMoved
from app.rehearsal.order import OrderResult
from app.rehearsal.report import FIRST_ORDERS, MAX_KINDS, RehearsalReport
from app.rehearsal.store import RecordStore
from app.rehearsal.what_if import DECIDED_BY, WhatIfError, changed_settings
from app.settings import Settings

FEE = KindKey(
    "payments", DifferenceKind.FIELD, "payment-events", "PAYMENT_COMPLETED", "data.amount"
)
GONE = KindKey("orders", DifferenceKind.MISSING, "order-events", "ORDER_CREATED")


def report_of(*kinds: KindKey, orders: int = 1) -> RehearsalReport:
    report = RehearsalReport()
    for number in range(orders):
        found = [Difference(kind, 1, 2) for kind in kinds]
        money = {"EUR": MoneyMoved(100)}, {"EUR": MoneyMoved(99)}
        report.add(OrderResult(f"order_{number}", "", 5, 4, found, *money))
    return report


def test_what_is_written_is_accepted(tmp_path: Path) -> None:
    path, report = tmp_path / "meant.json", report_of(FEE, GONE)
    write_accepted(path, report)
    accepted = read_accepted(path)
    assert not_accepted(report, accepted) == []
    assert not_accepted(report_of(FEE), {}) == [FEE]
    assert not_found(report_of(FEE), accepted) == [GONE]


def test_a_kind_may_be_accepted_in_so_many_orders(tmp_path: Path) -> None:
    path = tmp_path / "meant.json"
    entry = {**FEE._asdict(), "mostOrders": 2, "reason": "the fee is lower since May"}
    path.write_text(json.dumps({"version": 1, "accepted": [entry]}))
    assert not_accepted(report_of(FEE, orders=2), read_accepted(path)) == []
    assert not_accepted(report_of(FEE, orders=3), read_accepted(path)) == [FEE]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"version":2,"accepted":[]}', '{"version":1}', '{"version":1,"accepted":[{}]}',
        '{"version":1,"accepted":[{"service":"a","kind":"no such","topic":"t","type":"u"}]}',
        '{"version":1,"accepted":[{"service":"a","kind":"field","topic":"t","type":"u","feild":"x"}]}',
        '{"version":1,"accepted":[{"service":"a","kind":"field","topic":"t","type":"u","mostOrders":0}]}',
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "meant.json"
    path.write_text(text)
    with pytest.raises(AcceptFileError, match=r"meant\.json"):
        read_accepted(path)
    with pytest.raises(AcceptFileError, match="No such file"):
        read_accepted(tmp_path / "nowhere.json")


def test_a_report_does_not_grow_with_the_orders() -> None:
    report = report_of(FEE, orders=50)
    assert (report.orders, report.differing, report.kinds[FEE].orders) == (50, 50, 50)
    assert len(report.kinds[FEE].examples) == FIRST_ORDERS
    assert report.money["EUR"] == (MoneyMoved(5000), MoneyMoved(4950))
    many = report_of(*(FEE._replace(field=f"data.f{n}") for n in range(MAX_KINDS * 2)))
    assert len(many.kinds) == MAX_KINDS + 1


# -- what-if


def settings(**given: Any) -> Settings:
    return Settings(sandbox=True, web_host="127.0.0.1", **given)


@pytest.mark.parametrize("given", ["kitchen_deadline_s=480", "TIFFIN_KITCHEN_DEADLINE_S=480"])
def test_a_setting_is_changed_by_either_name(given: str) -> None:
    changed = changed_settings(settings(), [given, "notification_tries=3"])
    assert (changed.kitchen_deadline_s, changed.notification_tries) == (480.0, 3)
    assert settings().kitchen_deadline_s == 600.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("kitchen_deadline_s", "give SETTING=VALUE"),
        ("partitions=12", "no decision goes by it"),
        ("kitchen_dedline_s=3", "did you mean kitchen_deadline_s"),
        ("kitchen_deadline_s=-1", "greater than 0"),
        ("kitchen_deadline_s=soon", "valid number"),
    ],
)
def test_another_setting_is_refused_and_those_that_can_be_are_named(given: str, told: str) -> None:
    with pytest.raises(WhatIfError, match=told) as refused:
        changed_settings(settings(), [given])
    if "deadline_s=" not in given:
        assert all(name in str(refused.value) for name in DECIDED_BY)


# -- the store


records = st.builds(
    FetchedRecord,
    st.sampled_from(("order-commands", "payment-events")),
    st.just(1),
    st.integers(0, 2**40),
    st.integers(-1, 2**42),
    st.none() | st.binary(max_size=4),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    st.none(),
    st.just(False),  # noqa: FBT003 -- is_batch
)


@given(st.lists(records, max_size=20, unique_by=lambda r: (r.topic, r.offset)))
def test_what_is_stored_comes_back_by_key_each_topic_in_order(found: list[FetchedRecord]) -> None:
    store = RecordStore()
    store.add(found)
    seen = []
    keys = []
    for key, consumed in store.orders():
        keys.append(key)
        assert {each.key for each in consumed} == {key}
        assert [(c.topic, c.offset) for c in consumed] == sorted(
            (c.topic, c.offset) for c in consumed
        )
        seen += [
            (c.topic, c.partition, c.offset, c.timestamp, c.key, c.value, c.headers)
            for c in consumed
        ]
    store.close()
    assert len(keys) == len(set(keys))
    assert sorted(map(repr, seen)) == sorted(repr(tuple(each)[:7]) for each in found)


def test_the_first_record_of_a_table_is_kept() -> None:
    store = RecordStore()
    for value in (b"first", b"later"):
        store.add_cuts("orders", [FetchedRecord("log", 0, 1, 1, b"order_1", value, ())])
    assert store.cuts(b"order_1") == {"orders": b"first"}
    assert store.cuts(b"order_2") == {}
    store.close()
