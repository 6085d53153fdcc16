"""Interleavings that lose money or leave a payment behind, each played by hand over the pure core."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest

from agents.decision import MAX_AUDIT_RECORDS
from agents.payments.transitions import MAX_PAYMENT_ATTEMPTS
from app.stripe.gateway import StripeGateway
from app.stripe.reconciler import Reconciler
from models.commands import (
    CancelOrder,
    CancelPayment,
    CommandType,
    ConfirmPayment,
    RefundPayment,
    ResultKind,
)
from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import MoneyViolation, money_of, violations
from models.payment import Effect, EffectKind
from models.stuck import Subject, waiting
from models.topics import PAYMENT_COMMANDS, WEBHOOKS
from tables import StoredRecord
from tests.support.payment_flow import AMOUNT, PaymentFlowHarness
from tests.support.senders import NoSender


def effect_of(world: PaymentFlowHarness, kind: EffectKind) -> Effect:
    return next(effect for effect in world.effects if effect.kind is kind)


@pytest.mark.parametrize("by_order", [False, True])
def test_a_cancel_that_conflicts_with_a_charge_that_then_fails(
    opened: PaymentFlowHarness, by_order: bool
) -> None:
    """Stripe refuses to cancel while the bank thinks; the bank's no is heard of before the refusal."""
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    opened.perform(effect_of(opened, EffectKind.CONFIRM), "bank")
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is PaymentStatus.PROCESSING
    if by_order:
        opened.command(CommandType.CANCEL_ORDER, CancelOrder())
        while not opened.effects:
            opened.deliver(next(topic for topic, queue in opened.queues.items() if queue))
    else:
        opened.command(CommandType.CANCEL_PAYMENT, CancelPayment())
        opened.deliver_all(PAYMENT_COMMANDS)
    cancel = effect_of(opened, EffectKind.CANCEL)
    answer = opened.stripe.call(cancel, "ok")
    assert answer["result"] == ResultKind.CONFLICT
    opened.stripe.settle(succeed=False)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.FAILED
    opened.report(cancel, ResultKind.CONFLICT, answer)
    opened.settle_all()
    assert opened.stripe.intent["status"] == "canceled"
    assert opened.status() is PaymentStatus.CANCELLED


def test_a_refund_asked_for_again_after_its_outcome_is_forgotten(paid: PaymentFlowHarness) -> None:
    """The same command, whose id has left the window and whose outcome is older than 24 hours."""
    command_id = paid.command(
        CommandType.REFUND_PAYMENT, RefundPayment(amount=600), by="operator:o"
    )
    again = paid.queues[PAYMENT_COMMANDS][-1]
    paid.settle_all()
    assert paid.state.payment.refunded == 600
    paid.payments.seen.discard((PAYMENT_COMMANDS, command_id))
    paid.stripe.answers.clear()  # Stripe forgets its keys as well
    paid.queues[PAYMENT_COMMANDS].append(again)
    paid.settle_all()
    assert paid.stripe.refunded == 600
    assert paid.state.payment.refunded == 600
    assert paid.state.refund_pending == 0
    assert paid.payments.outcomes[command_id].accepted


def test_a_refund_id_is_never_another_refund(paid: PaymentFlowHarness) -> None:
    command_id = paid.command(
        CommandType.REFUND_PAYMENT, RefundPayment(amount=600), by="operator:o"
    )
    paid.settle_all()
    paid.payments.seen.discard((PAYMENT_COMMANDS, command_id))
    paid.number = itertools.count(int(command_id.removeprefix("cmd_")))
    paid.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=700), by="operator:o")
    paid.deliver_all(PAYMENT_COMMANDS)
    assert paid.payments.outcomes[command_id].code == "IDEMPOTENCY_KEY_REUSED"
    assert paid.state.refund_pending == 0


def test_a_second_refund_is_heard_of_before_the_first_ones_late_failure(
    paid: PaymentFlowHarness,
) -> None:
    """The bank returns a refund, somebody makes it anew at Stripe; the webhooks come the other way."""
    first = paid.stripe.refund(AMOUNT, None, "ok")
    paid.settle_all()
    assert paid.status() is PaymentStatus.REFUNDED
    paid.stripe.end_refund(first, succeed=False)
    second = paid.stripe.refund(AMOUNT, None, "ok")
    assert second
    paid.collect_webhooks()
    failed, made = paid.webhooks
    paid.queues[WEBHOOKS] += [made, failed]
    paid.webhooks = []
    while paid.queues[WEBHOOKS]:
        paid.deliver(WEBHOOKS)
    # Whatever asks Stripe (the reconciler) sees both.
    assert paid.state.work.refunds or paid.state.payment.refunded == AMOUNT
    paid.look_up()
    paid.settle_all()
    assert paid.state.payment.refunded == AMOUNT == paid.stripe.refunded
    assert paid.status() is PaymentStatus.REFUNDED
    assert not paid.state.work.refunds
    assert paid.orders.state.order.status is OrderStatus.REFUNDED


@pytest.mark.parametrize("received", [1, AMOUNT - 1])
def test_less_than_was_asked_for_is_captured(opened: PaymentFlowHarness, received: int) -> None:
    """Somebody changed the payment intent by hand at Stripe."""
    intent = opened.stripe.intent
    intent.update(amount=received)
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.settle_all()
    assert opened.state.payment.captured == received
    money = money_of(opened.state)
    assert money
    assert MoneyViolation.CAPTURED_FALLS_SHORT in violations(money, OrderStatus.PENDING)


def test_another_currency_is_captured(opened: PaymentFlowHarness) -> None:
    opened.stripe.intent.update(currency="jpy")
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.settle_all()
    assert opened.state.payment.captured == 0
    assert opened.state.payment.currency == "INR"


def test_a_refund_that_stripe_declines_is_over(paid: PaymentFlowHarness) -> None:
    paid.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=600), by="operator:o")
    paid.deliver_all(PAYMENT_COMMANDS)
    paid.report(paid.effects[0], ResultKind.DECLINED, {"code": "card_declined"})
    paid.settle_all()
    assert [r.status for r in paid.state.payment.refunds.values()] == [RefundStatus.FAILED]
    assert paid.state.refund_pending == 0


def test_what_is_held_of_a_payment_without_money_is_shown(opened: PaymentFlowHarness) -> None:
    """A dispute of a payment whose success was never heard of."""
    opened.stripe._charge("ok")
    opened.collect_webhooks()
    opened.webhooks.clear()
    opened.stripe.dispute()
    opened.deliver_webhooks()
    assert opened.state.work.held
    assert Subject.WEBHOOK in {each.rule.subject for each in waiting(opened.state)}


def test_a_cancel_that_never_succeeds_is_given_up(opened: PaymentFlowHarness) -> None:
    opened.command(CommandType.CANCEL_PAYMENT, CancelPayment())
    opened.deliver_all(PAYMENT_COMMANDS)
    for made in range(1, 21):
        (cancel,) = opened.effects
        assert cancel.tries == made
        opened.report(cancel, ResultKind.CONFLICT, {"code": "odd", "intent": opened.stripe.intent})
        opened.deliver_all(PAYMENT_COMMANDS)
    assert not opened.effects
    assert opened.status() is PaymentStatus.PENDING


def test_held_facts_make_the_reconciler_ask(opened: PaymentFlowHarness) -> None:
    opened.stripe._charge("ok")
    opened.collect_webhooks()
    opened.webhooks.clear()
    opened.stripe.dispute()
    opened.deliver_webhooks()
    stored = StoredRecord("o", 1, opened.state, {}, {}, None)

    async def watched() -> int:
        reconciler = Reconciler(cast("StripeGateway", None), NoSender(), after_s=20, interval_s=30)
        reconciler.updated(0, "o", stored)
        return reconciler.watched

    assert asyncio.run(watched()) == 1
    opened.look_up()
    opened.settle_all()
    assert opened.state.payment.captured == AMOUNT
    assert opened.state.payment.disputed == AMOUNT
    assert not opened.state.work.held


@pytest.mark.parametrize("card", ["decline", "3ds"])
def test_stolen_cards_are_not_tried_out_without_end(opened: PaymentFlowHarness, card: str) -> None:
    codes = []
    for _ in range(MAX_PAYMENT_ATTEMPTS + 2):
        command_id = opened.command(
            CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm")
        )
        opened.deliver_all(PAYMENT_COMMANDS)
        for effect in opened.effects:
            opened.perform(effect, card)
        opened.deliver_all(PAYMENT_COMMANDS)
        codes.append(opened.payments.outcomes[command_id].code)
    assert codes == [""] * MAX_PAYMENT_ATTEMPTS + ["TOO_MANY_ATTEMPTS"] * 2
    if card == "3ds":
        opened.stripe.authenticate(succeed=True)
        opened.settle_all()
        assert opened.status() is PaymentStatus.COMPLETED, "the last one may still be finished"


def test_a_customer_who_asks_without_end_makes_no_endless_timeline(
    paid: PaymentFlowHarness,
) -> None:
    def asks(by: str) -> tuple[str, int]:
        command_id = paid.command(
            CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"), by=by
        )
        paid.deliver_all(PAYMENT_COMMANDS)
        assert paid.state
        return paid.payments.outcomes[command_id].code, paid.state.work.audit_sequence

    for _ in range(MAX_AUDIT_RECORDS + 20):
        assert asks("customer:guest")[0] == "ALREADY_PAID"
    assert asks("customer:guest") == ("ALREADY_PAID", MAX_AUDIT_RECORDS)
    assert asks("operator:o") == ("ALREADY_PAID", MAX_AUDIT_RECORDS + 1), (
        "what staff does is always told"
    )
