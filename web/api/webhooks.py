"""Stripe's webhook: verified over the raw bytes, reduced, in Kafka, and only then answered with 200.

Not forwarded: the record is keyed by its order, so Kafka brings it to the owner.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models.errors import InvalidSignatureError
from web.http.api_model import ApiModel
from web.http.decoding import MAX_EVENT_DEPTH, DecodingError, check_signature_header, plain_json
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.rate_limits import RequestKind
from web.http.route import Access, AnyCall, Call

LATEST_S: Final = 2**40
"""Of an event's time; far beyond any that is meant."""
LONGEST_ID: Final = 255

log = logging.getLogger("tiffin.web.webhooks")


class Received(ApiModel):
    """recorded: false for events that nobody asked for, and of no order of ours."""

    received: bool = True
    recorded: bool


async def _may_be_signed(call: AnyCall) -> None:
    _check_signature_form(call.request, call.context.deps.webhook_tolerance_s)
    # Who has sent what was not signed waits: checking a signature costs as much as its body is long.
    call.context.limiter.check(call.request, RequestKind.BAD_WEBHOOK)


STRIPE: Final = Access(text="stripe", check=_may_be_signed)
"""Who can show a signature of Stripe's; whether it fits is known with the body."""


async def stripe_webhook(call: Call[Params, bytes]) -> Received:
    """Take in one event."""
    deps, signature = call.context.deps, call.request.headers["Stripe-Signature"]
    try:
        deps.verify_webhook(call.body, signature)
        sent = plain_json(call.body, deepest=MAX_EVENT_DEPTH, most_values=None)
        if _is_thin(sent):
            # An event destination of API v2 leads here. It names no order: Stripe is not to send it again.
            log.warning("a thin event is not used; send snapshot events", extra=_thin_event(sent))
            return Received(recorded=False)
        event = _event(sent)
    except DecodingError:
        raise ProblemError("EVENT_INVALID", "body: a Stripe event is accepted") from None
    except InvalidSignatureError:
        limiter = call.context.limiter
        limiter.take(limiter.client_of(call.request), RequestKind.BAD_WEBHOOK)
        raise _wrong_signature("accepted: of this endpoint's secret") from None
    if event["livemode"] is not deps.livemode:
        mode = "live" if deps.livemode else "test"
        raise ProblemError("LIVEMODE_MISMATCH", f"accepted: events of {mode} mode")
    try:
        facts = await deps.reduce_webhook(event)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # Of a version, or of a kind, that is not ours to read; Stripe shows the refusal and tries again.
        extra = {"stripeEventId": event["id"], "error": type(error).__name__}
        log.warning("a signed webhook can't be read", extra=extra)
        raise ProblemError("EVENT_INVALID", "data.object: is not of this type's form") from None
    if facts is None:
        extra = {"stripeEventId": event["id"], "stripeEventType": event["type"]}
        log.info("webhook without an order or a use", extra=extra)
    else:
        await deps.sender.send_webhook(facts)
    return Received(recorded=facts is not None)


def _check_signature_form(request: web.Request, tolerance_s: float) -> None:
    """Refuse a header that no body could fit. Raises ProblemError (400)."""
    signature = request.headers.get("Stripe-Signature")
    if not signature:
        errors = [("Stripe-Signature", "is required; Stripe makes it")]
        raise ProblemError("SIGNATURE_MISSING", errors=errors)
    try:
        check_signature_header(signature, now_s=time.time(), tolerance_s=tolerance_s)
    except DecodingError as error:
        raise _wrong_signature(f"accepted: {error}") from None


def _wrong_signature(accepted: str) -> ProblemError:
    return ProblemError("SIGNATURE_INVALID", errors=[("Stripe-Signature", accepted)])


def _is_thin(sent: Any) -> bool:
    return isinstance(sent, dict) and str(sent.get("object", "")).startswith("v2.")


def _thin_event(sent: Mapping[str, Any]) -> dict[str, str]:
    return {
        field: str(sent.get(name, ""))[:LONGEST_ID]
        for field, name in (("stripeEventId", "id"), ("stripeEventType", "type"))
    }


def _event(event: Any) -> Mapping[str, Any]:
    if not isinstance(event, dict) or event.get("object") != "event":
        raise DecodingError("the body is no Stripe event")
    typed = {"id": str, "type": str, "livemode": bool, "created": int, "data": Mapping}
    for name, kind in typed.items():
        if not isinstance(event.get(name), kind):
            raise ProblemError("EVENT_INVALID", errors=[(name, "is missing or of another type")])
    if not 0 <= event["created"] <= LATEST_S or isinstance(event["created"], bool):
        raise ProblemError("EVENT_INVALID", errors=[("created", "accepted: seconds since 1970")])
    if not all(0 < len(event[name]) <= LONGEST_ID for name in ("id", "type")):
        accepted = f"accepted: 1 to {LONGEST_ID} characters"
        raise ProblemError("EVENT_INVALID", errors=[("id", accepted), ("type", accepted)])
    if not isinstance(event["data"].get("object"), Mapping):
        raise ProblemError("EVENT_INVALID", errors=[("data.object", "is missing or no object")])
    return event
