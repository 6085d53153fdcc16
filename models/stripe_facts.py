"""What Stripe says, reduced to the facts that decide needs; a pure parser at the edge."""

from collections.abc import Mapping
from typing import Any, Final

from models.messages import Currency, Id, Message, Minor, Seconds, Text, Url, Word

WEBHOOK_TYPES: Final = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
)
"""What the webhook endpoint subscribes to."""


class Seen(Message):
    """Base of the facts about a Stripe object."""


class PaymentError(Seen):
    """last_payment_error of a payment intent; it outlives the attempt, so its charge must be compared."""

    code: Word
    decline_code: Word | None = None
    message: Text = ""
    charge_id: Id | None = None


class IntentSeen(Seen):
    """A payment intent as Stripe showed it.

    status: Stripe's own word. amount, amountReceived: minor units. receiptUrl is known only where the
    charge came along, and so are cardLast4, a card's last four digits, by which operators find orders.
    """

    intent_id: Id
    status: Word
    amount: Minor
    amount_received: Minor
    currency: Currency
    charge_id: Id | None = None
    receipt_url: Url | None = None
    card_last4: Word | None = None
    error: PaymentError | None = None
    next_action: Word | None = None
    cancellation_reason: Word | None = None


class RefundSeen(Seen):
    """A refund as Stripe showed it; refundId is ours, None for a refund that somebody else made."""

    stripe_refund_id: Id
    refund_id: Id | None
    intent_id: Id | None
    amount: Minor
    currency: Currency
    status: Word
    reason: Word | None = None
    failure_reason: Word | None = None


class DisputeSeen(Seen):
    """A dispute as Stripe showed it; evidenceDueBy: seconds since the epoch."""

    dispute_id: Id
    intent_id: Id | None
    charge_id: Id
    amount: Minor
    currency: Currency
    status: Word
    reason: Word
    is_charge_refundable: bool = False
    evidence_due_by: Seconds | None = None


Facts = Mapping[str, Any]


_CONTROLS: Final = dict.fromkeys([*range(32), 127], " ")


def one_line(text: Any) -> str | None:
    """A word of Stripe's as it is kept: on one line, the first 500 characters; None for none."""
    return str(text).translate(_CONTROLS)[:500] if text else None


def _web_url(text: Any) -> str | None:
    is_one = isinstance(text, str) and len(text) <= 4000 and text.isascii() and text.isprintable()
    return text if is_one and " " not in text else None


def intent_seen(intent: Facts) -> IntentSeen:
    """Reduce a PaymentIntent (a plain mapping; latest_charge expanded or not)."""
    charge = intent.get("latest_charge")
    expanded = charge if isinstance(charge, Mapping) else {}
    error = intent.get("last_payment_error") or {}
    return IntentSeen(
        intent_id=intent["id"],
        status=intent["status"],
        amount=intent["amount"],
        amount_received=intent.get("amount_received") or 0,
        currency=intent["currency"].upper(),
        charge_id=expanded.get("id") or (charge if isinstance(charge, str) else None),
        receipt_url=_web_url(expanded.get("receipt_url")),
        card_last4=_last4(expanded),
        error=error_seen(error) if error.get("code") or error.get("type") else None,
        next_action=one_line((intent.get("next_action") or {}).get("type")),
        cancellation_reason=one_line(intent.get("cancellation_reason")),
    )


def _last4(charge: Facts) -> str | None:
    """Of a charge's card; four digits or nothing."""
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    last4 = card.get("last4")
    is_so = isinstance(last4, str) and len(last4) == 4 and last4.isascii() and last4.isdigit()
    return last4 if is_so else None


def error_seen(error: Facts) -> PaymentError:
    """Reduce a card error."""
    charge = error.get("charge")
    return PaymentError(
        code=one_line(error.get("code") or error.get("type")) or "unknown",
        decline_code=one_line(error.get("decline_code")),
        message=one_line(error.get("message")) or "",
        charge_id=charge.get("id") if isinstance(charge, Mapping) else charge,
    )


def refund_seen(refund: Facts) -> RefundSeen:
    """Reduce a Refund."""
    return RefundSeen(
        stripe_refund_id=refund["id"],
        refund_id=(refund.get("metadata") or {}).get("refundId"),
        intent_id=_id(refund.get("payment_intent")),
        amount=refund["amount"],
        currency=refund["currency"].upper(),
        status=refund.get("status") or "pending",
        reason=one_line(refund.get("reason")),
        failure_reason=one_line(refund.get("failure_reason")),
    )


def dispute_seen(dispute: Facts) -> DisputeSeen:
    """Reduce a Dispute."""
    return DisputeSeen(
        dispute_id=dispute["id"],
        intent_id=_id(dispute.get("payment_intent")),
        charge_id=_id(dispute["charge"]) or "",
        amount=dispute["amount"],
        currency=dispute["currency"].upper(),
        status=dispute["status"],
        reason=one_line(dispute.get("reason")) or "general",
        is_charge_refundable=bool(dispute.get("is_charge_refundable")),
        evidence_due_by=(dispute.get("evidence_details") or {}).get("due_by"),
    )


def _id(thing: Any) -> str | None:
    return thing.get("id") if isinstance(thing, Mapping) else thing
