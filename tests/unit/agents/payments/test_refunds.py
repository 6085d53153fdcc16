"""Refunds and disputes, fact by fact: refused, retried, failing late, blocked, and when each happened."""

from __future__ import annotations

import pytest

from models import topics
from models.commands import (
    CancelOrder,
    CommandType,
    RefundPayment,
    ResultKind,
    RetryRefund,
)
from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import money_of, violations
from models.transition import Outcome
from tests.support.payment_flow import AMOUNT, PaymentFlowHarness


def test_refused_then_shown_as_succeeded_counts(paid: PaymentFlowHarness) -> None:
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


def test_failed_at_stripe_stays_failed(paid: PaymentFlowHarness) -> None:
    refund = paid.stripe.refund(100, None, "ok")
    paid.collect_webhooks()
    succeeded = paid.webhooks.pop()
    paid.stripe.end_refund(refund, succeed=False)
    paid.settle_all()
    paid.queues["payment-webhook-received"].append(succeeded)
    paid.settle_all()
    assert [r.status for r in paid.state.payment.refunds.values()] == [RefundStatus.FAILED]


def refund(paid: PaymentFlowHarness, amount: int | None, by: str = "operator:o") -> Outcome:
    """Ask for a refund and let it be decided, no more."""
    command_id = paid.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=amount), by=by)
    while command_id not in paid.payments.outcomes:
        paid.deliver("payment-commands")
    return paid.payments.outcomes[command_id]


def retry(paid: PaymentFlowHarness, refund_id: str) -> Outcome:
    command_id = paid.command(
        CommandType.RETRY_REFUND, RetryRefund(refund_id=refund_id), by="operator:o"
    )
    while command_id not in paid.payments.outcomes:
        paid.deliver("payment-commands")
    return paid.payments.outcomes[command_id]


def test_a_failed_refund_is_retried_once_and_its_retry_too(paid: PaymentFlowHarness) -> None:
    assert refund(paid, 600).accepted
    (first,) = paid.state.work.refunds.values()
    assert retry(paid, first.refund_id).code == "REFUND_PENDING"
    assert retry(paid, "refund_x").code == "REFUND_UNKNOWN"
    paid.settle_all()
    assert retry(paid, first.refund_id).code == "REFUND_SUCCEEDED"
    (at_stripe,) = paid.stripe.refunds.values()
    paid.stripe.end_refund(at_stripe, succeed=False)
    paid.settle_all()
    assert retry(paid, first.refund_id).accepted
    (second,) = paid.state.work.refunds.values()
    assert (second.retry_of, second.amount, second.reason) == (
        first.refund_id, 600, first.reason
    )  # fmt: skip
    assert retry(paid, first.refund_id).code == "REFUND_RETRIED"
    paid.settle_all()
    assert paid.state.payment.refunded == 600 == paid.stripe.refunded


def test_a_retry_gives_back_what_is_left(paid: PaymentFlowHarness) -> None:
    assert refund(paid, 600).accepted
    paid.settle_all()
    (at_stripe,) = paid.stripe.refunds.values()
    paid.stripe.end_refund(at_stripe, succeed=False)
    paid.settle_all()
    (failed,) = paid.state.payment.refunds
    assert refund(paid, AMOUNT - 599).accepted
    paid.settle_all()
    dispute = paid.stripe.dispute()
    paid.settle_all()
    assert retry(paid, failed).code == "DISPUTED"
    paid.stripe.close_dispute(dispute, won=True)
    paid.settle_all()
    assert retry(paid, failed).accepted
    assert [pending.amount for pending in paid.state.work.refunds.values()] == [599]
    paid.settle_all()
    assert paid.state.payment.status is PaymentStatus.REFUNDED


def test_a_refund_that_fails_beside_one_of_everything_reverses_nothing(
    paid: PaymentFlowHarness,
) -> None:
    """Stripe's dashboard gave back a little, which failed before we heard of it; ours gave back all."""
    paid.stripe.refund(1, None, "ok")
    (little,) = paid.stripe.refunds.values()
    paid.stripe.end_refund(little, succeed=False)
    paid.command(CommandType.CANCEL_ORDER, CancelOrder())
    paid.collect_webhooks()
    late, paid.webhooks = paid.webhooks, []
    paid.settle_all()
    paid.queues[topics.WEBHOOKS] += late
    paid.settle_all()
    assert paid.state
    assert paid.state.payment
    assert paid.state.payment.refunded == AMOUNT == paid.stripe.refunded
    assert RefundStatus.FAILED in {r.status for r in paid.state.payment.refunds.values()}
    assert paid.state.payment.status is PaymentStatus.REFUNDED
    assert paid.orders.state.order.status is OrderStatus.REFUNDED
    assert violations(money_of(paid.state), paid.orders.state.order.status) == []


def test_a_dashboard_refund_that_was_faster_than_a_cancels_refund(paid: PaymentFlowHarness) -> None:
    paid.command(CommandType.CANCEL_ORDER, CancelOrder())
    while not paid.effects:
        paid.deliver(next(topic for topic, queue in paid.queues.items() if queue))
    paid.stripe.refund(1, None, "ok")
    paid.settle_all()
    refunds = list(paid.state.payment.refunds.values())
    assert sorted(r.amount for r in refunds) == [1, AMOUNT - 1, AMOUNT]
    assert paid.state.payment.refunded == AMOUNT == paid.stripe.refunded
    assert paid.orders.state.order.status is OrderStatus.REFUNDED


def test_refunds_know_when_they_were_asked_for_and_ended(paid: PaymentFlowHarness) -> None:
    refund(paid, 600)
    (pending,) = paid.state.work.refunds.values()
    assert (pending.requested_at, pending.ended_at) == (paid.now, None)
    paid.settle_all()
    (ended,) = paid.state.payment.refunds.values()
    assert ended.requested_at == pending.requested_at
    assert ended.ended_at == paid.state.payment.occurred_at > paid.now - 5000


@pytest.mark.parametrize("closed_first", [True, False])
def test_a_dispute_that_was_faster_than_a_cancels_refund(
    paid: PaymentFlowHarness, closed_first: bool
) -> None:
    dispute = paid.stripe.dispute()
    paid.command(CommandType.CANCEL_ORDER, CancelOrder())
    while not paid.effects:
        paid.deliver(next(topic for topic, queue in paid.queues.items() if queue))
    paid.perform(paid.effects[0], "ok")
    if closed_first:
        paid.stripe.close_dispute(dispute, won=True)
        paid.collect_webhooks()
        for webhook in paid.webhooks:
            paid.queues["payment-webhook-received"].append(webhook)
        paid.webhooks = []
        while paid.queues["payment-webhook-received"]:
            paid.deliver("payment-webhook-received")
        assert paid.state.payment.refunded == 0
    paid.settle_all()
    if not closed_first:
        assert paid.state.work.refund_wanted
        assert paid.state.payment.is_refund_blocked
        paid.stripe.close_dispute(dispute, won=True)
        paid.settle_all()
    assert paid.state.payment.refunded == AMOUNT == paid.stripe.refunded
    assert paid.orders.state.order.status is OrderStatus.REFUNDED
    assert paid.state.work.refund_wanted is None


def test_an_inquiry_that_becomes_a_dispute_and_old_news_of_it(paid: PaymentFlowHarness) -> None:
    dispute = paid.stripe.dispute(inquiry=True)
    paid.settle_all()
    assert not paid.state.payment.is_refund_blocked
    assert (paid.state.payment.disputed, paid.state.refundable) == (0, AMOUNT)
    paid.collect_webhooks()
    paid.stripe.escalate(dispute)
    paid.settle_all()
    assert paid.state.payment.is_refund_blocked
    assert (paid.state.payment.disputed, paid.state.refundable) == (AMOUNT, 0)
    paid.stripe.close_dispute(dispute, won=False)
    paid.settle_all()
    (known,) = paid.state.payment.disputes.values()
    assert (known.status, known.evidence_due_by) == ("lost", "2027-01-15T08:00:00.000Z")
    assert (known.opened_at or 0) < (known.changed_at or 0)
    old = dispute | {"status": "under_review"}
    paid.stripe._emit("charge.dispute.updated", old, at_s=paid.now // 1000 - 60)
    paid.settle_all()
    assert next(iter(paid.state.payment.disputes.values())).status == "lost"
    assert refund(paid, 1).code == "REFUND_TOO_LARGE"


@pytest.mark.parametrize("answer", [ResultKind.INVALID, ResultKind.CONFLICT])
def test_a_refund_that_stripe_has_shown_is_not_failed_by_a_refused_request(
    paid: PaymentFlowHarness, answer: ResultKind
) -> None:
    paid.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=600), by="operator:olga")
    paid.deliver_all("payment-commands")
    (effect,) = paid.effects
    made = paid.stripe.refund(600, effect.refund_id, "bank")
    assert made
    made["status"] = "requires_action"
    paid.stripe.events.pop()
    paid.stripe._emit("refund.created", made)
    paid.deliver_webhooks()
    (pending,) = paid.state.work.refunds.values()
    assert pending.requires_action
    paid.report(effect, answer, {"code": "charge_already_refunded"})
    paid.deliver_all("payment-commands")
    (pending,) = paid.state.work.refunds.values()
    paid.stripe.end_refund(made, succeed=True)
    paid.deliver_webhooks()
    (ended,) = paid.state.payment.refunds.values()
    assert ended.status == "SUCCEEDED"
