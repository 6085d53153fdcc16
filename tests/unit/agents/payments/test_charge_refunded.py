"""A charge.refunded tells all refunds of the payment, for it does not say which is new."""

from __future__ import annotations

from models import topics
from models.commands import WebhookReceived
from models.messages import encode
from models.stripe_facts import RefundFacts, parse_refund
from tests.support.payment_flow import ORDER, PaymentFlowHarness


def send_refunds(flow: PaymentFlowHarness, *amounts: int) -> None:
    """One webhook; the newest refund is the last."""
    assert flow.stripe.intent
    intent = flow.stripe.intent["id"]
    *more, newest = (_refund(intent, number, amount) for number, amount in enumerate(amounts))
    hook = WebhookReceived(
        order_id=ORDER, stripe_event_id=f"evt_{next(flow.number)}", created=1_700_000_100,
        stripe_event_type="charge.refunded", refund=newest, more_refunds=tuple(more),
    )  # fmt: skip
    flow.queues[topics.WEBHOOKS].append(encode(hook))
    flow.settle_all()


def _refund(intent_id: str, number: int, amount: int) -> RefundFacts:
    return parse_refund(
        {"id": f"re_{number}", "payment_intent": intent_id, "amount": amount, "currency": "inr",
         "status": "succeeded"}
    )  # fmt: skip


def amounts_of(flow: PaymentFlowHarness) -> list[int]:
    assert flow.state
    assert flow.state.payment
    return sorted(refund.amount for refund in flow.state.payment.refunds.values())


def test_every_refund_counts_once_however_often_it_is_told(paid: PaymentFlowHarness) -> None:
    send_refunds(paid, 700, 800)
    assert amounts_of(paid) == [700, 800]
    send_refunds(paid, 700, 800)
    send_refunds(paid, 700, 800, 900)
    assert amounts_of(paid) == [700, 800, 900]


def test_those_that_come_before_the_payment_are_held_all(opened: PaymentFlowHarness) -> None:
    send_refunds(opened, 700, 800)
    assert opened.state
    held = [each.refund.amount for each in opened.state.work.held if each.refund]
    assert held == [700, 800]
