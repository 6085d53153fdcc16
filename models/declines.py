"""Why a payment failed, in words for the customer; and what not to tell: a thief learns nothing here."""

from typing import Final

GENERIC: Final = "Your card was declined. Try another card, or ask your bank."

WORDS: Final[dict[str, str]] = {
    "insufficient_funds": "Your card has insufficient funds. Try another card.",
    "expired_card": "Your card has expired. Try another card.",
    "incorrect_cvc": "The security code is incorrect. Check it and try again.",
    "invalid_cvc": "The security code is incorrect. Check it and try again.",
    "incorrect_number": "The card number is incorrect. Check it and try again.",
    "invalid_number": "The card number is incorrect. Check it and try again.",
    "invalid_expiry_month": "The expiry date is incorrect. Check it and try again.",
    "invalid_expiry_year": "The expiry date is incorrect. Check it and try again.",
    "incorrect_zip": "The postal code does not match the card's. Check it and try again.",
    "processing_error": "The card could not be processed. Try again in a moment.",
    "try_again_later": "The card could not be processed. Try again in a moment.",
    "issuer_not_available": "Your bank can't be reached. Try again in a moment.",
    "card_not_supported": "This card does not support this kind of purchase. Try another card.",
    "currency_not_supported": "This card does not support the currency. Try another card.",
    "card_velocity_exceeded": "This card has reached its limit. Try another card.",
    "withdrawal_count_limit_exceeded": "This card has reached its limit. Try another card.",
    "authentication_required": "Your bank needs you to confirm the payment. Try again.",
    "payment_intent_authentication_failure": "Your bank could not confirm that it was you. Try again.",
    "test_mode_live_card": "This is a test: use one of Stripe's test cards.",
    "NOT_SUBMITTED": "The payment did not reach your bank, and you have not been charged. Try again.",
    "ACTION_ABANDONED": "You did not finish confirming the payment with your bank. Try again.",
    "INVALID_REQUEST": "These payment details can't be used. Enter them again.",
}
"""Failure reason (Stripe's decline code or error code, or one of ours) -> words.

Lost, stolen, fraudulent and the like get the generic words, as Stripe asks (docs: declines/codes).
"""

GENERIC_CODE: Final = "generic_decline"
CUSTOMER_DECLINE_CODES: Final = frozenset(WORDS) | {GENERIC_CODE, "card_declined"}


def customer_decline_code(reason: str | None) -> str | None:
    """The reason as customers may read it: a code whose words say no less, else the generic one."""
    return reason if reason is None or reason in CUSTOMER_DECLINE_CODES else GENERIC_CODE


def decline_text(reason: str | None) -> str | None:
    """The words for a reason; None for none."""
    return None if reason is None else WORDS.get(reason, GENERIC)
