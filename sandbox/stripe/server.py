"""The stand-in as one server: Stripe's API, the browser's side and the control API on one port."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from sandbox.stripe.account import new_account
from sandbox.stripe.api import Api
from sandbox.stripe.browser import BrowserSide
from sandbox.stripe.control import Control
from sandbox.stripe.state import API_VERSION, SHORT_SETTLE_DELAY_S, State
from sandbox.stripe.webhooks import RETRY_DELAYS_S, Webhooks


class StripeSandbox:
    """A running stand-in: `async with StripeSandbox() as stripe:`, then `stripe.base_url`.

    port 0 takes a free one. webhook_url and webhook_secrets make a first endpoint for all
    events. settle_delay_s: see `State`. public_url: what pages and receipts are linked with, when
    a browser reaches the stand-in by another name.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str | None = None,
        webhook_secrets: Sequence[str] = (),
        settle_delay_s: float | None = SHORT_SETTLE_DELAY_S,
        retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S,
        public_url: str | None = None,
    ) -> None:
        self.state = State(settle_delay_s=settle_delay_s, account=new_account())
        self.webhooks = Webhooks(self.state, retry_delays_s)
        self.state.publish = self.webhooks.publish
        self.api = Api(self.state, self.webhooks)
        self._control = Control(self.api)
        self._host, self._port = host, port
        self._webhook_url, self._webhook_secrets = webhook_url, list(webhook_secrets)
        self._public_url = public_url
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self) -> None:
        """Bind and serve. Raises OSError when the port is taken."""
        app = web.Application()
        app.router.add_route("*", "/v1/{path:.*}", self.api.handle)
        app.router.add_routes(BrowserSide(self.state).routes())
        app.router.add_route("*", "/_control", self._control.handle)
        app.router.add_route("*", "/_control/{path:.*}", self._control.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://{self._host}:{port}"
        self.state.base_url = self._public_url or self.base_url
        await self.webhooks.start()
        if self._webhook_url is not None:
            self.add_webhook(self._webhook_url, *self._webhook_secrets)

    async def stop(self) -> None:
        """Stop serving; requests that wait are dropped, deliveries under way are given up."""
        self.api.stopping.set()
        self.api.faults.clear()
        self.state.cancel_timers()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.webhooks.stop()

    def add_webhook(self, url: str, *secrets: str, events: Sequence[str] = ("*",)) -> str:
        """Register an endpoint (also before a server listens there); returns its first secret."""
        params = {"url": url, "enabled_events": list(events), "api_version": API_VERSION}
        secret: str = self.webhooks.create(params, list(secrets) or None)["secret"]
        return secret

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
