"""One worker's pages over tables in memory, in a thread: for what needs a browser but no Kafka."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sandbox.processes import MAX_WAIT_S
from tests.support.http_api import Api, started
from tests.support.in_memory_backend import InMemoryBackend
from web.http import auth
from web.http.tokens import Role

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from playwright.sync_api import Browser, BrowserContext, Page

T = TypeVar("T")


class InMemorySite:
    """`run` lets a coroutine run in the worker's event loop, where `api` may be called. Use it by `with`."""

    api: Api

    def __init__(
        self, browser: Browser, world: InMemoryBackend | None = None, **changes: Any
    ) -> None:
        """browser: that visits it. changes: of the worker's dependencies."""
        self._browser = browser
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._world, self._changes = world, changes
        self._contexts: list[BrowserContext] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.api = self.run(started(self._world, **self._changes))
        self.home = str(self.api.client.make_url("/"))
        return self

    def __exit__(self, *_: object) -> None:
        for context in self._contexts:
            context.close()
        self.run(self.api.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(MAX_WAIT_S)

    def visit(self, role: Role | None = None, **options: Any) -> Page:
        """A page of a new profile, signed in as one of that role; options: of playwright's context."""
        options = {"viewport": {"width": 1440, "height": 900}} | options
        context = self._browser.new_context(base_url=self.home, **options)
        self._contexts.append(context)
        context.set_default_timeout(MAX_WAIT_S * 1000)
        page = context.new_page()
        if role is not None:
            self.sign_in(page, role)
        return page

    def sign_in(self, page: Page, role: Role, name: str = "demo") -> None:
        """Make the page's profile one of that member of the staff."""
        restaurant = "annapurna-bengaluru" if role is Role.KITCHEN else None
        token = self.api.staff.issue(role, name, restaurant)
        self.add_cookie(page.context, auth.STAFF_COOKIE, token)

    def own(self, page: Page, order: dict[str, Any]) -> None:
        """Make the page's profile the one that has placed an order."""
        name = auth.ORDER_COOKIE + order["orderId"].removeprefix("order_")
        self.add_cookie(page.context, name, order["orderToken"])

    def add_cookie(self, context: BrowserContext, name: str, value: str) -> None:
        context.add_cookies([{"name": name, "value": value, "url": self.home}])
