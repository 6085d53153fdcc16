"""What Stripe says, reduced to the facts that decide needs; a pure parser at the edge."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Minor = Annotated[int, Field(ge=0, strict=True)]

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


class Seen(BaseModel):
    """Base of the facts about a Stripe object."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class PaymentError(Seen):
    """last_payment_error of a payment intent; it outlives the attempt, so its charge must be compared."""

    code: str
    decline_code: str | None = None
    message: str = ""
    charge_id: str | None = None


class IntentSeen(Seen):
    """A payment intent as Stripe showed it.

    status: Stripe's own word. amount, amountReceived: minor units. receiptUrl is known only where the
    charge came along, and so are cardLast4, a card's last four digits, by which operators find orders.
    """

    intent_id: str
    status: str
    amount: Minor
    amount_received: Minor
    currency: str
    charge_id: str | None = None
    receipt_url: str | None = None
    card_last4: str | None = None
    error: PaymentError | None = None
    next_action: str | None = None
    cancellation_reason: str | None = None


class RefundSeen(Seen):
    """A refund as Stripe showed it; refundId is ours, None for a refund that somebody else made."""

    stripe_refund_id: str
    refund_id: str | None
    intent_id: str | None
    amount: Minor
    currency: str
    status: str
    reason: str | None = None
    failure_reason: str | None = None


class DisputeSeen(Seen):
    """A dispute as Stripe showed it; evidenceDueBy: seconds since the epoch."""

    dispute_id: str
    intent_id: str | None
    charge_id: str
    amount: Minor
    currency: str
    status: str
    reason: str
    is_charge_refundable: bool = False
    evidence_due_by: int | None = None


Facts = Mapping[str, Any]


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
        receipt_url=expanded.get("receipt_url"),
        card_last4=_last4(expanded),
        error=error_seen(error) if error.get("code") or error.get("type") else None,
        next_action=(intent.get("next_action") or {}).get("type"),
        cancellation_reason=intent.get("cancellation_reason"),
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
        code=error.get("code") or error.get("type") or "unknown",
        decline_code=error.get("decline_code"),
        message=error.get("message") or "",
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
        reason=refund.get("reason"),
        failure_reason=refund.get("failure_reason"),
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
        reason=dispute.get("reason") or "general",
        is_charge_refundable=bool(dispute.get("is_charge_refundable")),
        evidence_due_by=(dispute.get("evidence_details") or {}).get("due_by"),
    )


def _id(thing: Any) -> str | None:
    return thing.get("id") if isinstance(thing, Mapping) else thing
