"""A refund that Stripe refused, and yet shows as succeeded, has taken the money."""

from __future__ import annotations

import pytest

from models.commands import CommandType, ConfirmPayment, RefundPayment, ResultKind
from models.graphs import PaymentStatus, RefundStatus
from tests.unit.world import PLACE, World


@pytest.fixture
def paid() -> World:
    world = World()
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    world.settle_all()
    assert world.state.payment.status is PaymentStatus.COMPLETED
    return world


def test_refused_then_shown_as_succeeded_counts(paid: World) -> None:
    paid.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=100), by="operator:o")
    while not paid.effects:
        paid.deliver("payment-commands")
    effect = paid.effects[0]
    paid.report(effect, ResultKind.INVALID, {"code": "lost_answer"})
    paid.deliver("payment-commands")
    assert paid.state.payment.refunded == 0
    paid.stripe.call(effect, "ok")
    paid.settle_all()
    assert paid.state.payment.refunded == 100 == paid.stripe.refunded


def test_failed_at_stripe_stays_failed(paid: World) -> None:
    refund = paid.stripe.refund(100, None, "ok")
    paid.collect_webhooks()
    succeeded = paid.webhooks.pop()
    paid.stripe.end_refund(refund, succeed=False)
    paid.settle_all()
    paid.queues["payment-webhook-received"].append(succeeded)
    paid.settle_all()
    assert [r.status for r in paid.state.payment.refunds.values()] == [RefundStatus.FAILED]
