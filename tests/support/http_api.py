"""The HTTP API over the real services in memory, and a client to call it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import agents
from agents.service import topic_uses
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.stripe.webhooks import verify_webhook
from models.events import WebhookNoted
from tests.support.in_memory_backend import InMemoryBackend
from web.application import setup
from web.catalogue import load_catalogue
from web.http.deps import Bounds, WebDeps
from web.http.server import ConnectionLimits, WorkerRunner
from web.http.tokens import DevelopmentStaff, OrderTokens, Role
from web.indexes.money import MoneyIndex

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SECRETS = ("whsec_old_one", "whsec_new_one")
CART = {
    "restaurantId": "annapurna-bengaluru",
    "items": [{"dishId": "family-thali", "quantity": 2}],
    "contact": {"name": "Asha Rao", "email": "asha@example.com", "phone": "+91 98765 43210"},
    "address": {"line1": "12 MG Road", "city": "Bengaluru", "postalCode": "560001"},
}
NO_STRIPE = StripeGateway("sk_test_x", base_url="http://127.0.0.1:9")


async def _note_nowhere(_cause: str, _noted: WebhookNoted, _order_id: str) -> None:
    """Of events that operators would find in the audit."""


"""Nobody answers there: what webhooks say of themselves must do."""
QUICK = Bounds(command_s=5, confirm_s=5, consistency_s=0.05)


def head(request_line: bytes, *lines: bytes) -> bytes:
    """A request without a body; the connection is closed after its answer."""
    lines = (b"Host: shop.example", *lines) if not any(b"Host:" in x for x in lines) else lines
    return b"\r\n".join([request_line + b" HTTP/1.1", b"Connection: close", *lines, b"", b""])


def new_key() -> str:
    return str(uuid.uuid4())


@dataclass
class Api:
    """A worker's API. It keeps no cookies: each request shows what it sends."""

    world: InMemoryBackend
    deps: WebDeps
    client: TestClient[web.Request, web.Application]
    staff: DevelopmentStaff

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        token: str | None = None,
        **more: Any,
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        headers = {"Idempotency-Key": key or new_key(), **more.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        more = more or {"json": body}
        async with self.client.post(path, headers=headers, **more) as response:
            return response.status, await response.json(content_type=None), response

    async def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, Any]:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.get(path, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def order(self) -> dict[str, Any]:
        """A new order, its payment open."""
        status, answer, _ = await self.post("/api/payments/create-intent", CART)
        assert status == 201, answer
        return dict(answer)

    async def paid(self) -> dict[str, Any]:
        order = await self.order()
        status, answer = await self.confirm(order)
        assert (status, answer["status"]) == (200, "COMPLETED"), answer
        return {**order, "consistencyToken": answer["consistencyToken"]}

    async def confirm(self, order: dict[str, Any], method: str = "pm_card_visa") -> tuple[int, Any]:
        body = {"orderId": order["orderId"], "paymentMethodId": method}
        status, answer, _ = await self.post(
            "/api/payments/confirm", body, token=order["orderToken"]
        )
        return status, answer

    async def raw(self, *sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are on a connection of their own; the answer once it is closed.

        What is sent must ask for that (`Connection: close`), or be refused so.
        """
        reader, writer = await self.connect()
        async with asyncio.timeout(30):
            for part in sent:
                writer.write(part)
            await writer.drain()
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.client.port)

    @property
    def operator(self) -> str:
        return self.staff.issue(Role.OPERATOR, "olga")


class Server(TestServer):
    """With the connections of a worker."""

    limits: ConnectionLimits | None = None

    async def _make_runner(self, **options: Any) -> WorkerRunner:
        return WorkerRunner(self.app, self.limits, **options)


MakeApi = Callable[..., Awaitable[Api]]


async def started(
    world: InMemoryBackend | None = None,
    connections: ConnectionLimits | None = None,
    **changes: Any,
) -> Api:
    """A worker that serves; changed dependencies as arguments. Close its client."""
    world = world or InMemoryBackend()
    staff = make_staff()
    deps = replace(make_deps(world, staff), **changes)
    app = web.Application()
    setup(app, deps)
    server = Server(app)
    server.limits = connections
    client = TestClient(server, cookie_jar=aiohttp.DummyCookieJar())
    await client.start_server()
    return Api(world, deps, client, staff)


def make_staff() -> DevelopmentStaff:
    return DevelopmentStaff("d" * 32, sandbox=True)


def make_deps(world: InMemoryBackend, staff: DevelopmentStaff, /, **changes: Any) -> WebDeps:
    """What web/ is given, over the services in memory; changed dependencies as arguments."""
    deps = WebDeps(
        catalogue=load_catalogue(),
        tables=world.tables,
        topics=topic_uses(agents.services()),
        sender=world,
        client_secret=world.client_secret,
        verify_webhook=partial(verify_webhook, secrets=SECRETS, tolerance_s=300),
        reduce_webhook=EventIntake(NO_STRIPE, _note_nowhere).take,
        ready=list,
        money=MoneyIndex(world.tables["payments"], world.tables["orders"]),
        order_tokens=OrderTokens("o" * 32),
        publishable_key="pk_test_x",
        livemode=False,
        staff=staff,
        bounds=QUICK,
    )
    return replace(deps, **changes)
