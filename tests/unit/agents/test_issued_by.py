"""Who did it stands in an event as soon as it is decided, whatever an operator or a kitchen asked for."""

from __future__ import annotations

from models.commands import (
    CancelOrder,
    CancelPayment,
    CommandType,
    ConfirmPayment,
    NoData,
    RefundPayment,
)
from models.events import Event, EventType
from tests.support.payment_flow import PLACE, PaymentFlowHarness

OPERATOR = "operator:alice"


def a_world(*, is_paid: bool) -> PaymentFlowHarness:
    world = PaymentFlowHarness()
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    if is_paid:
        world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
        world.settle_all()
    return world


def acts(world: PaymentFlowHarness) -> list[tuple[EventType, str]]:
    """Type and asker of every event that names one, those of the audit last."""
    events: list[Event] = [*world.log, *world.audit]
    named = [(e.event_type, getattr(e.data, "by", None)) for e in events]
    return [(kind, by) for kind, by in named if by]


def test_a_kitchens_step_taken_by_an_operator() -> None:
    world = a_world(is_paid=True)
    world.command(CommandType.ACCEPT_ORDER, NoData(), by=OPERATOR)
    world.command(CommandType.START_PREPARING, NoData(), by="kitchen:k")
    world.settle_all()
    assert acts(world) == [
        (EventType.ORDER_CONFIRMED, OPERATOR),
        (EventType.ORDER_PREPARING, "kitchen:k"),
    ]


def test_a_refund_before_stripe_has_answered() -> None:
    world = a_world(is_paid=True)
    world.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=100), by=OPERATOR)
    while not world.effects:
        world.deliver("payment-commands")
    assert acts(world) == [(EventType.EFFECT_REQUESTED, OPERATOR)]


def test_a_cancel_of_the_payment_and_not_who_only_passed_it_on() -> None:
    world = a_world(is_paid=False)
    world.command(CommandType.CANCEL_PAYMENT, CancelPayment(), by=OPERATOR)
    world.settle_all()
    assert (EventType.EFFECT_REQUESTED, OPERATOR) in acts(world)

    world = a_world(is_paid=False)
    world.command(CommandType.CANCEL_ORDER, CancelOrder(), by=OPERATOR)
    world.settle_all()
    told = acts(world)
    assert (EventType.ORDER_CANCELLED, OPERATOR) in told
    assert (EventType.EFFECT_REQUESTED, "system:orders") in told
