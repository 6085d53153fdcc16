"""Problems as RFC 9457 has them: stable codes, their HTTP status and titles."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2

CODES: Final[dict[str, tuple[int, str]]] = {
    # what was sent
    "VALIDATION_FAILED": (400, "A field is missing, unknown or not accepted"),
    "INVALID_JSON": (400, "The body is not JSON that is accepted here"),
    "CARD_NUMBER_REFUSED": (400, "Card numbers are never sent here"),
    "IDEMPOTENCY_KEY_MISSING": (400, "The Idempotency-Key header is required"),
    "IDEMPOTENCY_KEY_INVALID": (400, "The Idempotency-Key header is not accepted"),
    "CONSISTENCY_TOKEN_INVALID": (400, "The consistency token can't be read"),
    "SIGNATURE_MISSING": (400, "The Stripe-Signature header is required"),
    "SIGNATURE_INVALID": (400, "The signature does not match, or is too old"),
    "LIVEMODE_MISMATCH": (400, "The event is of Stripe's other mode"),
    "EVENT_INVALID": (400, "The event lacks what every event of Stripe has"),
    "BAD_REQUEST": (400, "The request can't be read"),
    "NOT_FOUND": (404, "There is nothing here"),
    "LINK_INVALID": (404, "The link is not valid, or too old"),
    "RESTAURANT_UNKNOWN": (404, "There is no such restaurant"),
    "METHOD_NOT_ALLOWED": (405, "This method is not accepted here"),
    "BODY_TOO_SLOW": (408, "The body did not come in time"),
    "BODY_TOO_LARGE": (413, "The body is too large"),
    "CONTENT_TYPE_REFUSED": (415, "This content type is not accepted"),
    "IDEMPOTENCY_KEY_REUSED": (422, "The Idempotency-Key was used with another body"),
    "IDEMPOTENCY_KEY_IN_USE": (409, "The first request with this Idempotency-Key is under way"),
    "IDEMPOTENCY_KEY_EXPIRED": (409, "What this Idempotency-Key led to is not kept any more"),
    "TOO_MANY_REQUESTS": (429, "Too many requests came from this address"),
    "REQUEST_REFUSED": (400, "The request is refused"),
    # who sent it
    "TOKEN_MISSING": (401, "A token is required"),
    "TOKEN_INVALID": (401, "The token is not valid"),
    "WRONG_ORDER": (403, "The token is another order's"),
    "ROLE_REFUSED": (403, "This role may not do that"),
    "ORIGIN_REFUSED": (403, "Pages of this origin may not do that"),
    # decide's refusals
    "DEAD_LETTER_UNKNOWN": (404, "There is no such dead letter"),
    "ORDER_UNKNOWN": (404, "There is no such order"),
    "PAYMENT_UNKNOWN": (404, "There is no such payment"),
    "NOTIFICATION_UNKNOWN": (404, "There is no such notification"),
    "ORDER_EXISTS": (409, "The order was placed before"),
    "ORDER_DELIVERED": (409, "The order is delivered"),
    "ORDER_CANCELLED": (409, "The order is cancelled"),
    "ORDER_REFUNDED": (409, "The order is refunded"),
    "NOT_ALLOWED_NOW": (409, "The order's state does not allow it"),
    "NOT_READY_FOR_PICKUP": (409, "The kitchen has not marked the order ready"),
    "WRONG_RESTAURANT": (403, "The order is another restaurant's"),
    "DELIVERY_UNKNOWN": (404, "The order has no delivery yet"),
    "DELIVERY_CODE_WRONG": (409, "The code is not the customer's"),
    "DELIVERY_CODE_LOCKED": (409, "The code was wrong too often"),
    "COURIER_BUSY": (409, "The courier has as many deliveries as one may have"),
    "WRONG_COURIER": (403, "The delivery is another courier's"),
    "NOTIFICATION_SENT": (409, "The notification was sent"),
    "NOTIFICATION_PENDING": (409, "The notification is being sent"),
    "PAYMENT_NOT_READY": (409, "The payment is not open yet"),
    "PAYMENT_UNDER_WAY": (409, "The payment is being processed"),
    "PAYMENT_CANCELLED": (409, "The payment is cancelled"),
    "PAYMENT_EXPIRED": (409, "The order was not paid in time"),
    "CANCEL_UNDER_WAY": (409, "The payment is being cancelled"),
    "NOTHING_TO_ASK": (409, "Stripe knows this payment"),
    "TOO_MANY_ATTEMPTS": (409, "This payment was tried too often"),
    "ALREADY_PAID": (409, "The order is paid"),
    "ALREADY_REFUNDED": (409, "The payment is refunded"),
    "ALREADY_CANCELLED": (409, "The payment is cancelled already"),
    "NOT_PAID": (409, "There is no captured money"),
    "DISPUTED": (409, "A dispute is open"),
    "HISTORY_INCOMPLETE": (409, "The order's timeline lacks events"),
    "DEAD_LETTER_SETTLED": (409, "The dead letter has been redriven or discarded"),
    "DEAD_AGAIN": (409, "It would be a dead letter again"),
    "REDRIVE_OUT_OF_ORDER": (409, "Another dead letter of the order comes first"),
    "REDRIVE_HAS_NO_EFFECT": (409, "Redriving it would change nothing"),
    "REFUND_TOO_LARGE": (409, "The refund exceeds what is left"),
    "REFUND_UNEVEN": (400, "Stripe does not refund such an amount of this currency"),
    "REFUND_UNKNOWN": (404, "The payment has no such refund"),
    "REFUND_PENDING": (409, "The refund is under way"),
    "REFUND_SUCCEEDED": (409, "The refund has succeeded"),
    "REFUND_RETRIED": (409, "The refund was retried"),
    "DISPUTE_UNKNOWN": (404, "The payment has no such dispute"),
    "TOO_MANY_STREAMS": (429, "Too many streams are open"),
    # what we could not do
    "OVERLOADED": (503, "More is asked for than can be done now"),
    "INTERNAL": (500, "Something went wrong on our side"),
    "PAYMENT_NOT_OPENED": (502, "Stripe refused to open the payment"),
    "KAFKA_UNAVAILABLE": (503, "Kafka can't be reached"),
    "STRIPE_UNAVAILABLE": (503, "Stripe can't be reached"),
    "UNAVAILABLE": (503, "Something that is needed can't be reached"),
    "OWNER_UNKNOWN": (503, "The worker that owns the order is not known now"),
    "OWNER_UNREACHABLE": (503, "The worker that owns the order does not answer"),
    "NOT_READY": (503, "This worker is not ready"),
    "OPERATORS_ONLY": (403, "Only operators may do this"),
    "STATE_MOVED_ON": (409, "The order has moved on since it was compared"),
    "EVENTS_MISSING": (409, "Not all of the order's events are there"),
    "EVENTS_CONFLICT": (409, "The order's events contradict each other"),
    "NOT_STOPPED": (404, "Nothing is stopped there"),
    "UPGRADE_NOT_FINISHED": (409, "The upgrade can't be finished now"),
    "RECORD_BROKEN": (503, "What is stored of it can't be read; operators have been told"),
    "COURIER_UNCHECKED": (503, "What the courier has can't be counted now"),
    "ORDER_QUARANTINED": (503, "The order waits for an operator"),
    "REDRIVE_LATE": (504, "The redriven record has not been decided yet"),
    "CONSISTENCY_TIMEOUT": (504, "The write has not arrived in this view yet"),
}
"""Code -> HTTP status, title."""

CODE_OF_STATUS: Final = {
    404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE", 415: "CONTENT_TYPE_REFUSED",
    500: "INTERNAL",
}  # fmt: skip
"""Codes of what aiohttp itself refuses."""


class ProblemError(Exception):
    """Ends a request with a problem.

    code: of CODES. detail: for the one who sent it; never holds what was sent. errors: field and what
    is accepted. retry_after_s: when to send the same again; 503 and 504 always say it.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Iterable[tuple[str, str]] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.errors = code, detail, tuple(errors)
        self.retry_after_s, self.headers = retry_after_s, dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code][0]

    def response(self, instance: str) -> web.Response:
        """As RFC 9457 shows it; instance: the request's path."""
        status, title = CODES[self.code]
        problem: dict[str, Any] = {
            "type": problem_type(self.code), "title": title, "status": status, "code": self.code,
            "instance": instance,
        }  # fmt: skip
        if self.detail:
            problem["detail"] = self.detail
        if self.errors:
            problem["errors"] = [{"field": field, "message": text} for field, text in self.errors]
        headers = dict(self.headers)
        retry_after_s = self.retry_after_s or (RETRY_AFTER_S if status in {503, 504} else None)
        if retry_after_s:
            headers["Retry-After"] = str(retry_after_s)
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="tiffin"'
        return web.Response(
            status=status, body=orjson.dumps(problem), content_type=CONTENT_TYPE, headers=headers
        )


def refused(code: str, detail: str) -> ProblemError:
    """The problem of a command's refusal; a code that is not in the table is a conflict all the same."""
    return ProblemError(code if code in CODES else "NOT_ALLOWED_NOW", detail)


def of_http_exception(error: web.HTTPException) -> ProblemError:
    """What aiohttp refused by itself, in our form; raises again what is no refusal."""
    if error.status < 400:
        raise error
    code = CODE_OF_STATUS.get(error.status)
    if code is None:
        code = "REQUEST_REFUSED" if error.status < 500 else "INTERNAL"
    allow = error.headers.get("Allow")
    detail = f"Accepted: {allow}" if allow else ""
    return ProblemError(code, detail, headers={"Allow": allow} if allow else None)


def problem_type(code: str) -> str:
    """The URI that names a problem."""
    return f"urn:tiffin:problem:{code.lower().replace('_', '-')}"
