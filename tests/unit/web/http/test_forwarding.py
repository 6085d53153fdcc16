"""What is forwarded to an order's owner, when whoever asked does not wait for the answer."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.processes import MAX_WAIT_S
from web.http.forwarding import Forwarder
from web.http.middleware import problems

WITHIN_S = MAX_WAIT_S


async def test_a_client_that_left_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    asked, may_answer, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    requests: list[web.Request] = []

    async def owner(_: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.Response(text="late")

    async def front(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        try:
            return cast(Any, await forwarder.forwarded(request, "k", table))
        finally:
            answered.set()

    upstream_app, app = web.Application(), web.Application(middlewares=[problems])
    upstream_app.router.add_get("/order", owner)
    app.router.add_get("/order", front)
    deps = SimpleNamespace(
        bounds=SimpleNamespace(forward_connect_s=WITHIN_S, forward_idle_s=WITHIN_S),
        order_tokens=SimpleNamespace(worker_proof="proof"),
        own_url=None,
    )
    forwarder = Forwarder(cast(Any, deps))
    app.cleanup_ctx.append(forwarder.opened)
    async with asyncio.timeout(WITHIN_S), TestServer(upstream_app) as upstream:
        table: Any = SimpleNamespace(
            owns=lambda _: False, owner_of=lambda _: upstream.make_url("/")
        )
        # TestServer would cancel the handler of a client that leaves, which a worker does not.
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            _, writer = await asyncio.open_connection(*runner.addresses[0])
            writer.write(b"GET /order HTTP/1.1\r\nHost: front\r\n\r\n")
            await asked.wait()
            cast(Any, writer.transport).abort()
            while requests[0].transport is not None and not requests[0].transport.is_closing():  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.01)
            may_answer.set()
            await answered.wait()
        finally:
            await runner.cleanup()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
