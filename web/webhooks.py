"""Stripe's webhook: verified over the raw bytes, reduced, in Kafka, and only then answered with 200.

Not forwarded: the record is keyed by its order, so Kafka brings it to the owner.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import stripe
from aiohttp import web

from models.messages import Message
from web.bodies import read_body
from web.context import CONTEXT
from web.problems import ProblemError
from web.writes import json_response

LIMIT_BYTES: Final = 512 * 1024
"""Stripe's events are larger than what customers send, and signed."""

log = logging.getLogger("tiffin.web.webhooks")


class Received(Message):
    """recorded: false for events that nobody asked for, and of no order of ours."""

    received: bool = True
    recorded: bool


async def stripe_webhook(request: web.Request) -> web.Response:
    """Take in one event."""
    context = request.app[CONTEXT]
    payload = await read_body(request, LIMIT_BYTES)
    event = _verified(request, payload, context.deps.verify_webhook)
    if event["livemode"] is not context.deps.livemode:
        mode = "live" if context.deps.livemode else "test"
        raise ProblemError("LIVEMODE_MISMATCH", f"accepted: events of {mode} mode")
    facts = await context.deps.webhook_received(event)
    if facts is None:
        log.info(
            "webhook without an order or a use",
            extra={"stripeEventId": event["id"], "stripeEventType": event["type"]},
        )
    else:
        await context.deps.sender.send_webhook(facts)
    return json_response(Received(recorded=facts is not None))


def _verified(request: web.Request, payload: bytes, verify: Any) -> Mapping[str, Any]:
    signature = request.headers.get("Stripe-Signature")
    if not signature:
        raise ProblemError(
            "SIGNATURE_MISSING", errors=[("Stripe-Signature", "is required; Stripe makes it")]
        )
    try:
        event: Mapping[str, Any] = verify(payload, signature)
    except (stripe.SignatureVerificationError, TypeError):
        # TypeError: a signature that is not ASCII can't be compared.
        raise ProblemError(
            "SIGNATURE_INVALID",
            errors=[("Stripe-Signature", "accepted: of this endpoint's secret, 300 s old at most")],
        ) from None
    except ValueError:
        raise ProblemError("EVENT_INVALID", "body: a Stripe event is accepted") from None
    typed = {"id": str, "type": str, "livemode": bool, "created": int, "data": Mapping}
    for name, kind in typed.items():
        if not isinstance(event.get(name), kind):
            raise ProblemError("EVENT_INVALID", errors=[(name, "is missing or of another type")])
    return event
