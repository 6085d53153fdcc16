"""An order as of any past moment is the order as it stood then, whatever happened on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import settings

from agents.timeline import timeline_service
from models import topics
from models.commands import CommandType, ConfirmPayment
from models.history import IncompleteError, OrderAsOf, as_of, event_of
from models.timeline import stored_events
from models.transition import Decision, Input, InputIdentity
from tests.support.payment_flow import (
    ORDER,
    PLACE,
    PaymentFlowHarness,
    ServiceHarness,
)
from tests.support.payment_flow_machine import PaymentFlow
from web.api.timeline import timeline_view
from web.http.answers import as_json
from web.http.tokens import Role
from web.pages.ops.timeline_diagram import draw_timeline

TIMELINE = timeline_service()


@dataclass
class Moment:
    at_ms: int
    order: Any
    payment: Any
    pending: dict[str, int]


@dataclass
class Recording(PaymentFlowHarness):
    """A world with a timeline, and how things stood after every decision."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline = TIMELINE.initial
        self.rows: list[dict[str, Any]] = []
        self.moments: list[Moment] = []
        for name in ("payments", "orders"):
            cell = getattr(self, name)
            setattr(
                self,
                name,
                RecordedServiceHarness(cell.service, cell.state, world=self),
            )

    def record(self, decision: Decision) -> None:
        for output in decision.outputs:
            if output.topic in TIMELINE.inputs:
                identity, message = TIMELINE.parse(output.topic, ORDER.encode(), output.value)
                given = Input(output.topic, ORDER, identity, message, self.now)
                self.timeline = TIMELINE.decide(self.timeline, given, lambda _: None).state
                self.rows = [
                    orjson.loads(row) for _, row in stored_events(ORDER, self.timeline, ())
                ]
        order, payment = self.orders.state, self.payments.state
        refunds = payment.work.refunds.values() if payment else ()
        self.moments.append(
            Moment(
                self.now,
                order.order if order else None,
                payment.payment if payment else None,
                # One that was made at Stripe is in no event before it has ended.
                {each.refund_id: each.amount for each in refunds if each.by != "stripe"},
            )
        )

    def past(self, at_ms: int) -> OrderAsOf:
        return as_of(ORDER, map(orjson.dumps, self.rows), at_ms, self.payments.state)


@dataclass
class RecordedServiceHarness(ServiceHarness):
    world: Recording = field(kw_only=True)

    def apply(
        self, topic: str, identity: InputIdentity, message: Any, at_ms: int
    ) -> Decision | None:
        decision = super().apply(topic, identity, message, at_ms)
        if decision is not None:
            self.world.record(decision)
        return decision


class HistoryFlow(PaymentFlow):
    def __init__(self) -> None:
        super().__init__()
        self.world: Recording = Recording()

    def teardown(self) -> None:
        """Whether the money is right at the end is another test's question."""
        self.world.settle_all()
        for moment in self.world.moments:
            past = self.world.past(moment.at_ms)
            assert past.order == moment.order
            assert (past.payment.payment if past.payment else None) == moment.payment
            pending = past.payment.work.refunds if past.payment else {}
            assert {key: each.amount for key, each in pending.items()} == moment.pending


HistoryFlow.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestHistory = HistoryFlow.TestCase


def paid() -> Recording:
    world = Recording()
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm_x"))
    world.settle_all()
    return world


def test_rebuilt_events_are_the_ones_that_were_emitted() -> None:
    world = paid()
    rebuilt = [event_of(ORDER, row) for row in world.rows]
    emitted = {event.event_id: event for event in world.log}
    assert emitted
    assert [event for event in rebuilt if event.event_id in emitted] == [
        emitted[event.event_id] for event in rebuilt if event.event_id in emitted
    ]


def test_nothing_before_the_first_event() -> None:
    world = paid()
    first_ms = world.moments[0].at_ms
    assert world.past(first_ms - 1) == OrderAsOf(None, None, None)


def test_a_timeline_with_a_hole_is_not_folded() -> None:
    world = paid()
    hole = next(row for row in world.rows if row["eventType"] == "PAYMENT_INITIATED")
    world.rows.remove(hole)
    with pytest.raises(IncompleteError, match="payments: 1"):
        world.past(world.now)


def nested(deep: int) -> Any:
    value: Any = 1
    for _ in range(deep):
        value = [value]
    return value


BROKEN: list[tuple[str, Any]] = [
    ("occurredAt", "not a time"), ("occurredAt", None), ("occurredAt", 7), ("occurredAt", "2026-01-01"),
    ("service", 7), ("eventType", None), ("eventId", {}), ("causationId", []), ("sequence", "x"),
    ("detail", []), ("detail", {"a": nested(100)}),
]  # fmt: skip


def raw(rows: list[dict[str, Any]]) -> list[tuple[str, bytes]]:
    return [(f"{ORDER}/{n:06d}", orjson.dumps(row)) for n, row in enumerate(rows, 1)]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_row_is_named_and_all_others_are_shown(name: str, value: Any) -> None:
    """Stored by an older build or a foreign producer: nothing about the order answers 500 for good."""
    rows = paid().rows
    view = timeline_view(ORDER, raw([*rows, {**rows[0], name: value}]), role=Role.OPERATOR)
    assert len(view.entries) == len(rows)
    assert view.broken == (f"{ORDER}/{len(rows) + 1:06d}: {name} can't be read",)
    assert as_json(view)["broken"]
    assert draw_timeline(view.entries).dots


@pytest.mark.parametrize("stored", [b"", b"null", b"[1]", b"\xff", b"{", b"[" * 2000])
def test_a_row_that_is_nothing_at_all_is_named(stored: bytes) -> None:
    view = timeline_view(ORDER, [(f"{ORDER}/000001", stored)], role=Role.CUSTOMER)
    assert (view.entries, view.started_at, len(view.broken)) == ((), None, 1)


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_past_moment_is_told_in_spite_of_a_broken_audit_row(name: str, value: Any) -> None:
    world = paid()
    whole = world.past(world.now)
    audit = next(row for row in world.rows if row["topic"] == topics.ORDER_AUDIT)
    world.rows.append({**audit, name: value})
    assert world.past(world.now) == whole


@pytest.mark.parametrize(
    "detail", [{}, {"shop": "theirs"}, {"kind": "REFUND"}, {"kind": "REFUND", "effectId": 7}, {"refundId": []}]
)  # fmt: skip
def test_a_past_moment_is_told_in_spite_of_an_audit_row_with_other_fields(detail: Any) -> None:
    world = paid()
    whole = world.past(world.now)
    audit = next(row for row in world.rows if row["topic"] == topics.ORDER_AUDIT)
    world.rows.append({**audit, "eventType": "EFFECT_REQUESTED", "detail": detail})
    assert world.past(world.now) == whole


@pytest.mark.parametrize(
    ("name", "value"),
    [*BROKEN, ("detail", {}), ("detail", {"shop": "theirs"}), ("eventType", "PAYMENT_ROBBED")],
)
def test_a_past_moment_is_refused_where_an_event_is_broken(name: str, value: Any) -> None:
    world = paid()
    number = next(n for n, row in enumerate(world.rows) if row["eventType"] == "PAYMENT_INITIATED")
    world.rows[number] = {**world.rows[number], name: value}
    with pytest.raises(IncompleteError, match=f"row {number + 1} |payments: 1"):
        world.past(world.now)


def test_rows_that_cause_each_other_are_shown() -> None:
    rows = paid().rows
    circle = [
        {**rows[0], "eventId": f"c{n}", "causationId": f"c{(n + 1) % 3000}"} for n in range(3000)
    ]
    assert len(timeline_view(ORDER, raw(circle), role=Role.OPERATOR).entries) == 3000
