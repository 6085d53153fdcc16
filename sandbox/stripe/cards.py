"""Stripe's documented test cards and bank accounts, as data: what each does when it is charged.

Source: docs.stripe.com/testing. `CARDS` is keyed by card number, `PAYMENT_METHODS` maps Stripe's
`pm_card_*` names to numbers, `BANK_ACCOUNTS` its `pm_usBankAccount_*` names to what they do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payment fails: Stripe's error code, the issuer's decline code, the customer's text."""

    code: str
    decline_code: str | None
    message: str
    advice_code: str | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a payment method does.

    authenticate: 3-D Secure comes first. decline: the charge then fails. settles: how a bank
    account's charge, which stays in processing, ends when it settles. refund: how its refunds
    go. dispute: the reason of the dispute that a successful charge gets at once.
    """

    authenticate: bool = False
    decline: Decline | None = None
    settles: Literal["at_once", "succeeds", "fails", "never"] = "at_once"
    refund: Literal["succeeds", "pending", "fails_later"] = "succeeds"
    dispute: str | None = None
    inquiry: bool = False


def _card_declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", decline_code, message, "try_again_later")


GENERIC = _card_declined("generic_decline")
INSUFFICIENT_FUNDS = _card_declined("insufficient_funds", "Your card has insufficient funds.")
PROCESSING_ERROR = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
)
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.")
INCORRECT_CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. For a list "
    "of valid test cards, visit: https://docs.stripe.com/testing.",
)

OK = Behaviour()
AUTHENTICATE = Behaviour(authenticate=True)

CARDS: dict[str, Behaviour] = {
    # payments that succeed
    "4242424242424242": OK,
    "4000056655665556": OK,
    "5555555555554444": OK,
    "5200828282828210": OK,
    "378282246310005": OK,
    "6011111111111117": OK,
    "3056930009020004": OK,
    "3566002020360505": OK,
    "6200000000000005": OK,
    "4000003560000008": OK,
    "4000000000000077": OK,
    # declines
    "4000000000000002": Behaviour(decline=GENERIC),
    "4000000000009995": Behaviour(decline=INSUFFICIENT_FUNDS),
    "4000000000009987": Behaviour(decline=_card_declined("lost_card")),
    "4000000000009979": Behaviour(decline=_card_declined("stolen_card")),
    "4000000000000069": Behaviour(decline=EXPIRED),
    "4000000000000127": Behaviour(decline=INCORRECT_CVC),
    "4000000000000119": Behaviour(decline=PROCESSING_ERROR),
    "4000000000006975": Behaviour(decline=_card_declined("card_velocity_exceeded")),
    "4000000000000341": Behaviour(decline=GENERIC),
    "4100000000000019": Behaviour(decline=_card_declined("fraudulent")),
    # 3-D Secure
    "4000002500003155": AUTHENTICATE,
    "4000002760003184": AUTHENTICATE,
    "4000000000003220": AUTHENTICATE,
    "4000008260003178": Behaviour(authenticate=True, decline=INSUFFICIENT_FUNDS),
    "4000008400001629": Behaviour(authenticate=True, decline=GENERIC),
    "4000000000003055": OK,
    # refunds
    "4000000000007726": Behaviour(refund="pending"),
    "4000000000005126": Behaviour(refund="fails_later"),
    # disputes
    "4000000000000259": Behaviour(dispute="fraudulent"),
    "4000000000002685": Behaviour(dispute="product_not_received"),
    "4000000000001976": Behaviour(dispute="fraudulent", inquiry=True),
}

PAYMENT_METHODS: dict[str, str] = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_mastercard_debit": "5200828282828210",
    "pm_card_amex": "378282246310005",
    "pm_card_discover": "6011111111111117",
    "pm_card_diners": "3056930009020004",
    "pm_card_jcb": "3566002020360505",
    "pm_card_unionpay": "6200000000000005",
    "pm_card_in": "4000003560000008",
    "pm_card_bypassPending": "4000000000000077",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_chargeDeclinedFraudulent": "4100000000000019",
    "pm_card_radarBlock": "4100000000000019",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_visa_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_threeDSecure2Required": "4000000000003220",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "pm_card_threeDSecureRequiredChargeDeclined": "4000008400001629",
    "pm_card_threeDSecureOptional": "4000000000003055",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeProductNotReceived": "4000000000002685",
    "pm_card_createDisputeInquiry": "4000000000001976",
}


def _bank(**behaviour: object) -> Behaviour:
    # A bank debit's refunds are never instant.
    return replace(Behaviour(settles="succeeds", refund="pending"), **behaviour)  # type: ignore[arg-type]


def _returned(code: str, message: str) -> Behaviour:
    return _bank(settles="fails", decline=Decline(code, None, message))


BANK_ACCOUNTS: dict[str, Behaviour] = {
    "pm_usBankAccount_success": _bank(),
    "pm_usBankAccount_processing": _bank(settles="never"),
    "pm_usBankAccount_accountClosed": _returned(
        "account_closed", "The customer's bank account has been closed."
    ),
    "pm_usBankAccount_noAccount": _returned(
        "no_account", "The customer's bank account could not be located."
    ),
    "pm_usBankAccount_insufficientFunds": _returned(
        "insufficient_funds", "The customer's account has insufficient funds."
    ),
    "pm_usBankAccount_debitNotAuthorized": _returned(
        "debit_not_authorized",
        "The customer has notified their bank that this payment was unauthorized.",
    ),
    "pm_usBankAccount_dispute": _bank(dispute="debit_not_authorized"),
}

BRANDS = (
    ("4", "visa"),
    ("5", "mastercard"),
    ("34", "amex"),
    ("37", "amex"),
    ("35", "jcb"),
    ("30", "diners"),
    ("62", "unionpay"),
    ("6", "discover"),
)


def brand(number: str) -> str:
    """The network of a card number, as Stripe names it."""
    return next((name for prefix, name in BRANDS if number.startswith(prefix)), "unknown")


def is_card_number(digits: str) -> bool:
    """13 to 19 digits whose Luhn sum is right."""
    if not (digits.isdecimal() and 13 <= len(digits) <= 19):
        return False
    sums = (
        int(digit) if place % 2 == 0 else sum(divmod(int(digit) * 2, 10))
        for place, digit in enumerate(reversed(digits))
    )
    return sum(sums) % 10 == 0
