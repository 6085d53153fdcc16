"""A stand-in for Stripe for each test, the real SDK that talks to it, and an endpoint of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import stripe
from aiohttp import web

from sandbox.processes import MAX_WAIT_S
from sandbox.stripe import StripeSandbox
from tests.contract.stripe_sandbox.stripe_client import (
    OLD_SECRET,
    SECRET,
    Endpoint,
    StripeShop,
)


@pytest.fixture
async def shop() -> AsyncIterator[StripeShop]:
    """Settles only on request, and retries webhooks quickly."""
    async with (
        StripeSandbox(settle_delay_s=None, retry_delays_s=(0.01,) * 50) as sandbox,
        aiohttp.ClientSession() as http,
    ):
        sdk_http = stripe.HTTPXClient(timeout=MAX_WAIT_S)
        client = stripe.StripeClient(
            "sk_test_tiffin", base_addresses={"api": sandbox.base_url}, http_client=sdk_http
        )
        yield StripeShop(sandbox, client, http)
        await sdk_http.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
async def endpoint(shop: StripeShop) -> AsyncIterator[Endpoint]:
    """An endpoint that gets all events of the stand-in, signed with two secrets."""
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/webhooks", endpoint.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    shop.sandbox.add_webhook(endpoint.url, SECRET, OLD_SECRET)
    yield endpoint
    await runner.cleanup()
