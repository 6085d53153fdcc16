"""What the tests of the Stripe stand-in do again and again, through the real SDK."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from sandbox.stripe import StripeSandbox

SECRET = "whsec_test_current"
OLD_SECRET = "whsec_test_previous"


@dataclass
class StripeShop:
    """The stand-in with the SDK's client; what tests do again and again."""

    sandbox: StripeSandbox
    client: stripe.StripeClient
    http: aiohttp.ClientSession

    async def control(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """One request of the control API."""
        url = f"{self.sandbox.base_url}/_control{path}"
        async with self.http.request(method, url, json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def fault(self, kind: str, **fields: Any) -> Any:
        return await self.control("POST", "/faults", {"kind": kind, **fields})

    async def ledger(self, intent: str) -> Any:
        """The truth about one PaymentIntent."""
        return (await self.control("GET", "/ledger"))["payment_intents"][intent]

    async def create(self, key: str | None = None, **params: Any) -> stripe.PaymentIntent:
        """A PaymentIntent of 25.00 USD that needs no return_url."""
        merged: Any = {
            "amount": 2500,
            "currency": "usd",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"orderId": "order_1"},
            **params,
        }
        options: Any = {"idempotency_key": key} if key else {}
        return await self.client.v1.payment_intents.create_async(merged, options)

    async def confirm(
        self, intent: str, method: str, key: str | None = None, **params: Any
    ) -> stripe.PaymentIntent:
        options: Any = {"idempotency_key": key} if key else {}
        merged: Any = {"payment_method": method, **params}
        return await self.client.v1.payment_intents.confirm_async(intent, merged, options)

    async def pay(self, method: str = "pm_card_visa", **params: Any) -> stripe.PaymentIntent:
        """A PaymentIntent that was confirmed at once."""
        return await self.create(confirm=True, payment_method=method, **params)

    async def retrieve(self, intent: str) -> stripe.PaymentIntent:
        return await self.client.v1.payment_intents.retrieve_async(intent)

    async def event_types(self) -> list[str]:
        """All events, oldest first."""
        page = await self.client.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]


@dataclass
class Endpoint:
    """A webhook endpoint: every delivery with its headers; answers `refusals` 500s first."""

    url: str = ""
    refusals: int = 0
    deliveries: list[tuple[bytes, str]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        self.deliveries.append((await request.read(), request.headers["Stripe-Signature"]))
        if self.refusals > 0:
            self.refusals -= 1
            return web.Response(status=500)
        return web.Response()

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.deliveries]


async def refused(call: Awaitable[object]) -> Any:
    """The SDK's error of a call that must fail."""
    with pytest.raises(stripe.StripeError) as caught:
        await call
    return caught.value
