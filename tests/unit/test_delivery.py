"""A delivery takes only the edges of its graph, whatever is asked of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models import delivery, ids
from models.commands import AssignDelivery, CancelOrder, Command, CommandType, Nothing
from models.events import Event, EventType, OrderCancelled, OrderCreated, read_event
from models.graphs import DELIVERY_GRAPH
from models.messages import Message, to_rfc3339
from models.transition import Header, Input

ORDER = ids.order_id("guest", "delivery")
STEPS: dict[str, Message] = {
    EventType.ORDER_CREATED: OrderCreated(
        order_id=ORDER, restaurant_id="r", amount=1, currency="INR"
    ),
    EventType.ORDER_CANCELLED: OrderCancelled(reason="CUSTOMER_REQUEST", by="customer"),
    CommandType.ASSIGN_DELIVERY: AssignDelivery(courier_id="c1"),
    CommandType.PICK_UP_DELIVERY: Nothing(),
    CommandType.COMPLETE_DELIVERY: Nothing(),
    CommandType.CANCEL_DELIVERY: CancelOrder(),
}


def message(number: int, kind: str) -> Event | Command:
    common: dict[str, Any] = {"order_id": ORDER, "data": STEPS[kind]}
    at = to_rfc3339(1_700_000_000_000 + number)
    if kind in CommandType.__members__:
        return Command(
            command_id=f"cmd{number}", command_type=kind, issued_at=at, issued_by="c", **common
        )
    return Event(
        event_id=f"evt{number}", event_type=kind, occurred_at=at, payment_id=None, producer="orders",
        sequence=number, causation_id="x", correlation_id="x", **common,
    )  # fmt: skip


def play(kinds: list[str]) -> tuple[delivery.DeliveryRecord | None, list[Event], list[bool]]:
    state, events, accepted = None, [], []
    for number, kind in enumerate(kinds, 1):
        record = Input("t", ORDER, Header(f"in{number}"), message(number, kind), number)
        decision = delivery.decide(state, record)
        state = decision.state
        events += [read_event(ORDER.encode(), out.value) for out in decision.outputs]
        accepted.append(decision.outcome is None or decision.outcome.accepted)
    return state, [e for e in events if e.event_type in delivery.STATUS_AFTER], accepted


@given(st.lists(st.sampled_from(list(STEPS)), max_size=12))
def test_takes_only_edges_of_its_graph(kinds: list[str]) -> None:
    state, events, _ = play(kinds)
    folded = None
    for event in events:
        before = folded.status if folded else None
        folded = delivery.evolve(folded, event)
        assert folded.status in DELIVERY_GRAPH[before]
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert (state.delivery if state else None) == folded


def test_goes_from_the_paid_order_to_the_door() -> None:
    state, _, accepted = play(
        [EventType.ORDER_CREATED, CommandType.ASSIGN_DELIVERY, CommandType.PICK_UP_DELIVERY,
         CommandType.COMPLETE_DELIVERY, CommandType.CANCEL_DELIVERY]
    )  # fmt: skip
    assert state.delivery.status == "DELIVERED"
    assert state.delivery.courier_id == "c1"
    assert accepted == [True, True, True, True, False]


def test_an_order_that_ended_first_gets_no_delivery() -> None:
    state, events, _ = play([EventType.ORDER_CANCELLED, EventType.ORDER_CREATED])
    assert state.delivery is None
    assert not events
