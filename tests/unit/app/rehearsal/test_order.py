"""A recorded day, rehearsed: the same build finds nothing, another one is found, with its money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest

import agents
from agents.orders.transitions import Deadlines
from agents.service import Service
from app.rehearsal.cascade import DeadlineRule
from app.rehearsal.compare import DifferenceKind
from app.rehearsal.fold import ServiceSet
from app.rehearsal.history import OrderHistory
from app.rehearsal.order import OrderResult, begins_here, rehearse_order
from app.rehearsal.report import RehearsalReport, as_json
from models.events import EventType
from models.transition import Decision
from tables import Limits
from tests.compatibility import adapter, stored
from tests.compatibility.todays_day import OrderOfDay, as_of_today, changelogs_of, orders_of

ServicesOf = Callable[[Service[Any]], Service[Any]]
LATE_MS = 10_000


def unchanged(service: Service[Any]) -> Service[Any]:
    return service


class RecordedDay:
    """The orders of a recording, and the builds that can decide them again."""

    def __init__(self) -> None:
        self.recording = as_of_today(stored.load(stored.names()[0]))
        every = [each for each in orders_of(self.recording) if each.run is not None]
        self.orders = [each for each in every if not each.was_broken]
        self.broken = [each for each in every if each.was_broken]
        times = (record.at_ms for each in every for record in each.history.records)
        self.rule = DeadlineRule(LATE_MS, max(times))

    def build(self, run: int | None, changed: ServicesOf = unchanged) -> ServiceSet:
        made = (
            adapter.make_service(name, self.recording.runs[run or 0]) for name in adapter.SERVICES
        )
        return ServiceSet.of([changed(service) for service in made], Limits())

    def rehearse(self, changed: ServicesOf = unchanged) -> RehearsalReport:
        report = RehearsalReport()
        for each in self.orders:
            report.add(self.rehearse_one(each, changed))
        return report

    def rehearse_one(self, each: OrderOfDay, changed: ServicesOf = unchanged) -> OrderResult:
        return rehearse_order(self.build(each.run, changed), each.history, self.rule)


@pytest.fixture(scope="module")
def day() -> RecordedDay:
    return RecordedDay()


def decides(name: str, changed: Callable[..., Decision]) -> ServicesOf:
    """A build in which one service's decide is wrapped."""

    def of(service: Service[Any]) -> Service[Any]:
        if service.name != name:
            return service
        return replace(service, decide=partial(changed, service.decide))

    return of


def test_the_same_build_finds_no_difference(day: RecordedDay) -> None:
    report = day.rehearse()
    assert report.kinds == {}
    assert report.untold == {}
    assert report.orders > 25
    assert report.inputs > 1000
    sent = {
        (record.topic, record.partition, record.offset)
        for topic in day.recording.inputs
        for record in day.recording.topics[topic]
        if record.by and record.topic != stored.DEAD_LETTERS
    }
    compared = sum(
        len({s for d in each.history.sent.values() for s in d})
        for each in [*day.orders, *day.broken]
    )
    assert compared >= len(sent) * 0.95, "nearly all that services sent is compared"


def test_a_bug_that_is_mended_is_found(day: RecordedDay) -> None:
    """Services were made to fail while it was recorded: their inputs are no dead letters any more."""
    for each in day.broken:
        found = day.rehearse_one(each).differences
        kinds = {(d.kind.kind, d.kind.type) for d in found}
        assert (DifferenceKind.MISSING, "DEAD_LETTER") in kinds


def with_other_amount(decide: Callable[..., Decision], *given: Any) -> Decision:
    """As if a service fee of 1 were left out of what is captured."""
    decision = decide(*given)
    outputs = [
        output._replace(value=cheaper(output.value))
        if b'"PAYMENT_COMPLETED"' in output.value
        else output
        for output in decision.outputs
    ]
    return decision._replace(outputs=outputs)


def cheaper(value: bytes) -> bytes:
    body = orjson.loads(value)
    body["data"]["amount"] -= 1
    return bytes(orjson.dumps(body))


def test_another_amount_is_found_with_its_money(day: RecordedDay) -> None:
    report = day.rehearse(decides("payments", with_other_amount))
    paid = [
        each
        for each in day.orders
        if any(
            record.service == "payments" and record.type == EventType.PAYMENT_COMPLETED
            for record in each.history.records
        )
    ]
    fields = {key.field for key in report.kinds if key.type == EventType.PAYMENT_COMPLETED}
    assert fields == {"data.amount"}
    captured = {code: (was.captured, now.captured) for code, (was, now) in report.money.items()}
    assert sum(was - now for was, now in captured.values()) == len(paid) == report.differing
    for key, kind in report.kinds.items():
        if key.field == "data.amount" and key.topic == "payment-events":
            assert kind.orders == len(paid)
            first = kind.examples[0]
            assert first.before - first.after == 1


def test_the_other_services_follow_what_one_decides_otherwise(day: RecordedDay) -> None:
    """A build that makes no order of a paid one: no kitchen, no delivery, no message about them."""

    def silent(decide: Callable[..., Decision], *given: Any) -> Decision:
        decision = decide(*given)
        kept = [o for o in decision.outputs if b'"ORDER_CREATED"' not in o.value]
        return decision._replace(outputs=kept)

    report = day.rehearse(decides("orders", silent))
    missing = {(k.service, k.type) for k in report.kinds if k.kind is DifferenceKind.MISSING}
    assert ("orders", "ORDER_CREATED") in missing
    assert ("deliveries", "DELIVERY_CREATED") in missing


def test_an_output_that_is_added_is_found(day: RecordedDay) -> None:
    def noisy(decide: Callable[..., Decision], *given: Any) -> Decision:
        decision = decide(*given)
        return decision._replace(outputs=[*decision.outputs, *decision.outputs[:1]])

    def louder(decide: Callable[..., Decision], *given: Any) -> Decision:
        decision = noisy(decide, *given)
        if not decision.outputs:
            return decision
        last = decision.outputs[-1]
        body = orjson.loads(last.value)
        body["commandId" if "commandId" in body else "eventId"] = f"evt_{given[1].identity.id}"[:60]
        return decision._replace(
            outputs=[*decision.outputs[:-1], last._replace(value=orjson.dumps(body))]
        )

    report = day.rehearse(decides("deliveries", louder))
    assert {k.kind for k in report.kinds if k.service == "deliveries"} == {
        DifferenceKind.ADDITIONAL
    }


# -- deadlines


def kitchens(ms: int) -> Callable[[RecordedDay, int | None], ServiceSet]:
    def build(day: RecordedDay, of: int | None) -> ServiceSet:
        given = Deadlines(int(day.recording.runs[of or 0]["payment_deadline_s"] * 1000), ms)
        orders = next(s for s in agents.services(given) if s.name == "orders")
        return day.build(of, lambda s: orders if s.name == "orders" else s)

    return build


def accepted(day: RecordedDay) -> Iterator[OrderOfDay]:
    for each in day.orders:
        types = {record.type for record in each.history.records}
        if {"ACCEPT_ORDER", "ORDER_CREATED"} <= types and "CHECK_DEADLINE" not in types:
            yield each


def test_what_if_says_what_another_deadline_of_kitchens_would_have_done(day: RecordedDay) -> None:
    """1 ms: every order is cancelled before its kitchen can accept it, and its money is asked back."""
    report = RehearsalReport()
    rule = DeadlineRule(0, day.rule.end_ms)
    for each in accepted(day):
        shorter = kitchens(1)(day, each.run)
        report.add(rehearse_order(day.build(each.run), each.history, rule, shorter))
    assert report.orders == report.differing >= 3
    kinds = {(k.service, k.kind, k.type): kind.orders for k, kind in report.kinds.items()}
    assert kinds["orders", DifferenceKind.ADDITIONAL, "ORDER_CANCELLED"] >= 3
    (before, after) = next(iter(report.money.values()))
    assert before.asked == 0
    assert 0 < after.asked <= before.captured
    assert report.unanswered >= 3


def test_what_if_of_the_same_deadline_changes_nothing(day: RecordedDay) -> None:
    for each in accepted(day):
        build = day.build(each.run)
        result = rehearse_order(
            build, each.history, DeadlineRule(0, day.rule.end_ms), day.build(each.run)
        )
        assert (result.untold, result.differences) == ("", [])


def test_a_build_with_another_deadline_is_found(day: RecordedDay) -> None:
    """Though every service sends the same upon what it was given: nobody asked about that deadline."""
    found = 0
    for each in accepted(day):
        result = rehearse_order(
            kitchens(1)(day, each.run), each.history, DeadlineRule(0, day.rule.end_ms)
        )
        found += any(d.kind.type == "ORDER_CANCELLED" for d in result.differences)
    assert found >= 3


def test_no_deadline_is_missed_while_no_worker_ran(day: RecordedDay) -> None:
    for each in accepted(day):
        rule = DeadlineRule(0, day.rule.end_ms, frozenset())
        assert not rehearse_order(kitchens(1)(day, each.run), each.history, rule).differences


# -- from a table's record on


def test_an_order_that_began_before_is_taken_up_at_a_record_of_its_tables(day: RecordedDay) -> None:
    """From whichever record of the changelogs: the same build finds nothing, and decides less again."""
    taken, logs = 0, changelogs_of(day.recording)
    for each in day.orders:
        key = each.history.key
        whole = day.rehearse_one(each).inputs
        for number in (1,):
            cuts = {}
            for service in adapter.SERVICES:
                values = logs.get((service, key or b""), [])
                if len(values) > number:
                    cuts[service] = values[number]
            if not cuts:
                continue
            history = OrderHistory(key, each.history.records, cuts)
            result = rehearse_order(day.build(each.run), history, day.rule)
            assert list(result.differences) == [], (each.history.order_id, number)
            assert result.inputs < whole
            taken += 1
    assert taken > 15


def test_an_order_without_its_beginning_is_known_by_that(day: RecordedDay) -> None:
    shown = 0
    for each in day.orders:
        history = each.history
        if not begins_here(history):
            continue
        records = sorted(history.records, key=lambda r: r.at_ms)
        assert not begins_here(OrderHistory(history.key, records[1:]))
        shown += 1
    assert shown > 15


def test_a_report_shows_no_persons_data_unless_asked(day: RecordedDay) -> None:
    def renamed(decide: Callable[..., Decision], *given: Any) -> Decision:
        decision = decide(*given)
        outputs = [
            o._replace(value=o.value.replace(b'"userId":"', b'"userId":"somebody-else-'))
            for o in decision.outputs
        ]
        return decision._replace(outputs=outputs)

    report = day.rehearse(decides("orders", renamed))
    assert any(key.field == "data.userId" for key in report.kinds)
    shown = encode_text(as_json(report))
    assert "somebody-else" not in shown
    assert "characters)" in shown
    assert "somebody-else" in encode_text(as_json(report, with_values=True))


def encode_text(told: dict[str, Any]) -> str:
    return orjson.dumps(told).decode()
