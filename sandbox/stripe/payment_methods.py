"""PaymentMethods and ConfirmationTokens: how a customer's card or bank account is named."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

from sandbox.stripe import cards
from sandbox.stripe.cards import Behaviour
from sandbox.stripe.errors import StripeError, invalid
from sandbox.stripe.objects import NO_ADDRESS, billing_details
from sandbox.stripe.params import (
    EXPAND,
    Params,
    Parser,
    anything,
    choice,
    fields,
    metadata,
    text,
    unsettable_text,
)
from sandbox.stripe.state import Resource, State, new_id, now

TOKEN_LIFETIME_S = 12 * 3600

BILLING_DETAILS = fields(
    address=fields(**dict.fromkeys(NO_ADDRESS, unsettable_text)),
    email=unsettable_text,
    name=unsettable_text,
    phone=unsettable_text,
    tax_id=unsettable_text,
)
METHOD_FIELDS: dict[str, Parser] = {
    "type": choice("card", "us_bank_account", "bancontact"),
    "card": fields(
        number=text, exp_month=text, exp_year=text, cvc=text, token=text, networks=anything
    ),
    "us_bank_account": fields(
        account_holder_type=text, account_number=text, account_type=text, routing_number=text
    ),
    "bancontact": fields(),
    "billing_details": BILLING_DETAILS,
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "metadata": metadata,
}
METHOD_DATA = fields(("type",), **METHOD_FIELDS)
CREATE_METHOD = fields(("type",), **METHOD_FIELDS, **EXPAND)
CREATE_TOKEN = fields(
    payment_method=text,
    payment_method_data=METHOD_DATA,
    return_url=text,
    setup_future_usage=choice("off_session", "on_session"),
    shipping=anything,
    mandate_data=anything,
    use_stripe_sdk=text,
    **EXPAND,
)

RAW_CARD = (
    "Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you "
    "use test tokens that map to the test card you are using, see "
    "https://docs.stripe.com/testing. To enable testing raw card data APIs, see "
    "https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis."
)

ACCOUNTS = {
    "000123456789": "pm_usBankAccount_success",
    "000000000009": "pm_usBankAccount_processing",
    "000111111113": "pm_usBankAccount_accountClosed",
    "000111111116": "pm_usBankAccount_noAccount",
    "000222222227": "pm_usBankAccount_insufficientFunds",
    "000333333335": "pm_usBankAccount_debitNotAuthorized",
    "000555555559": "pm_usBankAccount_dispute",
}


def refuse_card_number(params: Params) -> None:
    """Refuse a card number sent with a secret key: only the browser may send one."""
    for data in (params, params.get("payment_method_data") or {}):
        if "number" in (data.get("card") or {}):
            raise StripeError(402, "invalid_request_error", RAW_CARD)


def create(state: State, params: Params) -> Resource:
    """A PaymentMethod from a card (number, exp_month, exp_year, cvc), a US bank account, or Bancontact.

    Raises Stripe's card errors for a number that is none, or a date that is past.
    """
    if params["type"] == "card":
        card, behaviour = _card(params.get("card") or {})
        return _store(state, params, {"card": card}, behaviour)
    if params["type"] == "bancontact":
        if not (params.get("billing_details") or {}).get("name"):
            raise invalid(
                "Missing required param: billing_details[name].",
                code="parameter_missing",
                param="billing_details[name]",
            )
        return _store(state, params, {"bancontact": {}}, cards.AUTHENTICATE)
    account = params.get("us_bank_account") or {}
    name = ACCOUNTS.get(account.get("account_number", "000123456789"))
    if name is None:
        raise invalid("Invalid account number", param="us_bank_account[account_number]")
    return _bank_account(state, name, params)


def named(state: State, id_: str) -> Resource:
    """The PaymentMethod of this id; a `pm_card_...` name makes a new one each time, as Stripe's."""
    if id_ in cards.PAYMENT_METHODS:
        return for_card_number(state, cards.PAYMENT_METHODS[id_])
    if id_ in cards.BANK_ACCOUNTS:
        return _bank_account(state, id_, {"type": "us_bank_account"})
    return state.get("payment_method", id_, param="payment_method")


def for_card_number(state: State, number: str) -> Resource:
    """A PaymentMethod of a card number with a valid date and code."""
    card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    return create(state, {"type": "card", "card": card})


def _card(given: dict[str, Any]) -> tuple[Resource, Behaviour]:
    number = re.sub(r"[\s-]", "", given.get("number", ""))
    if not cards.is_card_number(number):
        raise _card_error("incorrect_number", "number", "Your card number is incorrect.")
    month, year = _expiry(given)
    if given.get("cvc") is not None and not re.fullmatch(r"\d{3,4}", given["cvc"]):
        raise _card_error("invalid_cvc", "cvc", "Your card's security code is invalid.")
    network = cards.brand(number)
    behaviour = cards.CARDS.get(number, Behaviour(decline=cards.NOT_A_TEST_CARD))
    card = {
        "brand": network,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "IN" if number == cards.PAYMENT_METHODS["pm_card_in"] else "US",
        "display_brand": network,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": hashlib.sha256(number.encode()).hexdigest()[:16],
        "funding": "credit",
        "generated_from": None,
        "last4": number[-4:],
        "networks": {"available": [network], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": network != "amex"},
        "wallet": None,
    }
    return card, behaviour


def _expiry(given: dict[str, Any]) -> tuple[int, int]:
    month, year = given.get("exp_month", ""), given.get("exp_year", "")
    if not re.fullmatch(r"0?[1-9]|1[0-2]", month):
        raise _card_error(
            "invalid_expiry_month", "exp_month", "Your card's expiration month is invalid."
        )
    full_year = int(year) + (2000 if len(year) == 2 else 0) if year.isdecimal() else 0
    today = time.gmtime()
    if not today.tm_year <= full_year <= today.tm_year + 50 or (
        full_year == today.tm_year and int(month) < today.tm_mon
    ):
        raise _card_error(
            "invalid_expiry_year", "exp_year", "Your card's expiration year is invalid."
        )
    return int(month), full_year


def _card_error(code: str, param: str, message: str) -> StripeError:
    return StripeError(402, "card_error", message, code=code, param=param)


def _bank_account(state: State, name: str, params: Params) -> Resource:
    account = {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": hashlib.sha256(name.encode()).hexdigest()[:16],
        "last4": next(number for number, pm in ACCOUNTS.items() if pm == name)[-4:],
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }
    return _store(state, params, {"us_bank_account": account}, cards.BANK_ACCOUNTS[name])


def _store(state: State, params: Params, details: Resource, behaviour: Behaviour) -> Resource:
    method: Resource = {
        "id": new_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": params.get("allow_redisplay", "unspecified"),
        "billing_details": billing_details(params.get("billing_details")),
        **details,
        "created": now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "type": params["type"],
    }
    state.payment_methods[method["id"]] = method
    state.behaviours[method["id"]] = behaviour
    return method


def create_token(state: State, params: Params, *, from_browser: bool) -> Resource:
    """A ConfirmationToken: what the page hands to the server instead of a card."""
    if "payment_method" in params:
        method = named(state, params["payment_method"])
    elif "payment_method_data" in params:
        method = create(state, params["payment_method_data"])
    else:
        raise invalid(
            "Missing required param: payment_method_data.",
            code="parameter_missing",
            param="payment_method_data",
        )
    hidden = ("id", "object", "created", "livemode", "metadata")
    token: Resource = {
        "id": new_id("ctoken_"),
        "object": "confirmation_token",
        "created": now(),
        "expires_at": now() + TOKEN_LIFETIME_S,
        "livemode": False,
        "mandate_data": params.get("mandate_data"),
        "payment_intent": None,
        "payment_method_options": None,
        "payment_method_preview": {
            key: value for key, value in method.items() if key not in hidden
        },
        "return_url": params.get("return_url"),
        "setup_future_usage": params.get("setup_future_usage"),
        "setup_intent": None,
        "shipping": params.get("shipping"),
        "use_stripe_sdk": from_browser,
    }
    state.confirmation_tokens[token["id"]] = token
    state.token_payment_methods[token["id"]] = method["id"]
    return token


def use_token(state: State, id_: str, intent: Resource) -> Resource:
    """The PaymentMethod of a token, which is used up by it; once only, within its 12 hours."""
    token = state.get("confirmation_token", id_, param="confirmation_token")
    if token["payment_intent"] is not None:
        raise invalid(
            f"The ConfirmationToken {id_} was already used to confirm a PaymentIntent. "
            "Create a new ConfirmationToken.",
            code="resource_already_exists",
            param="confirmation_token",
        )
    if token["expires_at"] <= now():
        raise invalid(
            f"The ConfirmationToken {id_} has expired.",
            code="resource_missing",
            param="confirmation_token",
        )
    token["payment_intent"] = intent["id"]
    return state.get("payment_method", state.token_payment_methods[id_])
