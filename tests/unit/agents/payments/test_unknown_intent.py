"""A payment intent that Stripe does not know: an operator asks again, or closes the payment."""

from __future__ import annotations

from models.commands import (
    CancelPayment,
    CommandType,
    ConfirmPayment,
    NoData,
    ObservePayment,
)
from models.events import EventType
from models.graphs import OrderStatus, PaymentStatus
from models.stuck import Actor, waiting
from models.topics import PAYMENT_COMMANDS
from tests.support.payment_flow import PaymentFlowHarness

E, S = EventType, PaymentStatus
OLGA = "operator:olga"


def unknown(world: PaymentFlowHarness, *, attempt: int = 1, sequence: int | None = None) -> None:
    """The reconciler tells that Stripe has no such intent."""
    state = world.state
    assert state
    assert state.payment
    known = state.payment.sequence if sequence is None else sequence
    data = ObservePayment(attempt=attempt, sequence=known, audit_sequence=state.work.audit_sequence)
    world.command(CommandType.OBSERVE_PAYMENT, data, by="system:reconciler")
    world.deliver_all(PAYMENT_COMMANDS)


def processing(world: PaymentFlowHarness) -> None:
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    world.deliver_all(PAYMENT_COMMANDS)
    world.perform(world.effects[0], "bank")
    world.deliver_all(PAYMENT_COMMANDS)


def refusals(world: PaymentFlowHarness) -> list[str]:
    return [event.data.code for event in world.audit if event.event_type is E.COMMAND_REFUSED]


def test_it_waits_for_an_operator_and_says_so_once(opened: PaymentFlowHarness) -> None:
    processing(opened)
    unknown(opened)
    unknown(opened)
    (row,) = waiting(opened.state)
    assert (row.rule.state, row.rule.actor) == ("UNKNOWN_AT_STRIPE", Actor.OPERATOR)
    (anomaly,) = (event.data for event in opened.audit if event.event_type is E.ANOMALY_SEEN)
    assert anomaly.code == "UNKNOWN_INTENT"
    assert "account and mode" in anomaly.detail
    assert opened.status() is S.PROCESSING


def test_a_look_up_that_was_overtaken_says_nothing(opened: PaymentFlowHarness) -> None:
    processing(opened)
    unknown(opened, sequence=1)
    assert opened.state
    assert opened.state.work.unknown_since is None


def test_news_of_stripe_takes_it_back(opened: PaymentFlowHarness) -> None:
    """The key was of another account for a while."""
    processing(opened)
    unknown(opened)
    opened.stripe.settle(succeed=True)
    opened.settle_all()
    assert opened.status() is S.COMPLETED
    assert opened.state
    assert opened.state.work.unknown_since is None


def test_an_operator_closes_it_and_its_order_ends(opened: PaymentFlowHarness) -> None:
    processing(opened)
    unknown(opened)
    cancel = CancelPayment(reason="OPERATOR_REQUEST")
    opened.command(CommandType.CANCEL_PAYMENT, cancel, by=OLGA)
    for topic in (PAYMENT_COMMANDS, "payment-events"):
        opened.deliver_all(topic)
    assert opened.status() is S.CANCELLED
    assert opened.effects == [], "there is nothing to cancel at Stripe"
    assert opened.orders.state.order.status is OrderStatus.CANCELLED
    opened.stripe.settle(succeed=True)
    opened.settle_all()
    assert opened.status() is S.REFUNDED, "its money came all the same"
    assert E.ORDER_CREATED not in [event.event_type for event in opened.log]


def test_a_customer_can_not_close_it(opened: PaymentFlowHarness) -> None:
    processing(opened)
    unknown(opened)
    opened.command(CommandType.CANCEL_PAYMENT, CancelPayment())
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is S.PROCESSING


def test_there_is_nothing_to_ask_about_what_stripe_knows(opened: PaymentFlowHarness) -> None:
    opened.command(CommandType.ASK_STRIPE_AGAIN, NoData(), by=OLGA)
    opened.deliver_all(PAYMENT_COMMANDS)
    assert refusals(opened) == ["NOTHING_TO_ASK"]
