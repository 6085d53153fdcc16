"""A state that was lost, or is wrong, is made anew from its events, and goes on as if nothing had been."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from app.stripe.reconciler import _watch
from models.commands import CancelOrder, CommandType
from models.events import Event, EventType
from models.index_entries import payment_has_ended
from models.messages import Message, encode
from models.order import OrderRecord
from models.payment import PaymentRecord
from models.rebuild import derived_state, digest
from models.repair import RepairState
from models.transition import Outcome
from tests.support.payment_flow import AMOUNT, PaymentFlowHarness, ServiceHarness, of_type

E, C = EventType, CommandType
REPAIRS = {"orders": C.REPAIR_ORDER, "payments": C.REPAIR_PAYMENT}


class Flow(PaymentFlowHarness):
    """A flow whose services lose their states, and get them back."""

    def service(self, name: str) -> ServiceHarness:
        return self.orders if name == "orders" else self.payments

    def events(self, name: str) -> list[Event]:
        """A service's own events, each once."""
        found = {each.sequence: each for each in self.log if each.producer == name}
        return [found[number] for number in sorted(found)]

    def derived(self, name: str) -> Message:
        state = derived_state(name, self.service(name).state)
        assert state is not None
        return state

    def lose(self, name: str) -> None:
        self.service(name).state = OrderRecord() if name == "orders" else PaymentRecord()

    def repair(
        self, name: str, live: int = 0, events: list[Event] | None = None, by: str = "operator:ann"
    ) -> Outcome:
        audited = [each.sequence for each in self.audit if each.producer == name]
        data = RepairState(
            live_sequence=live, audit_sequence=max(audited, default=0),
            events=tuple(encode(each).decode() for each in events or self.events(name)),
        )  # fmt: skip
        command_id = self.command(REPAIRS[name], data, by)
        self.settle_all()
        return self.service(name).outcomes[command_id]


@pytest.fixture
def flow() -> Flow:
    flow = Flow()
    flow.pay()
    flow.refund(AMOUNT // 2)
    return flow


@pytest.mark.parametrize("name", ["orders", "payments"])
def test_a_lost_state_comes_back_and_nothing_is_emitted_again(flow: Flow, name: str) -> None:
    before, emitted = digest(flow.derived(name)), len(flow.log)
    flow.lose(name)
    outcome = flow.repair(name)
    assert outcome.accepted, outcome
    assert digest(flow.derived(name)) == before
    assert len(flow.log) == emitted
    (repaired,) = of_type(flow.audit, E.STATE_REPAIRED)
    assert "outcomes" in repaired.data.not_restored
    numbers = [each.sequence for each in flow.audit if each.producer == name]
    assert numbers == list(range(1, len(numbers) + 1)), "the audit's count goes on"


def test_the_order_goes_on_to_its_end_and_its_money_moves_once(flow: Flow) -> None:
    for name in REPAIRS:
        flow.lose(name)
        assert flow.repair(name).accepted
    flow.command(C.CANCEL_ORDER, CancelOrder(reason="OPERATOR_REQUEST"), by="operator:ann")
    flow.settle_all()
    assert flow.stripe.refunded == flow.stripe.received == AMOUNT
    for name in REPAIRS:
        numbers = [each.sequence for each in flow.events(name)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert of_type(flow.log, E.ORDER_REFUNDED)


def test_stripe_is_asked_about_a_repaired_payment_until_it_has_told(flow: Flow) -> None:
    flow.lose("payments")
    flow.repair("payments")
    state = flow.state
    assert state is not None
    assert not payment_has_ended(state)
    watch = _watch(0, "order", state, flow.now)
    assert watch is not None
    assert watch.is_in_doubt
    assert not watch.waits_for_receipt
    flow.look_up()
    flow.settle_all()
    state = flow.state
    assert state is not None
    assert state.work.repaired_at is None
    assert payment_has_ended(state)


def test_a_refund_that_was_under_way_is_learnt_from_stripe_not_made_again() -> None:
    flow = Flow()
    flow.pay()
    flow.stripe.refund(500, None, "ok")
    flow.stripe.events.clear()
    flow.taken = 0
    flow.lose("payments")
    flow.repair("payments")
    flow.look_up()
    flow.settle_all()
    assert flow.state is not None
    assert flow.state.payment is not None
    assert flow.state.payment.refunded == flow.stripe.refunded == 500


def test_a_wrong_state_is_replaced_and_what_stands_beside_it_stays(flow: Flow) -> None:
    state = flow.orders.state
    flow.orders.state = replace(state, order=replace(state.order, amount=1))
    outcome = flow.repair("orders", live=state.order.sequence)
    assert outcome.accepted, outcome
    assert flow.orders.state.order == state.order
    assert flow.orders.state.placed == state.placed
    (repaired,) = of_type(flow.audit, E.STATE_REPAIRED)
    assert repaired.data.not_restored == ()


@pytest.mark.parametrize("name", ["orders", "payments"])
def test_what_would_lose_something_is_refused(flow: Flow, name: str) -> None:
    events, live = flow.events(name), flow.derived(name).sequence  # type: ignore[attr-defined]
    before = flow.derived(name)
    forged = replace(events[-1], event_id="other")
    for told, code in (
        (flow.repair(name, live - 1), "STATE_MOVED_ON"),
        (flow.repair(name, live, events[:-1]), "EVENTS_MISSING"),
        (flow.repair(name, live, [events[0], *events[2:]]), "EVENTS_MISSING"),
        (flow.repair(name, live, [*events, forged]), "EVENTS_CONFLICT"),
        (flow.repair(name, live, by="customer:guest"), "OPERATORS_ONLY"),
    ):
        assert (told.accepted, told.code) == (False, code)
    assert flow.derived(name) == before
