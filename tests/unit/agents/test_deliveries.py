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
from models.commands import (
    AssignDelivery,
    CancelOrder,
    Command,
    CommandType,
    CompleteDelivery,
    NoData,
)
from models.delivery_code import CodeCheck
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
    CommandType.COMPLETE_DELIVERY: CompleteDelivery(),
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


TO_THE_DOOR: tuple[str, ...] = (
    EventType.ORDER_CREATED, CommandType.ASSIGN_DELIVERY, EventType.ORDER_READY_FOR_PICKUP,
    CommandType.PICK_UP_DELIVERY,
)  # fmt: skip


def typed(
    *checks: CodeCheck | None,
) -> tuple[delivery.DeliveryRecord, list[str]]:
    """What becomes of a delivery at the door when these are typed; codes of the refusals, "" for none."""
    state, _, _ = play([*TO_THE_DOOR])
    told = []
    for number, check in enumerate(checks, 100):
        command = Command(
            order_id=ORDER, command_id=f"cmd{number}", command_type=CommandType.COMPLETE_DELIVERY,
            issued_at=to_rfc3339(1_700_000_000_000 + number), issued_by="courier:c1",
            data=CompleteDelivery(code=check),
        )  # fmt: skip
        record = Input("t", ORDER, InputIdentity(f"in{number}"), command, number)
        decision = deliveries.decide(state, record, {}.get)
        state = decision.state
        told.append(decision.outcome.code or "")
    return state, told


@pytest.mark.parametrize(
    ("check", "proof"), [(None, None), (CodeCheck.MATCHED, "CODE"), (CodeCheck.MISSING, "NO_CODE")]
)
def test_the_delivery_says_how_it_was_handed_over(
    check: CodeCheck | None, proof: str | None
) -> None:
    state, told = typed(check)
    assert told == [""]
    assert (state.delivery.status, state.delivery.proof) == ("DELIVERED", proof)


def test_after_five_wrong_codes_no_code_proves_anything() -> None:
    wrong = [CodeCheck.WRONG] * deliveries.MAX_WRONG_CODES
    state, told = typed(*wrong[1:], CodeCheck.MATCHED)
    assert (told[-1], state.delivery.proof) == ("", "CODE")
    state, told = typed(*wrong, CodeCheck.MATCHED, CodeCheck.WRONG)
    assert told == ["DELIVERY_CODE_WRONG"] * 5 + ["DELIVERY_CODE_LOCKED"] * 2
    assert state.delivery.status == "PICKED_UP"
    state, told = typed(*wrong, CodeCheck.MISSING)
    assert (told[-1], state.delivery.proof) == ("", "NO_CODE")


@given(st.lists(st.sampled_from([*CodeCheck, None]), max_size=12))
def test_a_code_proves_only_what_was_typed_in_time(checks: list[CodeCheck | None]) -> None:
    state, told = typed(*checks)
    wrong_before = 0
    for check, code in zip(checks, told, strict=True):
        if code == "":
            assert (state.delivery.proof == "CODE") == (check is CodeCheck.MATCHED)
            assert check is not CodeCheck.MATCHED or wrong_before < deliveries.MAX_WRONG_CODES
            break
        wrong_before += check is CodeCheck.WRONG
    assert state.wrong_codes <= deliveries.MAX_WRONG_CODES


def test_an_empty_record_is_stored_and_read_again() -> None:
    service = DELIVERIES
    stored = orjson.loads(orjson.dumps(service.dump(service.load(None))))
    assert service.load(stored) == delivery.DeliveryRecord()
