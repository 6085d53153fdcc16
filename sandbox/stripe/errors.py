"""Errors of the Stripe stand-in: what a handler raises, and the body that Stripe would send."""

from __future__ import annotations

from typing import Any

DOCS = "https://docs.stripe.com/error-codes"


class StripeError(Exception):
    """An answer of the API that is not a 200.

    `status` is the HTTP status, `body` Stripe's JSON. Raised while the parameters are validated
    it is not kept for the idempotency key; raised by a handler it is the key's first answer.
    """

    def __init__(self, status: int, type_: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        error = {name: value for name, value in details.items() if value is not None}
        if "code" in error:
            error["doc_url"] = f"{DOCS}/{error['code'].replace('_', '-')}"
        self.body = {"error": {**error, "message": message, "type": type_}}


def invalid(message: str, *, code: str | None = None, **details: Any) -> StripeError:
    """400 invalid_request_error."""
    return StripeError(400, "invalid_request_error", message, code=code, **details)


def no_such(resource: str, id_: str, *, param: str = "id") -> StripeError:
    """404 resource_missing for an object named in the path; 400 for one named in a parameter."""
    return StripeError(
        404 if param == "id" else 400,
        "invalid_request_error",
        f"No such {resource}: '{id_}'",
        code="resource_missing",
        param=param,
    )


def unauthorized(message: str) -> StripeError:
    """401: no key, a live key, or a key that may not use the route."""
    return StripeError(401, "invalid_request_error", message)


def server_error() -> StripeError:
    """The 500 that a fault puts in place of an answer."""
    return StripeError(
        500,
        "api_error",
        "An unknown error occurred: the stand-in was told to answer 500.",
    )


def rate_limited(code: str) -> StripeError:
    """429; `code` is rate_limit, lock_timeout or payment_intent_rate_limit_exceeded."""
    return StripeError(
        429,
        "invalid_request_error",
        "Request rate limit exceeded."
        if code != "lock_timeout"
        else "This object cannot be accessed right now because another API request or Stripe "
        "process is currently accessing it.",
        code=code,
    )
