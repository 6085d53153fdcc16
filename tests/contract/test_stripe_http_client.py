"""The HTTP client under Stripe's SDK, against servers that answer as no stand-in does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from app.stripe.errors import MisconfiguredError, RetryableError, UnknownOutcomeError
from app.stripe.gateway import StripeGateway
from sandbox.stripe import StripeSandbox

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = {"amount": 250_000, "currency": "inr", "metadata": {"orderId": "o", "paymentId": "p"}}


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[StripeGateway]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = StripeGateway("sk_test_x", base_url=f"http://127.0.0.1:{port}", rate_per_s=1000)
    async with server:
        yield gateway
        await gateway.close()


async def test_an_answer_that_breaks_off_is_an_unknown_outcome() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "pi_')
        await writer.drain()
        writer.close()

    async with serving(broken) as gateway:
        with pytest.raises(UnknownOutcomeError):
            await gateway.create_intent(BODY, "key")


async def test_what_is_no_http_is_an_unknown_outcome() -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with serving(other) as gateway:
        with pytest.raises(UnknownOutcomeError):
            await gateway.create_intent(BODY, "key")


async def test_the_key_follows_no_redirect() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        body = b'{"error": {"message": "moved"}}'
        head = b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    async with serving(elsewhere) as gateway:
        with pytest.raises((MisconfiguredError, UnknownOutcomeError)):
            await gateway.create_intent(BODY, "key")
    assert asked == [b"POST /v1/payment_intents HTTP/1.1"]


async def test_an_environments_proxy_gets_nothing(
    sandbox: StripeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    gateway = StripeGateway("sk_test_x", base_url=sandbox.base_url)
    body = {**BODY, "automatic_payment_methods": {"enabled": True}}
    assert (await gateway.create_intent(body, "key")).amount == 250_000
    await gateway.close()


async def test_requests_one_after_the_other_take_one_connection() -> None:
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"data": [], "has_more": false}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async with serving(counted) as gateway:
        for _ in range(5):
            assert await gateway.list_refunds("pi_1") == []
    assert connections == 1


async def test_a_closed_client_sends_nothing(sandbox: StripeSandbox) -> None:
    gateway = StripeGateway("sk_test_x", base_url=sandbox.base_url)
    await gateway.list_refunds("pi_1")
    await gateway.close()
    asked = len(sandbox.api.log)
    with pytest.raises(RetryableError, match="ClientClosedError"):
        await gateway.create_intent(BODY, "key")
    assert len(sandbox.api.log) == asked


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running
