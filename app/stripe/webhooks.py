"""Webhooks: the signature is Stripe's own check; a verified event is reduced to its order's facts."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import stripe
import structlog
from msgspec.structs import replace

from app.stripe.errors import GatewayError, InvalidError
from app.stripe.gateway import StripeGateway
from models.commands import MAX_MORE_REFUNDS, WebhookReceived
from models.errors import InvalidSignatureError, StripeUnavailableError
from models.messages import checked
from models.stripe_facts import (
    IntentFacts,
    parse_dispute,
    parse_fraud_warning,
    parse_intent,
    parse_refund,
    parse_review,
)

log = structlog.stdlib.get_logger(__name__)

ENRICHMENT_TIMEOUT_S: Final = 2.0

Facts = Mapping[str, Any]
IsReceiptKnown = Callable[[str, IntentFacts], bool]
"""Order's id, its succeeded payment intent -> whether this worker's own tables have its charge and receipt."""
T = TypeVar("T")


def verify_webhook(
    payload: bytes, signature: str, secrets: Sequence[str], tolerance_s: float
) -> None:
    """Check the Stripe-Signature header over the raw body; any one of the secrets will do.

    Raises InvalidSignatureError.
    """
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(payload, signature, secret, tolerance_s)
        except stripe.SignatureVerificationError:
            continue
        except UnicodeDecodeError:
            break
        return
    raise InvalidSignatureError


async def reduce_webhook(
    gateway: StripeGateway, event: Facts, is_receipt_known: IsReceiptKnown = lambda *_: False
) -> WebhookReceived | None:
    """Reduce a verified event to what payments needs to know of it.

    event: of a type that is applied to payments. None for an object of no order of this application. Asks
    Stripe where the event does not say whose it is, or leaves something out; raises StripeUnavailableError
    when the order or a refund can't be found without it (Stripe delivers the event again then).
    """
    kind = event["type"]
    thing: Facts = event["data"]["object"]
    order_id = await gateway.order_id_of(thing)
    if order_id is None:
        is_others = not gateway.mark.may_be_ours(thing.get("metadata"))
        # Each platform of an account gets the events of all.
        tell = log.debug if is_others else log.warning
        tell("a webhook of no order", stripeEventId=event["id"], stripeEventType=kind)
        return None
    facts = await _facts_of(gateway, kind, thing, functools.partial(is_receipt_known, order_id))
    return checked(
        WebhookReceived(
            order_id=order_id, stripe_event_id=event["id"], stripe_event_type=kind,
            created=event["created"], **facts,
        )
    )  # fmt: skip


async def _facts_of(
    gateway: StripeGateway, kind: str, thing: Facts, is_known: Callable[[IntentFacts], bool]
) -> dict[str, Any]:
    match kind.split("."):
        case ["payment_intent", _]:
            seen = parse_intent(thing)
            return {"intent": seen if is_known(seen) else await _with_receipt(gateway, seen)}
        case ["refund", _] | ["charge", "refund", _]:
            return {"refund": parse_refund(thing)}
        case ["charge", "refunded"]:
            return await _refunds_of(gateway, thing)
        case ["charge", "dispute", step]:
            return {"dispute": parse_dispute(thing, is_closed=step == "closed")}
        case ["radar", "early_fraud_warning", _]:
            return {"fraud_warning": parse_fraud_warning(thing)}
        case ["review", _]:
            return {"review": parse_review(thing)}
    raise ValueError(f"no facts are read of {kind}")


async def _with_receipt(gateway: StripeGateway, seen: IntentFacts) -> IntentFacts:
    """Webhooks never expand the charge, and those of some API versions don't name it: ask for both."""
    if seen.status != "succeeded" or seen.receipt_url:
        return seen
    latest = await _briefly(
        gateway.retrieve_intent(seen.intent_id), "a webhook goes without its receipt"
    )
    if latest is None or seen.charge_id not in {None, latest.charge_id}:
        return seen
    charge = ("charge_id", "receipt_url", "card_last4", "charged_at")
    return replace(seen, **{name: getattr(latest, name) for name in charge})


async def _refunds_of(gateway: StripeGateway, charge: Facts) -> dict[str, Any]:
    """All refunds: charge.refunded does not say which is new, and may be the only news of it."""
    intent_id = charge.get("payment_intent")
    if not isinstance(intent_id, str):
        return {}
    try:
        newest, *others = await gateway.list_refunds(intent_id) or (None,)
    except InvalidError as error:
        raise StripeUnavailableError(f"its refunds can't be listed: {error.code}") from None
    return {"refund": newest, "more_refunds": tuple(others[:MAX_MORE_REFUNDS][::-1])}


async def _briefly(request: Awaitable[T], told: str) -> T | None:
    """What Stripe answers, or None: rather do without than be late."""
    try:
        async with asyncio.timeout(ENRICHMENT_TIMEOUT_S):
            return await request
    except (GatewayError, TimeoutError) as error:
        log.info(told, reason=type(error).__name__)
        return None
