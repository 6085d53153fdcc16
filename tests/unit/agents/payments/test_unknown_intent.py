"""A payment intent that Stripe does not know: an operator asks again, or closes the payment."""

from __future__ import annotations

import pytest

from app.stripe.reconciler import _watch
from models.commands import (
    CancelPayment,
    CheckDeadline,
    CommandType,
    ConfirmPayment,
    NoData,
    ObservePayment,
    RefundPayment,
    ResultKind,
)
from models.events import EventType
from models.graphs import OrderStatus, PaymentStatus
from models.payment import EffectKind
from models.stripe_facts import UNKNOWN_OBJECT
from models.stuck import Actor, waiting
from models.topics import PAYMENT_COMMANDS
from tests.support.payment_flow import AMOUNT, PaymentFlowHarness

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


# ---- what Stripe says while it is cancelled, and after the end


def decline(world: PaymentFlowHarness) -> None:
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    world.deliver_all(PAYMENT_COMMANDS)
    world.perform(world.effects[0], "decline")
    world.deliver_all(PAYMENT_COMMANDS)


def expire(world: PaymentFlowHarness) -> None:
    (due,) = world.orders.state.work.deadlines.values()
    world.now = max(world.now, due)
    check = CheckDeadline(deadline="PAYMENT", due_at=due)
    world.command(CommandType.CHECK_DEADLINE, check, by="system:timers")
    world.deliver_all("order-commands")
    world.deliver_all(PAYMENT_COMMANDS)


def answer(
    world: PaymentFlowHarness, kind: EffectKind, result: ResultKind = ResultKind.INVALID
) -> None:
    """An effect's write or look-up finds no such payment intent."""
    effect = next(effect for effect in world.effects if effect.kind is kind)
    world.report(effect, result, {"code": UNKNOWN_OBJECT})
    world.deliver_all(PAYMENT_COMMANDS)


def is_unknown(world: PaymentFlowHarness) -> bool:
    assert world.state
    return world.state.work.unknown_since is not None


def close(world: PaymentFlowHarness) -> None:
    world.command(CommandType.CANCEL_PAYMENT, CancelPayment(reason="OPERATOR_REQUEST"), by=OLGA)
    world.deliver_all(PAYMENT_COMMANDS)


def test_a_cancel_that_is_wanted_is_asked_for_again_when_stripe_speaks_of_it(
    opened: PaymentFlowHarness,
) -> None:
    """The webhook of a decline is late: nothing new in it, but the payment is known again."""
    decline(opened)
    expire(opened)
    answer(opened, EffectKind.CANCEL)
    assert is_unknown(opened)
    opened.deliver_webhooks()
    assert not is_unknown(opened)
    assert [effect.kind for effect in opened.effects] == [EffectKind.CANCEL]
    opened.settle_all()
    assert (opened.status(), opened.orders.state.order.status) == (
        S.CANCELLED, OrderStatus.CANCELLED,
    )  # fmt: skip


def test_a_cancel_is_asked_for_again_while_the_bank_asks(opened: PaymentFlowHarness) -> None:
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    opened.perform(opened.effects[0], "3ds")
    opened.deliver_all(PAYMENT_COMMANDS)
    expire(opened)
    answer(opened, EffectKind.CANCEL)
    opened.deliver_webhooks()
    opened.settle_all()
    assert opened.status() is S.CANCELLED


def test_a_confirm_whose_fate_is_unknown_is_not_called_failed(opened: PaymentFlowHarness) -> None:
    """It was sent, the answer was lost, and then Stripe knows no such payment intent: the key is another's."""
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    opened.stripe.call(opened.effects[0], "ok")
    answer(opened, EffectKind.CONFIRM, ResultKind.CONFLICT)
    assert (opened.status(), is_unknown(opened), opened.effects) == (S.PROCESSING, True, [])
    opened.settle_all()
    assert (opened.status(), is_unknown(opened)) == (S.COMPLETED, False)


@pytest.mark.parametrize("is_charged", [True, False])
def test_a_close_drops_what_is_under_way_and_late_money_goes_back(
    opened: PaymentFlowHarness, *, is_charged: bool
) -> None:
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    expire(opened)
    answer(opened, EffectKind.CANCEL)
    opened.command(CommandType.CANCEL_PAYMENT, CancelPayment(reason="CHANGED_MIND"))
    opened.deliver_all(PAYMENT_COMMANDS)
    confirm, cancel = opened.effects
    close(opened)
    assert (opened.status(), opened.effects) == (S.CANCELLED, [])
    opened.report(cancel, ResultKind.INVALID, {"code": UNKNOWN_OBJECT})
    if is_charged:
        opened.perform(confirm, "ok")
    opened.settle_all()
    assert opened.status() is (S.REFUNDED if is_charged else S.CANCELLED)
    assert not is_unknown(opened)
    assert opened.stripe.refunded == opened.stripe.received


def test_a_payment_that_has_ended_is_not_said_to_be_unknown(opened: PaymentFlowHarness) -> None:
    """The cancel's answer comes after the success."""
    processing(opened)
    expire(opened)
    opened.stripe.settle(succeed=True)
    opened.deliver_webhooks()
    answer(opened, EffectKind.CANCEL)
    assert (opened.status(), is_unknown(opened)) == (S.COMPLETED, False)


def test_a_refund_that_ends_is_news_of_stripe(paid: PaymentFlowHarness) -> None:
    paid.command(CommandType.REFUND_PAYMENT, RefundPayment(), by=OLGA)
    paid.deliver_all(PAYMENT_COMMANDS)
    paid.perform(paid.effects[0], "bank")
    paid.deliver_all(PAYMENT_COMMANDS)
    paid.deliver_webhooks()
    unknown(paid)
    unknown(paid)
    assert is_unknown(paid), "until an operator asks again, or Stripe speaks"
    anomalies = [e for e in paid.audit if e.event_type is E.ANOMALY_SEEN]
    assert len(anomalies) == 1
    paid.stripe.end_refund(next(iter(paid.stripe.refunds.values())), succeed=True)
    paid.deliver_webhooks()
    assert (paid.status(), is_unknown(paid)) == (S.REFUNDED, False)


def test_nothing_is_asked_about_a_closed_payment_with_a_held_fact_alone(
    opened: PaymentFlowHarness,
) -> None:
    stripe = opened.stripe
    assert stripe.intent
    stripe.intent.update(status="succeeded", amount_received=AMOUNT)
    stripe.refund(100, None, "ok")
    stripe.events = [event for event in stripe.events if event[0].startswith("refund")]
    stripe.intent.update(status="requires_payment_method", amount_received=0)
    opened.taken = 0
    opened.deliver_webhooks()
    unknown(opened, attempt=0)
    close(opened)
    assert opened.state
    assert opened.state.work.held
    assert _watch(0, "order", opened.state, opened.now) is None
    unknown(opened)
    assert not is_unknown(opened)


def test_a_confirm_that_was_never_made_is_looked_up_where_an_earlier_card_waits_for_the_bank(
    opened: PaymentFlowHarness,
) -> None:
    """The webhook may have come before: then only a look-up tells that this attempt goes on."""
    decline(opened)
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    confirm = opened.effects[0]
    opened.stripe.call(confirm, "3ds")
    opened.deliver_webhooks()
    opened.report(confirm, ResultKind.NOT_SUBMITTED, {"code": "no_charge_in_time"})
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.state
    assert opened.status() is S.FAILED
    assert opened.state.work.in_doubt_since is not None
    opened.look_up()
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is S.PROCESSING
    assert opened.state.work.in_doubt_since is None
