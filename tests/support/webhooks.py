"""Stripe's webhooks, signed."""

from __future__ import annotations

import time
from typing import Any

import orjson
import stripe

from tests.support.http_api import SECRETS


def event(order_id: str | None, **changes: Any) -> bytes:
    intent = {
        "id": "pi_1", "object": "payment_intent", "status": "requires_payment_method",
        "amount": 250_000, "amount_received": 0, "currency": "inr", "latest_charge": "ch_1",
        "last_payment_error": {"type": "card_error", "code": "card_declined", "charge": "ch_1"},
        "metadata": {"orderId": order_id} if order_id else {},
    }  # fmt: skip
    return orjson.dumps(
        {"id": "evt_1", "object": "event", "type": "payment_intent.payment_failed", "created": 1_700_000_000,
         "livemode": False, "data": {"object": intent}} | changes
    )  # fmt: skip


def signature(payload: bytes, secret: str = SECRETS[0], at: float | None = None) -> str:
    stamp = int(at or time.time())
    return stripe.WebhookSignature.generate_signature_header(payload.decode(), secret, stamp)
