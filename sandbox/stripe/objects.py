"""New Stripe objects with exactly the keys of Stripe's own examples, nothing left out.

Keys that only some objects of a resource carry are in `CONDITIONAL_KEYS`, for the tests to know.
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe.errors import invalid
from sandbox.stripe.state import Resource, State, new_id, now

# Documented keys beside those of Stripe's fixture, and when an object has them.
CONDITIONAL_KEYS = {
    "refund": {
        "failure_balance_transaction": "the refund failed",
        "failure_reason": "the refund failed",
        "pending_reason": "the refund is pending",
    },
    "payment_method": {
        "us_bank_account": "instead of `card`, for a bank account",
        "bancontact": "instead of `card`, for Bancontact",
    },
    "webhook_endpoint": {"secret": "in the answer to its creation only"},
}

METHOD_CURRENCIES: dict[str, str | None] = {
    "card": None,
    "us_bank_account": "usd",
    "bancontact": "eur",
}
"""Type -> the one currency that it takes; None: all."""
NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def billing_details(given: dict[str, Any] | None) -> Resource:
    """Stripe's billing_details, with null for what was not given."""
    given = given or {}
    return {
        "address": {**NO_ADDRESS, **(given.get("address") or {})},
        "email": given.get("email"),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "tax_id": given.get("tax_id"),
    }


def payment_intent(amount: int, currency: str, params: dict[str, Any]) -> Resource:
    """A PaymentIntent in requires_payment_method; `amount` in minor units."""
    id_ = new_id("pi_")
    allowed = params.get("allowed_payment_method_types")
    automatic = params.get("automatic_payment_methods") or {}
    enabled = automatic.get("enabled", allowed is None)
    methods = [t for t, only in METHOD_CURRENCIES.items() if only in {None, currency}]
    offered = methods if enabled or allowed is not None else methods[:1]
    # What is allowed but not offered is left out silently.
    types = [t for t in offered if allowed is None or t in allowed]
    if not types:
        raise invalid(
            "No valid payment method types for this Payment Intent. Please ensure that you have "
            "activated payment methods compatible with your chosen currency in your dashboard."
        )
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {
            "allow_redirects": automatic.get("allow_redirects", "always"),
            "enabled": True,
        }
        if enabled
        else None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{id_}_secret_{new_id('')}",
        "confirmation_method": "automatic",
        "created": now(),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": params.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": types,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "shipping": params.get("shipping"),
        "source": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": params.get("transfer_group"),
    }


def charge(state: State, intent: Resource, method: Resource) -> Resource:
    """A pending charge of the PaymentIntent's amount, with a copy of its metadata."""
    # Stripe's ids of charges that are no card's begin with py_.
    id_ = new_id("ch_" if method["type"] == "card" else "py_")
    return {
        "id": id_,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "TIFFIN",
        "captured": False,
        "created": now(),
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "type": method["type"],
            method["type"]: _method_details(intent, method),
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{state.base_url}/receipts/{id_}",
        "refunded": False,
        # Stripe sends the list only where a request expands it.
        "refunds": None,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }


def _method_details(intent: Resource, method: Resource) -> Resource:
    if method["type"] == "bancontact":
        return {
            "bank_code": "VAPE",
            "bank_name": "VAN DE PUT & CO",
            "bic": "VAPEBE22",
            "generated_sepa_debit": None,
            "generated_sepa_debit_mandate": None,
            "iban_last4": "7061",
            "preferred_language": "en",
            "verified_name": method["billing_details"]["name"],
        }
    if method["type"] != "card":
        bank: Resource = method["us_bank_account"]
        return bank
    card = method["card"]
    shared = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding")
    return {
        **{key: card[key] for key in shared},
        "amount_authorized": intent["amount"],
        "authorization_code": "123456",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {
            "maximum_amount_capturable": intent["amount"],
            "status": "unavailable",
        },
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }


def outcome(*, declined_with: str | None, declined: bool) -> Resource:
    """A charge's `outcome`."""
    return {
        "advice_code": "try_again_later" if declined else None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": declined_with,
        "seller_message": "The bank did not return any further details with this decline."
        if declined
        else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def refund(charge_: Resource, amount: int, params: dict[str, Any], status: str) -> Resource:
    """A refund of part of a charge; `amount` in minor units."""
    is_card = charge_["payment_method_details"]["type"] == "card"
    return {
        "id": new_id("re_" if is_card else "pyr_"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge_["id"],
        "created": now(),
        "currency": charge_["currency"],
        "customer": None,
        "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"}
        if is_card
        else {"type": "us_bank_transfer", "us_bank_transfer": {}},
        "metadata": params.get("metadata", {}),
        "payment_intent": charge_["payment_intent"],
        "payment_method": charge_["payment_method"],
        **({"pending_reason": "processing"} if status == "pending" else {}),
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


EVIDENCE = [
    "access_activity_log", "billing_address", "cancellation_policy",
    "cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication",
    "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
    "uncategorized_file", "uncategorized_text",
]  # fmt: skip


def dispute(charge_: Resource, amount: int, reason: str, *, inquiry: bool) -> Resource:
    """A dispute that waits for an answer; an inquiry has not taken the money yet."""
    details = charge_["payment_method_details"]
    network = details["card"]["brand"] if details["type"] == "card" else None
    return {
        "id": new_id("du_"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge_["id"],
        "created": now(),
        "currency": charge_["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now() + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        # Stripe copies nothing: a dispute is found through its payment_intent.
        "metadata": {},
        "payment_intent": charge_["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": network,
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": network,
                "network_reason_code": "10.4",
            },
            "type": "card",
        }
        if network
        else {"type": details["type"]},
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
