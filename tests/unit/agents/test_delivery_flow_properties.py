"""Kitchen, couriers, customer, deadline in any order, doubled, late: order and delivery agree in the end."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agents.deliveries import DELIVERIES
from agents.orders import orders_service
from models import (
    delivery,
    ids,
    topics,
)
from models import (
    order as order_state,
)
from models.commands import (
    COMMANDS,
    AssignDelivery,
    CancelOrder,
    CheckDeadline,
    Command,
    CommandType,
    NoData,
    RejectOrder,
)
from models.events import Event, EventType, PaymentCompleted, PaymentInitiated, read_event
from models.graphs import DELIVERY_GRAPH, ORDER_GRAPH, DeliveryStatus, OrderStatus
from models.messages import Message, encode
from models.times import to_rfc3339
from models.transition import Input

ORDER = ids.order_id("guest", "delivery-flow")
PAYMENT = ids.payment_id(ORDER)
KITCHEN = [CommandType.ACCEPT_ORDER, CommandType.START_PREPARING, CommandType.MARK_READY]
COURIER = [CommandType.PICK_UP_DELIVERY, CommandType.COMPLETE_DELIVERY]
S, D = OrderStatus, DeliveryStatus

AT_REST: dict[OrderStatus, set[DeliveryStatus]] = {
    S.PENDING: {D.PENDING, D.ASSIGNED},
    S.CONFIRMED: {D.PENDING, D.ASSIGNED},
    S.PREPARING: {D.PENDING, D.ASSIGNED},
    S.READY_FOR_PICKUP: {D.PENDING, D.ASSIGNED},
    S.OUT_FOR_DELIVERY: {D.PICKED_UP},
    S.DELIVERED: {D.DELIVERED},
    # A cancel and a courier at the door may pass each other: then the money goes back all the same.
    S.CANCELLED: {D.CANCELLED, D.DELIVERED},
}


class ServiceHarness:
    """One service's record of the order, stored as bytes between inputs, with what the engine drops."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.raw: bytes | None = None
        self.sequences: dict[str, int] = {}
        self.seen: set[tuple[str, str]] = set()

    @property
    def state(self) -> Any:
        return self.service.load(None if self.raw is None else orjson.loads(self.raw))

    def apply(self, topic: str, value: bytes, at_ms: int) -> list[Any]:
        header, message = self.service.parse(topic, ORDER.encode(), value)
        place = f"{topic}/{header.producer}"
        if header.producer and header.sequence <= self.sequences.get(place, 0):
            return []
        if (topic, header.id) in self.seen:
            return []
        if header.producer:
            assert header.sequence > self.sequences.get(place, 0)
            self.sequences[place] = header.sequence
        self.seen.add((topic, header.id))
        record = Input(topic, ORDER, header, message, at_ms)
        decision = self.service.decide(self.state, record, {}.get)
        again = self.service.decide(self.state, record, {}.get)
        assert again.outputs == decision.outputs
        self.raw = orjson.dumps(self.service.dump(decision.state))
        return list(decision.outputs)


class DeliveryFlow(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.orders, self.deliveries = (
            ServiceHarness(orders_service()),
            ServiceHarness(DELIVERIES),
        )
        self.cells = (self.orders, self.deliveries)
        self.queues: dict[str, list[bytes]] = {
            topic: [] for cell in self.cells for topic in cell.service.inputs
        }
        self.now = 1_700_000_000_000
        self.number = itertools.count(1)
        self.asked_by: dict[str, str] = {}
        self.due: int | None = None
        self.told: list[Event] = []
        self.log: list[Event] = []
        self.checked = 0
        self.order: order_state.Order | None = None
        self.delivery: delivery.Delivery | None = None

    @initialize()
    def pay(self) -> None:
        self._payment_event(
            EventType.PAYMENT_INITIATED,
            PaymentInitiated(
                order_id=ORDER, user_id="u", amount=100, currency="INR", stripe_intent_id="pi"
            ),
        )
        self._payment_event(
            EventType.PAYMENT_COMPLETED,
            PaymentCompleted(
                payment_id=PAYMENT, order_id=ORDER, amount=100, currency="INR",
                stripe_charge_id="ch", receipt_url=None, attempt=1,
            ),
        )  # fmt: skip

    def _payment_event(self, kind: EventType, data: Message) -> None:
        number = next(self.number)
        event = Event(
            event_id=f"pay{number}", event_type=kind, occurred_at=to_rfc3339(self.now), order_id=ORDER,
            payment_id=PAYMENT, sequence=number, causation_id="x", correlation_id="x",
            producer="payments", data=data,
        )  # fmt: skip
        self.queues[topics.PAYMENT_EVENTS].append(encode(event))

    def _send(self, kind: CommandType, data: Message, by: str) -> None:
        command = Command(
            command_id=f"cmd{next(self.number)}", command_type=kind, issued_by=by,
            issued_at=to_rfc3339(self.now), order_id=ORDER, data=data,
        )  # fmt: skip
        self.asked_by[command.command_id] = by
        self.queues[COMMANDS[kind].topic].append(encode(command))

    # ---- people and clocks

    @rule(kind=st.sampled_from(KITCHEN))
    def kitchen(self, kind: CommandType) -> None:
        self._send(kind, NoData(), "kitchen:k")

    @rule()
    def cook(self) -> None:
        for kind in KITCHEN:
            self._send(kind, NoData(), "kitchen:k")

    @rule()
    def reject(self) -> None:
        self._send(CommandType.REJECT_ORDER, RejectOrder(reason="CLOSED"), "kitchen:k")

    @rule(courier=st.sampled_from(["c1", "c2"]))
    def assign(self, courier: str) -> None:
        self._send(
            CommandType.ASSIGN_DELIVERY, AssignDelivery(courier_id=courier), f"courier:{courier}"
        )

    @rule(courier=st.sampled_from(["c1", "c2"]), steps=st.integers(0, 3))
    def go_to_the_door(self, courier: str, steps: int) -> None:
        """What mostly happens, up to some step, at once; what comes next may race with it."""
        self.drain()
        self.assign(courier)
        self.drain()
        for kind in [*KITCHEN][:steps]:
            self._send(kind, NoData(), "kitchen:k")
            self.drain()
        if steps == len(KITCHEN):
            self.courier(CommandType.PICK_UP_DELIVERY, courier)

    @rule(kind=st.sampled_from(COURIER), courier=st.sampled_from(["c1", "c2"]))
    def courier(self, kind: CommandType, courier: str) -> None:
        self._send(kind, NoData(), f"courier:{courier}")

    @rule()
    def cancel(self) -> None:
        self._send(CommandType.CANCEL_ORDER, CancelOrder(), "customer:u")

    @rule(is_late=st.booleans())
    def check_deadline(self, is_late: bool) -> None:
        due = self.orders.state.work.deadlines.get("KITCHEN")
        if due is not None:
            self.now = max(self.now, due + 20 if is_late else 0)
            data = CheckDeadline(deadline="KITCHEN", due_at=due)
            self._send(CommandType.CHECK_DEADLINE, data, "system:timers")

    # ---- Kafka

    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        busy = [topic for topic, queue in self.queues.items() if queue]
        if busy:
            self._deliver(data.draw(st.sampled_from(busy)), again=again)

    @rule()
    def drain(self) -> None:
        while busy := [topic for topic, queue in self.queues.items() if queue]:
            self._deliver(busy[0], again=False)

    def _deliver(self, topic: str, *, again: bool) -> None:
        value = self.queues[topic].pop(0)
        if again:
            self.queues[topic].append(value)
        self.now += 7
        for cell in self.cells:
            if topic in cell.service.inputs:
                # Records of several topics do not come in the order of their times.
                at_ms = self.now - next(self.number) * 13 % 20
                for output in cell.apply(topic, value, at_ms):
                    if output.topic in self.queues:
                        self.queues[output.topic].append(output.value)
                    if output.topic in {topics.ORDER_EVENTS, topics.DELIVERY_EVENTS}:
                        self.log.append(read_event(ORDER.encode(), output.value))
                    if output.topic.endswith(("-events", "-audit")):
                        self.told.append(read_event(ORDER.encode(), output.value))
        self.due = self.orders.state.work.deadlines.get("KITCHEN", self.due)

    # ---- what must hold

    @invariant()
    def takes_only_edges_of_the_graphs(self) -> None:
        for event in self.log[self.checked :]:
            if event.producer == "orders":
                before = self.order.status if self.order else None
                self.order = order_state.evolve(self.order, event)
                assert self.order.status in ORDER_GRAPH[before]
            else:
                was = self.delivery.status if self.delivery else None
                self.delivery = delivery.evolve(self.delivery, event)
                assert self.delivery.status in DELIVERY_GRAPH[was]
                assert self.delivery.sequence == event.sequence
                if event.event_type is EventType.DELIVERY_PICKED_UP:
                    assert self.order is not None
                    assert S.READY_FOR_PICKUP in self.order.reached
        self.checked = len(self.log)
        assert self.order == self.orders.state.order
        assert self.delivery == self.deliveries.state.delivery

    @invariant()
    def has_one_courier_who_moves_it(self) -> None:
        moves = [
            e for e in self.log if e.producer == "deliveries" and e.causation_id in self.asked_by
        ]
        assert len({self.asked_by[event.causation_id] for event in moves}) <= 1
        couriers = {e.data.courier_id for e in self.log if e.producer == "deliveries"} - {None}
        assert len(couriers) <= 1

    @invariant()
    def time_never_goes_back(self) -> None:
        for producer in ("orders", "deliveries"):
            times = [e.occurred_at_ms for e in self.told if e.producer == producer]
            assert times == sorted(times)

    @invariant()
    def no_deadline_fires_early_or_after_the_answer(self) -> None:
        for event in self.log:
            if getattr(event.data, "reason", "") == "RESTAURANT_TIMEOUT":
                assert self.due is not None
                assert event.occurred_at_ms >= self.due
                assert S.CONFIRMED not in self.orders.state.order.reached

    @invariant()
    def indexes_forget_only_what_has_ended(self) -> None:
        order, delivery = self.orders.state, self.deliveries.state
        if delivery.has_ended:
            here = delivery.delivery.status if delivery.delivery else None
            assert here in {None, D.DELIVERED, D.CANCELLED}
        if order.has_ended and order.order.status is not S.DELIVERED:
            assert order.order.status is S.CANCELLED
            assert not order.work.captured  # else it waits for its refund

    def teardown(self) -> None:
        self.drain()
        self.takes_only_edges_of_the_graphs()
        assert self.order is not None
        where = self.delivery.status if self.delivery else None
        if where is None:  # the order ended before deliveries heard of it
            assert self.order.status is S.CANCELLED
        else:
            assert where in AT_REST[self.order.status]
        assert self.deliveries.state.order_status is self.order.status
        assert self.orders.state.work.refund_initiated == (self.order.status is S.CANCELLED)


TestDeliveryFlow = DeliveryFlow.TestCase
TestDeliveryFlow.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@pytest.mark.soak
@pytest.mark.timeout(3600)
class TestDeliveryFlowLong(DeliveryFlow.TestCase):
    settings = settings(max_examples=2000, stateful_step_count=60, deadline=None)
