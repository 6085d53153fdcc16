"""The stand-in's own account, what Stripe's countries allow, and what a restricted key may do."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.stripe.currencies import SUPPORTED
from sandbox.stripe.errors import StripeError
from sandbox.stripe.params import EXPAND, fields
from sandbox.stripe.state import Resource, State

RETRIEVE = fields(**EXPAND)

CAPABILITIES = (
    "bancontact_payments", "card_payments", "transfers", "us_bank_account_ach_payments",
)  # fmt: skip

PERMISSION_OF: Mapping[str, str] = {
    "account": "connected_account",
    "balance_transaction": "balance",
    "charge": "charge",
    "country_spec": "connected_account",
    "dispute": "dispute",
    "event": "event",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "payment_method_domain": "payment_method_domain",
    "refund": "charge",
    "webhook_endpoint": "webhook",
}
"""Resource -> the name of its permission, before `_read` or `_write`."""


def retrieve(state: State) -> Resource:
    """The account of the key, as the API shows it to its owner."""
    return state.account


def country_spec(state: State, country: str) -> Resource:
    """What an account of a country may charge in, and be paid out in."""
    if country not in {"US", state.account["country"]}:
        raise StripeError(
            404,
            "invalid_request_error",
            f"No such country_spec: '{country}'",
            code="resource_missing",
            param="country",
        )
    default = state.account["default_currency"]
    return {
        "id": country,
        "object": "country_spec",
        "default_currency": default,
        # The stand-in's account is paid out in every currency: see currencies.py.
        "supported_bank_account_currencies": {code: [country] for code in sorted(SUPPORTED)},
        "supported_payment_currencies": sorted(SUPPORTED),
        "supported_payment_methods": ["card", "stripe"],
        "supported_transfer_countries": [country],
        "verification_fields": {
            kind: {"additional": [], "minimum": []} for kind in ("company", "individual")
        },
    }


def check_permission(state: State, key: str, resource: str, method: str) -> None:
    """A 403 for a restricted key that lacks the permission; a key that nobody restricted may do all."""
    granted = state.permissions.get(key)
    if granted is None:
        return
    name = PERMISSION_OF.get(resource, resource)
    wanted = f"{name}_{'read' if method == 'GET' else 'write'}"
    if wanted not in granted and not (method == "GET" and f"{name}_write" in granted):
        raise StripeError(
            403,
            "invalid_request_error",
            f"The provided key '{key[:8]}{'*' * 8}{key[-4:]}' does not have the required permissions "
            f"for this endpoint on account '{state.account['id']}'. Having the 'rak_{wanted}' "
            "permission would allow this request to continue.",
        )


def new_account() -> Resource:
    """A complete account of the United States that takes cards."""
    no_requirements: Resource = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    profile = (
        "mcc", "minority_owned_business_designation", "name", "product_description",
        "support_email", "support_phone", "support_url", "url",
    )  # fmt: skip
    return {
        "id": "acct_1TiffinSandbox00",
        "object": "account",
        "business_profile": {
            **dict.fromkeys(profile),
            "annual_revenue": dict.fromkeys(("amount", "currency", "fiscal_year_end")),
            "estimated_worker_count": None,
            "support_address": address,
        },
        "business_type": None,
        "capabilities": dict.fromkeys(CAPABILITIES, "active"),
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": 1234567890,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@tiffin.example",
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": "/v1/accounts/acct_1TiffinSandbox00/external_accounts",
        },
        "future_requirements": no_requirements,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": no_requirements,
        "settings": _settings(),
        "tos_acceptance": dict.fromkeys(("date", "ip", "user_agent")),
        "type": "standard",
    }


def _settings() -> Resource:
    """How cards, payouts and statements are set up."""
    prefixes = ("statement_descriptor_prefix_kana", "statement_descriptor_prefix_kanji")
    descriptors = (
        "statement_descriptor",
        "statement_descriptor_kana",
        "statement_descriptor_kanji",
    )
    return {
        "bacs_debit_payments": dict.fromkeys(("display_name", "service_user_number")),
        "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
        "card_issuing": {"tos_acceptance": dict.fromkeys(("date", "ip"))},
        "card_payments": {
            "decline_on": {"avs_failure": True, "cvc_failure": True},
            "statement_descriptor_prefix": None,
            **dict.fromkeys(prefixes),
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": dict.fromkeys(("default_account_tax_ids", "hosted_payment_method_save")),
        "payments": dict.fromkeys((*descriptors, *prefixes)),
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }
