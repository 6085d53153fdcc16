"""Stripe's webhooks: applied, or held while the payment that they belong to has not begun."""

from typing import Final

from msgspec.structs import replace

from agents.decision import MAX_AUDIT_RECORDS
from agents.payments.dispute_facts import apply_dispute
from agents.payments.fact_rules import FactSource
from agents.payments.fraud_facts import apply_fraud_warning, apply_review
from agents.payments.intent_facts import apply_intent
from agents.payments.refund_facts import apply_refund
from agents.payments.transitions import PaymentDecisionBuilder
from models.commands import FACTS, WebhookReceived
from models.events import EventType, WebhookNoted
from models.messages import as_stored
from models.payment import Held, PaymentWork

MAX_HELD_WEBHOOKS: Final = 20
"""Of one payment."""


def apply_webhook(builder: PaymentDecisionBuilder, webhook: WebhookReceived) -> None:
    """Apply a webhook, or hold it; the audit records which, and without bound only what changes something."""
    # A charge.refunded shows no refund: it was looked up when the event came.
    is_dated = webhook.stripe_event_type != "charge.refunded"
    known, as_of = len(builder.events), webhook.created if is_dated else None
    told = {name: facts for name in FACTS if (facts := getattr(webhook, name))}
    webhook = replace(
        webhook,
        more_refunds=tuple(replace(refund, as_of=as_of) for refund in webhook.more_refunds),
        **{name: replace(facts, as_of=as_of) for name, facts in told.items()},
    )
    has_facts = any(getattr(webhook, name) for name in FACTS)
    too_early = builder.payment is None or (
        not builder.payment.captured and (webhook.refund or webhook.dispute)
    )
    is_over = webhook.intent is not None and webhook.intent.status == "canceled"
    if builder.payment is None and builder.work.initiation is None and is_over:
        effect = "nothing new"  # a cancelled intent opens no payment
    elif has_facts and too_early and not (webhook.intent and builder.work.initiation):
        _hold(builder, webhook)
        effect = "held"
    else:
        before = builder.work
        for refund in webhook.more_refunds:
            apply_refund(builder, refund, FactSource.WEBHOOK)
        _apply_facts(builder, webhook)
        effect = "applied" if len(builder.events) > known else "nothing new"
        if _has_new_doubt(before, builder.work):
            effect = "Stripe is asked"
    if effect == "nothing new" and builder.audit_sequence >= MAX_AUDIT_RECORDS:
        return
    builder.emit(
        EventType.WEBHOOK_RECEIVED,
        WebhookNoted(
            stripe_event_id=webhook.stripe_event_id,
            stripe_event_type=webhook.stripe_event_type,
            effect=effect,
        ),
    )


def _has_new_doubt(before: PaymentWork, after: PaymentWork) -> bool:
    """Whether a doubt was added; one that has ended is none."""
    is_intents = after.in_doubt_since not in {None, before.in_doubt_since}
    return is_intents or bool(set(after.doubted_disputes) - set(before.doubted_disputes))


def _hold(builder: PaymentDecisionBuilder, webhook: WebhookReceived) -> None:
    if len(builder.work.held) >= MAX_HELD_WEBHOOKS:
        builder.report_anomaly(
            "TOO_MANY_HELD", "more facts than can be held came before their payment"
        )
        return
    id = webhook.stripe_event_id
    facts = {name: as_stored(fact) for name in FACTS if (fact := getattr(webhook, name))}
    more = (Held(stripe_event_id=id, refund=as_stored(each)) for each in webhook.more_refunds)
    held = (*builder.work.held, *more, Held(stripe_event_id=id, **facts))
    builder.change(held=held[:MAX_HELD_WEBHOOKS])


def release_held(builder: PaymentDecisionBuilder) -> None:
    """Apply held facts once the payment has begun, or has been captured."""
    while builder.payment and builder.work.held:
        captured = builder.payment.captured
        due = next(
            (held for held in builder.work.held if captured or not (held.refund or held.dispute)),
            None,
        )
        if due is None:
            return
        builder.change(held=tuple(held for held in builder.work.held if held is not due))
        _apply_facts(builder, due)


def _apply_facts(builder: PaymentDecisionBuilder, facts: WebhookReceived | Held) -> None:
    """Apply the facts of a webhook."""
    if facts.intent:
        apply_intent(builder, facts.intent, FactSource.WEBHOOK, 0)
    if facts.refund:
        apply_refund(builder, facts.refund, FactSource.WEBHOOK)
    if facts.dispute:
        apply_dispute(builder, facts.dispute, FactSource.WEBHOOK)
    if facts.fraud_warning:
        apply_fraud_warning(builder, facts.fraud_warning)
    if facts.review:
        apply_review(builder, facts.review)
