"""The JSON bodies of the control API, one model a request; unknown fields are refused."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Regex = Annotated[str, AfterValidator(_compiles)]
Times = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
Amount = Annotated[int, Field(ge=1)]


class Body(BaseModel):
    """A request's JSON."""

    model_config = ConfigDict(extra="forbid")


class FaultBody(Body):
    """See `faults.Fault` and `faults.KINDS`."""

    kind: Literal[
        "latency",
        "hold",
        "timeout_before",
        "timeout_after",
        "error_500_before",
        "error_500_after",
        "rate_limit",
        "drop_before",
        "drop_after",
    ]
    method: Literal["GET", "POST", "DELETE"] | None = None
    path: Regex = ""
    idempotency_key: Regex | None = None
    times: Times | None = 1
    seconds: Seconds = 1.0
    code: Literal["rate_limit", "lock_timeout", "payment_intent_rate_limit_exceeded"] = "rate_limit"


class ReleaseFaultBody(Body):
    """One fault of kind hold, or all."""

    id: str | None = None


class RuleBody(Body):
    """See `webhooks.DeliveryRule`."""

    kind: Literal["lose", "delay", "duplicate", "hold", "reorder"]
    events: Regex = "."
    payment_intent: str | None = None
    times: Times | None = 1
    delay_s: Seconds = 1.0
    copies: Annotated[int, Field(ge=2, le=100)] = 2
    batch: Annotated[int, Field(ge=2, le=1000)] = 2


class ReleaseBody(Body):
    """Which held deliveries, and in what order."""

    order: Literal["fifo", "reverse"] = "fifo"
    events: Regex = "."


class RedeliverBody(Body):
    """An event to send again."""

    event: str


class RollSecretBody(Body):
    """An endpoint, and its newer secret (made up when missing)."""

    webhook_endpoint: str
    secret: str | None = None


class SettingsBody(Body):
    """What can be set while it runs."""

    settle_delay_s: Seconds | None


class SettleBody(Body):
    """A processing PaymentIntent or a refund, and how it ends; `reason` of a refund's failure."""

    payment_intent: str | None = None
    refund: str | None = None
    outcome: Literal["succeed", "fail"] | None = None
    reason: Literal[
        "charge_for_pending_refund_disputed",
        "declined",
        "expired_or_canceled_card",
        "insufficient_funds",
        "lost_or_stolen_card",
        "merchant_request",
        "unknown",
    ] = "expired_or_canceled_card"


class DashboardRefundBody(Body):
    """A PaymentIntent, and how much of it (minor units; all that is left when missing)."""

    payment_intent: str
    amount: Amount | None = None


class DisputeBody(Body):
    """A paid PaymentIntent to dispute; amount in minor units, all that is left when missing."""

    payment_intent: str
    reason: Literal[
        "bank_cannot_process",
        "check_returned",
        "credit_not_processed",
        "customer_initiated",
        "debit_not_authorized",
        "duplicate",
        "fraudulent",
        "general",
        "incorrect_account_details",
        "insufficient_funds",
        "noncompliant",
        "product_not_received",
        "product_unacceptable",
        "subscription_canceled",
        "unrecognized",
    ] = "fraudulent"
    inquiry: bool = False
    amount: Amount | None = None


class CloseDisputeBody(Body):
    """A dispute, and what the bank decides; warning_closed is for inquiries."""

    dispute: str
    outcome: Literal["won", "lost", "warning_closed"]


class FraudWarningBody(Body):
    """A paid PaymentIntent, and what its card's issuer says of it."""

    payment_intent: str
    fraud_type: Literal[
        "card_never_received",
        "fraudulent_card_application",
        "made_with_counterfeit_card",
        "made_with_lost_card",
        "made_with_stolen_card",
        "misc",
        "unauthorized_use_of_card",
    ] = "unauthorized_use_of_card"


class ReviewBody(Body):
    """A charged PaymentIntent that is to be looked at, and why."""

    payment_intent: str
    reason: Literal["rule", "manual"] = "rule"


class CloseReviewBody(Body):
    """A review, and what was decided."""

    review: str
    reason: Literal["approved", "redacted", "canceled", "acknowledged"] = "approved"


class ExpireBody(Body):
    """One of these; idempotency_key "*" is all keys."""

    payment_intent: str | None = None
    confirmation_token: str | None = None
    idempotency_key: str | None = None


class TokenBody(Body):
    """A test card's number, a pm_card_... or pm_usBankAccount_... name, or bancontact."""

    card: str
    return_url: str | None = None


class ChallengeBody(Body):
    """What the customer does on the 3-D Secure page."""

    outcome: Literal["succeed", "fail"]
