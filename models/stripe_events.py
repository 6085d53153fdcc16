"""Every type of Stripe's events, and what is done with it: the one table of code, docs and the endpoint.

A test holds it against the types that the installed SDK knows. docs/stripe-events.md is printed from it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class EventUse(StrEnum):
    """What is done with a type of events."""

    APPLIED = "applied"
    """Its facts go to the payment that it belongs to."""
    NOTED = "noted"
    """It changes no payment; operators find it in the audit."""
    IGNORED = "ignored"
    """It is counted, and no more."""
    UNDECIDED = "undecided"
    """The table does not have it: it is counted and logged."""


class EventTypeRule(NamedTuple):
    """A row of the table. why: what it is used for, or why it is not used."""

    use: EventUse
    why: str


def _applied(why: str) -> EventTypeRule:
    return EventTypeRule(EventUse.APPLIED, why)


def _noted(why: str) -> EventTypeRule:
    return EventTypeRule(EventUse.NOTED, why)


def _ignored(why: str) -> EventTypeRule:
    return EventTypeRule(EventUse.IGNORED, why)


_INTENT_TELLS: Final = _ignored("the event of its payment intent says the same")
_DISPUTE_TELLS: Final = _ignored("what is withdrawn follows from the dispute's status")
_PAYOUT: Final = _ignored("a payout is no order's; it went as planned")

EVENT_TYPE_RULES: Final[Mapping[str, EventTypeRule]] = {
    "payment_intent.succeeded": _applied("the payment is COMPLETED"),
    "payment_intent.payment_failed": _applied("the attempt has failed"),
    "payment_intent.canceled": _applied("the payment is CANCELLED"),
    "payment_intent.processing": _applied("the bank has not decided yet"),
    "payment_intent.requires_action": _applied("the customer's bank asks"),
    "payment_intent.created": _ignored(
        "the answer to our own request tells it; the search for payment intents of no order finds others"
    ),
    "payment_intent.amount_capturable_updated": _noted(
        "an amount waits to be captured: payments are captured at once, so this was made by hand at Stripe"
    ),
    "payment_intent.partially_funded": _noted(
        "a part of a bank transfer has come, and none is offered: made by hand at Stripe"
    ),
    "refund.created": _applied("a refund, those made at Stripe by hand too"),
    "refund.updated": _applied("how a refund goes on"),
    "refund.failed": _applied("the money is not back"),
    "charge.refunded": _applied(
        "all refunds are looked up; endpoints of API versions before 2024-10-28 get no refund.created"
    ),
    "charge.refund.updated": _applied(
        "how a refund goes on; endpoints of API versions before 2024-10-28 get no refund.updated"
    ),
    "charge.dispute.created": _applied("a dispute; refunds are blocked"),
    "charge.dispute.updated": _applied("how a dispute goes on"),
    "charge.dispute.closed": _applied("the bank has decided"),
    "charge.dispute.funds_withdrawn": _DISPUTE_TELLS,
    "charge.dispute.funds_reinstated": _DISPUTE_TELLS,
    "charge.captured": _INTENT_TELLS,
    "charge.expired": _INTENT_TELLS,
    "charge.failed": _INTENT_TELLS,
    "charge.pending": _INTENT_TELLS,
    "charge.succeeded": _INTENT_TELLS,
    "charge.updated": _ignored("its receipt is looked up"),
    "radar.early_fraud_warning.created": _applied(
        "operators see it, and can refund before it becomes a dispute"
    ),
    "radar.early_fraud_warning.updated": _applied("whether anything can be done about it still"),
    "review.opened": _applied("operators see it; it is decided at Stripe"),
    "review.closed": _applied("it has been decided"),
    "payout.failed": _noted("Stripe could not pay out: the account's bank details must be checked"),
    "payout.canceled": _noted("a payout was cancelled by hand at Stripe"),
    "payout.created": _PAYOUT,
    "payout.paid": _PAYOUT,
    "payout.reconciliation_completed": _PAYOUT,
    "payout.updated": _PAYOUT,
}
"""Type -> rule, of all types that can concern a payment."""

_NO_CUSTOMERS: Final = "no customers and no saved payment methods are kept at Stripe"
_NO_BILLING: Final = "nothing is billed: orders are paid by payment intents"
_NO_CONNECT: Final = "the account's money is not divided among connected accounts"
_NO_TREASURY: Final = "cards and accounts that Stripe issues; none are"
_ACCOUNT: Final = "the account itself; a payment that it prevents fails with MisconfiguredError"
_SUMS: Final = (
    "the account's balance; the reconciliation compares single charges, refunds and disputes"
)
_OTHER: Final = "a product of Stripe's that takes no part in payments here"

EVENT_GROUP_REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("cash_balance", "customer", "customer_cash_balance_transaction", "mandate", "payment_method",
         "setup_intent", "source"),
        _NO_CUSTOMERS,
    ),
    **dict.fromkeys(
        ("billing", "billing_portal", "coupon", "credit_note", "entitlements", "invoice",
         "invoice_payment", "invoiceitem", "plan", "price", "product", "promotion_code", "quote",
         "subscription_schedule", "tax", "tax_rate"),
        _NO_BILLING,
    ),
    **dict.fromkeys(
        ("checkout", "payment_link"),
        "Stripe's own pages; orders are paid on ours, by payment intents, whose events tell what happened",
    ),
    **dict.fromkeys(("application_fee", "person", "transfer"), _NO_CONNECT),
    **dict.fromkeys(
        ("issuing_authorization", "issuing_card", "issuing_cardholder", "issuing_dispute",
         "issuing_personalization_design", "issuing_token", "issuing_transaction", "treasury"),
        _NO_TREASURY,
    ),
    **dict.fromkeys(("account", "capability"), _ACCOUNT),
    **dict.fromkeys(("balance", "balance_settings", "reserve", "topup"), _SUMS),
    "three_d_secure": "3-D Secure of other processors' payments; of ours, the payment intent tells",
    **dict.fromkeys(
        ("apps", "climate", "file", "financial_connections", "identity", "reporting", "sigma",
         "terminal", "test_helpers"),
        _OTHER,
    ),
}  # fmt: skip
"""First word of a type -> why no type that begins so concerns a payment."""

_OTHER_GROUP: Final = EventTypeRule(EventUse.UNDECIDED, "")

APPLIED_EVENT_TYPES: Final = tuple(
    kind for kind, rule in EVENT_TYPE_RULES.items() if rule.use is EventUse.APPLIED
)
"""Those whose facts go to a payment."""
ENDPOINT_EVENT_TYPES: Final = tuple(
    kind
    for kind, rule in EVENT_TYPE_RULES.items()
    if rule.use in {EventUse.APPLIED, EventUse.NOTED}
)
"""What the webhook endpoint is to be subscribed to: Stripe's `enabled_events`."""


def rule_of_event_type(kind: str) -> EventTypeRule:
    """What is done with a type of events; UNDECIDED for one that the table does not have."""
    group = EVENT_GROUP_REASONS.get(kind.partition(".")[0])
    if group is not None:
        return EventTypeRule(EventUse.IGNORED, group)
    return EVENT_TYPE_RULES.get(kind, _OTHER_GROUP)
