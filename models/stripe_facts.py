"""Parses Stripe's objects into the facts that decide needs. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from models.fields import Currency, EpochSeconds, Id, MinorUnits, ShortText, Text, Url
from models.messages import Message, checked, written
from models.payment_methods import PAYMENT_METHODS


class StripeFacts(Message):
    """Base of the facts about a Stripe object.

    asOf: when Stripe said so, by its own clock, in seconds since the epoch; None where it did not tell.
    """

    as_of: EpochSeconds | None = None


class PaymentError(Message):
    """last_payment_error of a payment intent; it outlives the attempt, so its charge must be compared."""

    code: ShortText
    decline_code: ShortText | None = written(None)
    message: Text = written("")
    charge_id: Id | None = written(None)


class IntentFacts(StripeFacts):
    """A payment intent as Stripe showed it.

    status: Stripe's own word. amount, amountReceived: minor units. receiptUrl is known only where the
    charge came along, and so are cardLast4, a card's last four digits, by which operators find orders, and
    chargedAt: when a charge was made that succeeds at once or never, in seconds since the epoch.
    """

    intent_id: Id
    status: ShortText
    amount: MinorUnits
    amount_received: MinorUnits
    currency: Currency
    charge_id: Id | None = written(None)
    receipt_url: Url | None = written(None)
    card_last4: ShortText | None = written(None)
    charged_at: EpochSeconds | None = None
    error: PaymentError | None = written(None)
    next_action: ShortText | None = written(None)
    cancellation_reason: ShortText | None = written(None)


class RefundFacts(StripeFacts):
    """A refund as Stripe showed it; refundId is ours, None for a refund that somebody else made."""

    stripe_refund_id: Id
    refund_id: Id | None
    intent_id: Id | None
    amount: MinorUnits
    currency: Currency
    status: ShortText
    reason: ShortText | None = written(None)
    failure_reason: ShortText | None = written(None)


class DisputeFacts(StripeFacts):
    """A dispute as Stripe showed it; evidenceDueBy: seconds since the epoch.

    isClosed: said by an event that closes it, whatever its status is.
    """

    dispute_id: Id
    intent_id: Id | None
    charge_id: Id
    amount: MinorUnits
    currency: Currency
    status: ShortText
    reason: ShortText
    is_charge_refundable: bool = written(False)  # noqa: FBT003 -- the default itself
    evidence_due_by: EpochSeconds | None = written(None)
    is_closed: bool | None = None


class FraudWarningFacts(StripeFacts):
    """An early fraud warning as Stripe showed it; fraudType is its word."""

    warning_id: Id
    intent_id: Id | None
    fraud_type: ShortText
    is_actionable: bool


class ReviewFacts(StripeFacts):
    """A review as Stripe showed it, without what it tells of the customer; the reasons are its words."""

    review_id: Id
    intent_id: Id | None
    is_open: bool
    opened_reason: ShortText
    closed_reason: ShortText | None = written(None)


UNKNOWN_OBJECT: Final = "resource_missing"
"""Stripe's code for an id that the account and mode of the key do not have."""


StripeObject = Mapping[str, Any]
_CONTROLS: Final = dict.fromkeys([*range(32), 127], " ")


def one_line(text: Any) -> str | None:
    """A text of Stripe's as it is kept: on one line, the first 500 characters; None for an empty one."""
    if not text:
        return None
    # JSON may hold half of a surrogate pair, which no text in UTF-8 can.
    return str(text).translate(_CONTROLS)[:500].encode(errors="replace").decode()


def _web_url(text: Any) -> str | None:
    is_one = isinstance(text, str) and len(text) <= 4000 and text.isascii() and text.isprintable()
    return text if is_one and " " not in text else None


def parse_intent(intent: StripeObject, *, as_of: int | None = None) -> IntentFacts:
    """Reduce a PaymentIntent (a plain mapping; latest_charge expanded or not) of any API version."""
    charge = intent.get("latest_charge") or _newest_charge(intent)
    expanded = charge if isinstance(charge, Mapping) else {}
    error = intent.get("last_payment_error") or {}
    return checked(
        IntentFacts(
            as_of=as_of,
            intent_id=intent["id"],
            status=intent["status"],
            amount=intent["amount"],
            amount_received=intent.get("amount_received") or 0,
            currency=intent["currency"].upper(),
            charge_id=expanded.get("id") or (charge if isinstance(charge, str) else None),
            receipt_url=_web_url(expanded.get("receipt_url")),
            card_last4=_last4(expanded),
            charged_at=_charged_at(expanded),
            error=parse_payment_error(error) if error.get("code") or error.get("type") else None,
            next_action=one_line((intent.get("next_action") or {}).get("type")),
            cancellation_reason=one_line(intent.get("cancellation_reason")),
        )
    )


def _newest_charge(intent: StripeObject) -> StripeObject | None:
    """The charge of a payment as API versions before 2022-11-15 show it; None where there is none."""
    charges = (intent.get("charges") or {}).get("data") or []
    return charges[0] if intent["status"] == "succeeded" and charges else None


def _charged_at(charge: StripeObject) -> int | None:
    """When a charge was made, where that is when it succeeded; of a debit it is days before."""
    method = PAYMENT_METHODS.get((charge.get("payment_method_details") or {}).get("type", ""))
    return charge.get("created") if method and not method.is_delayed else None


def _last4(charge: StripeObject) -> str | None:
    """Last four digits of a charge's card, or None."""
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    last4 = card.get("last4")
    is_so = isinstance(last4, str) and len(last4) == 4 and last4.isascii() and last4.isdigit()
    return last4 if is_so else None


def parse_payment_error(error: StripeObject) -> PaymentError:
    """Reduce a card error."""
    charge = error.get("charge")
    return PaymentError(
        code=one_line(error.get("code") or error.get("type")) or "unknown",
        decline_code=one_line(error.get("decline_code")),
        message=one_line(error.get("message")) or "",
        charge_id=charge.get("id") if isinstance(charge, Mapping) else charge,
    )


def parse_refund(refund: StripeObject, *, as_of: int | None = None) -> RefundFacts:
    """Reduce a Refund."""
    return checked(
        RefundFacts(
            as_of=as_of,
            stripe_refund_id=refund["id"],
            refund_id=(refund.get("metadata") or {}).get("refundId"),
            intent_id=_id(refund.get("payment_intent")),
            amount=refund["amount"],
            currency=refund["currency"].upper(),
            status=refund.get("status") or "pending",
            reason=one_line(refund.get("reason")),
            failure_reason=one_line(refund.get("failure_reason")),
        )
    )


def parse_dispute(
    dispute: StripeObject, *, as_of: int | None = None, is_closed: bool = False
) -> DisputeFacts:
    """Reduce a Dispute; is_closed: it came with an event that closes it."""
    return checked(
        DisputeFacts(
            as_of=as_of,
            is_closed=True if is_closed else None,
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
    )


def parse_fraud_warning(warning: StripeObject, *, as_of: int | None = None) -> FraudWarningFacts:
    """Reduce an EarlyFraudWarning; older API versions leave out its payment intent."""
    return checked(
        FraudWarningFacts(
            as_of=as_of,
            warning_id=warning["id"],
            intent_id=_id(warning.get("payment_intent")),
            fraud_type=one_line(warning.get("fraud_type")) or "misc",
            is_actionable=bool(warning["actionable"]),
        )
    )


def parse_review(review: StripeObject, *, as_of: int | None = None) -> ReviewFacts:
    """Reduce a Review: not where its customer was, nor with what."""
    return checked(
        ReviewFacts(
            as_of=as_of,
            review_id=review["id"],
            intent_id=_id(review.get("payment_intent")),
            is_open=bool(review["open"]),
            opened_reason=one_line(review.get("opened_reason")) or "unknown",
            closed_reason=one_line(review.get("closed_reason")),
        )
    )


def _id(thing: Any) -> str | None:
    return thing.get("id") if isinstance(thing, Mapping) else thing
