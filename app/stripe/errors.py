"""The gateway's errors: what an answer of Stripe's, or the lack of one, means for the request."""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import stripe

from app.stripe.http_client import NOT_SENT
from models.errors import StripeUnavailableError
from models.stripe_facts import IntentFacts, parse_intent
from models.times import TIMES_END_MS

DECLINE_CODES: Final = frozenset(
    {
        "payment_intent_authentication_failure", "payment_intent_payment_attempt_failed",
        "payment_intent_payment_attempt_expired", "payment_method_customer_decline",
        "payment_method_provider_decline", "payment_method_provider_timeout",
    }
)  # fmt: skip
"""Invalid requests by type, but the customer's payment failed."""

CONFLICT_CODES: Final = frozenset(
    {
        "payment_intent_unexpected_state", "charge_already_captured", "charge_already_refunded",
        "charge_disputed", "charge_expired_for_capture", "charge_not_refundable",
        "intent_invalid_state", "payment_intent_action_required", "refund_disputed_payment",
    }
)  # fmt: skip
"""The object has moved on: the request was right, and too late."""

OBJECT_LIMIT_CODES: Final = frozenset({"lock_timeout", "payment_intent_rate_limit_exceeded"})
"""About one object (1,000 updates of a payment intent an hour), not about our rate: only that object waits.

Source: https://docs.stripe.com/rate-limits
"""

MISCONFIGURED_CODES: Final = frozenset(
    {
        "account_invalid", "api_key_expired", "livemode_mismatch", "platform_api_key_expired",
        "platform_account_required", "secret_key_required", "testmode_charges_only",
    }
)  # fmt: skip
"""Nothing about this request is wrong, everything about our account or keys is."""

IDEMPOTENCY_MISMATCH: Final = "idempotency_error"
"""A key was sent again with another body; nothing was executed."""


class GatewayError(Exception):
    """A request to Stripe did not succeed. code: Stripe's; message: Stripe's words for people."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.message = code, message


class DeclinedError(GatewayError):
    """The customer's payment failed. intent: with its last_payment_error, where Stripe sent it."""

    def __init__(self, code: str, message: str, intent: IntentFacts | None) -> None:
        super().__init__(code, message)
        self.intent = intent


class StateConflictError(GatewayError):
    """The object is in a state that forbids the request; look at it."""


class InvalidError(GatewayError):
    """Stripe will never accept this request."""


class RetryableError(GatewayError, StripeUnavailableError):
    """Nothing was executed: it never left, was refused by the rate, or its key is in use."""

    def __init__(
        self, code: str, *, throttled: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code)
        self.throttled, self.retry_after_s = throttled, retry_after_s


class UnknownOutcomeError(GatewayError, StripeUnavailableError):
    """It may have been executed: a time-out, a lost connection, a 5xx.

    is_stored: Stripe itself answered 500, which it keeps for the idempotency key.
    is_replayed: and this was such a kept answer already.
    """

    def __init__(self, code: str, *, is_stored: bool = False, is_replayed: bool = False) -> None:
        super().__init__(code)
        self.is_stored, self.is_replayed = is_stored, is_replayed


class MisconfiguredError(GatewayError, StripeUnavailableError):
    """Our key, account or base address is wrong: nothing works until somebody repairs it."""


def classify(error: stripe.StripeError, took_s: float = 0.0) -> GatewayError:
    """Say what an error of the SDK means. Carries over no body and no message that could hold one.

    took_s: how long the answer took.
    """
    details = _details(error)
    code = str(details.get("code") or details.get("type") or type(error).__name__)
    message = str(details.get("message") or "")
    match error:
        case stripe.APIConnectionError():
            cause = type(error.__cause__).__name__
            was_sent = not isinstance(error.__cause__, NOT_SENT)
            return UnknownOutcomeError(cause) if was_sent else RetryableError(cause)
        case stripe.RateLimitError():
            is_of_object = _header(error, "stripe-rate-limited-reason") == "resource-specific"
            throttled = code not in OBJECT_LIMIT_CODES and not is_of_object
            return RetryableError(code, throttled=throttled, retry_after_s=_retry_after_s(error))
        case stripe.AuthenticationError() | stripe.PermissionError():
            return MisconfiguredError(code)
        case stripe.CardError():
            return DeclinedError(code, message, _intent(error, details, took_s))
        case stripe.IdempotencyError():
            return InvalidError(IDEMPOTENCY_MISMATCH, message)
        case stripe.InvalidRequestError():
            return _classify_invalid(error, code, message, details, took_s)
    return _classify_status(error, code, is_stripes=bool(details))


def _classify_invalid(
    error: stripe.StripeError,
    code: str,
    message: str,
    details: Mapping[str, Any],
    took_s: float,
) -> GatewayError:
    if code in DECLINE_CODES or details.get("type") == "card_error":
        return DeclinedError(code, message, _intent(error, details, took_s))
    if code in CONFLICT_CODES:
        return StateConflictError(code, message)
    if code in MISCONFIGURED_CODES:
        return MisconfiguredError(code)
    return InvalidError(code, message)


def _classify_status(error: stripe.StripeError, code: str, *, is_stripes: bool) -> GatewayError:
    status = error.http_status or 0
    if status == 409:
        return RetryableError(code)  # idempotency_key_in_use: the first request still runs
    if 400 <= status < 500:
        return MisconfiguredError(f"HTTP {status}")  # no answer of Stripe's has this form
    replayed = _header(error, "idempotent-replayed") == "true"
    # A proxy's 502 is nothing that Stripe keeps.
    is_stored = replayed or (is_stripes and status == 500)
    return UnknownOutcomeError(f"HTTP {status}", is_stored=is_stored, is_replayed=replayed)


def _details(error: stripe.StripeError) -> Mapping[str, Any]:
    body = error.json_body
    details = body.get("error") if isinstance(body, Mapping) else None
    return details if isinstance(details, Mapping) else {}


def _intent(
    error: stripe.StripeError, details: Mapping[str, Any], took_s: float
) -> IntentFacts | None:
    intent = details.get("payment_intent")
    if not isinstance(intent, Mapping):
        return None
    return parse_intent(intent, as_of=answer_time(error.headers, took_s))


def answer_time(headers: Mapping[str, str] | None, took_s: float) -> int | None:
    """When Stripe looked at what it answers, by its own clock: at the earliest, in seconds since the epoch.

    Its Date header tells when the answer was ready, took_s how long that took at most. None where it does not
    say so, and for an answer that it repeats for an idempotency key: that one is as old as the first.
    """
    known = headers or {}
    try:
        ready_s = int(parsedate_to_datetime(known["date"]).timestamp())
    except (KeyError, ValueError):
        return None
    at_s = ready_s - math.ceil(took_s)
    is_time = 0 <= at_s < TIMES_END_MS // 1000
    return at_s if is_time and known.get("idempotent-replayed") != "true" else None


def _header(error: stripe.StripeError, name: str) -> str:
    return str((error.headers or {}).get(name, ""))


def _retry_after_s(error: stripe.StripeError) -> float | None:
    seconds = _header(error, "retry-after")
    return float(seconds) if seconds.isdecimal() else None
