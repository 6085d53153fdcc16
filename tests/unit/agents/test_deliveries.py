"""A delivery takes only the edges of its graph, whatever is asked of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import deliveries
from agents.deliveries import DELIVERIES
from models import delivery, ids
from models.commands import AssignDelivery, CancelOrder, Command, CommandType, NoData
from models.events import (
    Event,
    EventType,
    OrderCancelled,
    OrderCreated,
    OrderMoved,
    read_event,
)
from models.graphs import DELIVERY_GRAPH
from models.messages import Message
from models.times import to_rfc3339
from models.transition import Input, InputIdentity

ORDER = ids.order_id("guest", "delivery")
SENDERS = ("courier:c1", "courier:c2", "operator:o", "system:timers", "kitchen:k")
OTHERS = ("courier:c2", "kitchen:k", "customer:guest", "courier", "")
STEPS: dict[str, Message] = {
    EventType.ORDER_CREATED: OrderCreated(
        order_id=ORDER, restaurant_id="r", amount=1, currency="INR"
    ),
    EventType.ORDER_CANCELLED: OrderCancelled(reason="CUSTOMER_REQUEST", by="customer"),
    EventType.ORDER_READY_FOR_PICKUP: OrderMoved(),
    EventType.ORDER_OUT_FOR_DELIVERY: OrderMoved(),
    CommandType.ASSIGN_DELIVERY: AssignDelivery(courier_id="c1"),
    CommandType.PICK_UP_DELIVERY: NoData(),
    CommandType.COMPLETE_DELIVERY: NoData(),
    CommandType.CANCEL_DELIVERY: CancelOrder(),
}


def message(number: int, kind: str, by: str = "courier:c1") -> Event | Command:
    common: dict[str, Any] = {"order_id": ORDER, "data": STEPS[kind]}
    at = to_rfc3339(1_700_000_000_000 + number)
    if kind in CommandType.__members__:
        return Command(
            command_id=f"cmd{number}", command_type=kind, issued_at=at, issued_by=by, **common
        )
    return Event(
        event_id=f"evt{number}", event_type=kind, occurred_at=at, payment_id=None, producer="orders",
        sequence=number, causation_id="x", correlation_id="x", **common,
    )  # fmt: skip


def play(
    steps: list[str | tuple[str, str]],
) -> tuple[delivery.DeliveryRecord, list[Event], list[bool]]:
    """steps: kinds of message, or kind and who sent it."""
    state, events, accepted = delivery.DeliveryRecord(), [], []
    for number, step in enumerate(steps, 1):
        kind, by = (step, "courier:c1") if isinstance(step, str) else step
        record = Input("t", ORDER, InputIdentity(f"in{number}"), message(number, kind, by), number)
        decision = deliveries.decide(state, record, {}.get)
        state = decision.state
        events += [read_event(ORDER.encode(), out.value) for out in decision.outputs]
        accepted.append(decision.outcome is None or decision.outcome.accepted)
    return state, [e for e in events if e.event_type in delivery.STATUS_AFTER], accepted


@given(st.lists(st.tuples(st.sampled_from(list(STEPS)), st.sampled_from(SENDERS)), max_size=14))
def test_takes_only_edges_of_its_graph(steps: list[str | tuple[str, str]]) -> None:
    state, events, _ = play(steps)
    folded = None
    for event in events:
        before = folded.status if folded else None
        folded = delivery.evolve(folded, event)
        assert folded.status in DELIVERY_GRAPH[before]
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert state.delivery == folded


def test_goes_from_the_paid_order_to_the_door() -> None:
    state, _, accepted = play(
        [EventType.ORDER_CREATED, CommandType.ASSIGN_DELIVERY, EventType.ORDER_READY_FOR_PICKUP,
         CommandType.PICK_UP_DELIVERY, EventType.ORDER_OUT_FOR_DELIVERY,
         CommandType.COMPLETE_DELIVERY, (CommandType.CANCEL_DELIVERY, "operator:o")]
    )  # fmt: skip
    assert state.delivery.status == "DELIVERED"
    assert state.delivery.courier_id == "c1"
    assert accepted == [True] * 6 + [False]


def test_an_order_that_ended_first_gets_no_delivery() -> None:
    state, events, _ = play([EventType.ORDER_CANCELLED, EventType.ORDER_CREATED])
    assert state.delivery is None
    assert not events


def test_is_not_picked_up_before_the_kitchen_has_said_that_it_is_ready() -> None:
    state, events, accepted = play(
        [EventType.ORDER_CREATED, CommandType.ASSIGN_DELIVERY, CommandType.PICK_UP_DELIVERY,
         EventType.ORDER_READY_FOR_PICKUP, CommandType.PICK_UP_DELIVERY]
    )  # fmt: skip
    assert accepted == [True, True, False, True, True]
    assert state.delivery.status == "PICKED_UP"
    assert [e.event_type for e in events][-2:] == ["DELIVERY_ASSIGNED", "DELIVERY_PICKED_UP"]


@pytest.mark.parametrize("by", OTHERS)
@pytest.mark.parametrize(
    "kind",
    [CommandType.ASSIGN_DELIVERY, CommandType.PICK_UP_DELIVERY, CommandType.COMPLETE_DELIVERY],
)
def test_nobody_moves_the_delivery_of_another_courier(kind: str, by: str) -> None:
    before: list[str | tuple[str, str]] = [
        EventType.ORDER_CREATED, CommandType.ASSIGN_DELIVERY, EventType.ORDER_READY_FOR_PICKUP
    ]  # fmt: skip
    if kind == CommandType.ASSIGN_DELIVERY:
        before.remove(CommandType.ASSIGN_DELIVERY)
    elif kind == CommandType.COMPLETE_DELIVERY:
        before.append(CommandType.PICK_UP_DELIVERY)
    untouched, _, accepted = play(before)
    assert all(accepted)
    state, _, accepted = play([*before, (kind, by)])
    assert accepted[-1] is False
    assert state.delivery == untouched.delivery


@given(st.lists(st.tuples(st.sampled_from(list(STEPS)), st.sampled_from(SENDERS)), max_size=14))
def test_says_that_it_has_ended_only_when_nothing_can_move_it(
    steps: list[str | tuple[str, str]],
) -> None:
    state, _, _ = play(steps)
    if state is None or not state.has_ended:
        return
    # Whatever follows, in either order: what indexes have left out can't come back.
    more, _, _ = play([*steps, *STEPS, *reversed(STEPS)])
    assert more.delivery == state.delivery


def test_an_empty_record_is_stored_and_read_again() -> None:
    service = DELIVERIES
    stored = orjson.loads(orjson.dumps(service.dump(service.load(None))))
    assert service.load(stored) == delivery.DeliveryRecord()
