"""Time never goes back in what payments tells of an order, in whatever order its topics are read."""

from __future__ import annotations

import orjson

from agents import payments
from models import topics
from models.commands import Command, CommandType, InitiatePayment, WebhookReceived
from models.payment import PaymentRecord
from models.stripe_facts import IntentFacts
from models.transition import Input, InputIdentity

ORDER = "order_00000000000000000000000001"


def test_an_older_webhook_does_not_turn_the_audits_clock_back() -> None:
    initiate = Command(
        order_id=ORDER, command_id="cmd", command_type=CommandType.INITIATE_PAYMENT,
        issued_at="1970-01-01T00:00:02.000Z", issued_by="system:orders",
        data=InitiatePayment(amount=2500, currency="INR", user_id="guest"),
    )  # fmt: skip
    webhook = WebhookReceived(
        order_id=ORDER, stripe_event_id="evt", stripe_event_type="payment_intent.processing",
        created=0,
        intent=IntentFacts(
            intent_id="pi", status="requires_payment_method", amount=2500, amount_received=0,
            currency="INR",
        ),
    )  # fmt: skip
    later = Input(
        topics.PAYMENT_COMMANDS, ORDER, InputIdentity("cmd"), initiate, timestamp_ms=2_000
    )
    older = Input(topics.WEBHOOKS, ORDER, InputIdentity("evt"), webhook, timestamp_ms=1_000)
    first = payments.decide(PaymentRecord(), later, {}.get)
    second = payments.decide(first.state, older, {}.get)
    told = [orjson.loads(out.value) for out in (*first.outputs, *second.outputs)]
    audit = [event["occurredAt"] for event in told if event["sequence"] and "eventId" in event]
    assert len(audit) >= 3
    assert set(audit) == {"1970-01-01T00:00:02.000Z"}
