"""Requests at the wrong worker: passed on as they are, once, and never for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from models import tracing
from tests.support.http_api import CART, QUICK, Api, MakeApi, new_key
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.waiting import until_true

CREATE = "/api/payments/create-intent"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def stranger(owner: URL | None) -> InMemoryBackend:
    """The world as a worker sees it that owns nothing."""
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, owner
    return world


@pytest.fixture
async def workers(make_api: MakeApi) -> tuple[Api, Api]:
    """One that owns nothing, and the owner of everything."""
    owner = await make_api()
    return await make_api(stranger(owner.client.make_url("/"))), owner


@contextlib.asynccontextmanager
async def worker(handler: Handler) -> AsyncIterator[URL]:
    """Another worker's web server that answers everything in one way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield server.make_url("/")


async def test_whole_flow_through_a_worker_that_owns_nothing(workers: tuple[Api, Api]) -> None:
    api, owner = workers
    _, answer, response = await api.post(CREATE, CART)
    assert {name.partition("_")[0] for name in response.cookies} == {"tiffin"}
    assert len(response.cookies) == 2
    status, confirmed = await api.confirm(answer)
    assert (status, confirmed["status"]) == (200, "COMPLETED")
    path = f"/api/orders/{answer['orderId']}"
    token = {"Consistency-Token": confirmed["consistencyToken"]}
    assert await api.get(path, answer["orderToken"], **token) == await owner.get(
        path, answer["orderToken"]
    )
    status, problem = await api.confirm(answer)
    assert (status, problem["code"]) == (409, "ALREADY_PAID")
    assert not api.world.commands


async def test_same_order_at_two_workers_at_once(workers: tuple[Api, Api]) -> None:
    api, owner = workers
    key = new_key()
    answers = await asyncio.gather(
        *(worker.post(CREATE, CART, key=key) for worker in (api, owner, api, owner))
    )
    assert {status for status, _, _ in answers} <= {201, 409}
    assert len(owner.world.commands) == 1
    assert len({answer["orderId"] for status, answer, _ in answers if status == 201}) == 1


async def test_streams_pass_through(workers: tuple[Api, Api]) -> None:
    api, _ = workers
    order = await api.order()
    headers = {"Authorization": f"Bearer {order['orderToken']}"}
    async with api.client.get(f"/api/orders/{order['orderId']}/stream", headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(b"\r\n\r\n")
        await api.confirm(order)
        seen = b""
        while b'"status":"PENDING"' not in seen:
            seen = await stream.content.readuntil(b"\r\n\r\n")


async def test_request_is_passed_on_as_it_is(make_api: MakeApi) -> None:
    seen: list[tuple[web.Request, bytes]] = []

    async def echo(request: web.Request) -> web.Response:
        seen.append((request, await request.read()))
        response = web.Response(body=bytes(range(256)), status=207, reason="Odd")
        response.headers.add("X-Two", "a")
        response.headers.add("X-Two", "b")
        return response

    async with worker(echo) as owner:
        api = await make_api(stranger(owner))
        raw = b'{"restaurantId":"annapurna-bengaluru", "items":[{"dishId":"idli-plate","quantity":1}],'
        raw += b'"contact":{"name":"A","email":"a@b.c","phone":"12345"},'
        raw += b'"address":{"line1":"l","city":"c","postalCode":"p"}}'
        headers = {
            "Content-Type": "application/json", "Idempotency-Key": new_key(), "X-Own": "kept",
            "Connection": "keep-alive, X-Private", "X-Private": "dropped", "Cookie": "a=b",
            "Host": "tiffin.example", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        }  # fmt: skip
        path = f"{CREATE}?x=1&y=%2F"
        url = URL(f"{api.client.make_url('/')}{path[1:]}", encoded=True)
        async with api.client.session.post(url, data=raw, headers=headers) as response:
            assert (response.status, response.reason) == (207, "Odd")
            assert await response.read() == bytes(range(256))
            assert response.headers.getall("X-Two") == ["a", "b"]
    ((request, body),) = seen
    assert body == raw
    assert request.raw_path == path
    assert request.headers["Tiffin-Hop"] == "1"
    assert request.headers["Host"] == "tiffin.example"
    assert request.headers["X-Own"] == "kept"
    assert request.headers["Cookie"] == "a=b"
    assert request.headers["X-Forwarded-For"] == "127.0.0.1"
    assert "X-Private" not in request.headers
    assert "a" * 32 in request.headers["traceparent"]


async def test_a_request_without_a_trace_has_one_at_both_workers(make_api: MakeApi) -> None:
    """Logs of both name it; before, the owner began another one."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["traceparent"])
        return web.json_response({})

    async with worker(answer) as owner:
        api = await make_api(stranger(owner))
        _, _, response = await api.post(CREATE, CART)
    (forwarded,) = seen
    trace = tracing.trace_id(response.headers["traceparent"])
    assert trace
    assert tracing.trace_id(forwarded) == trace


async def test_second_hop_is_refused(make_api: MakeApi) -> None:
    async def unreachable(_: web.Request) -> web.Response:
        raise AssertionError("forwarded twice")

    async with worker(unreachable) as owner:
        api = await make_api(stranger(owner))
        headers = {"Tiffin-Hop": "1"}
        status, problem, response = await api.post(CREATE, CART, headers=headers)
    assert (status, problem["code"]) == (503, "OWNER_UNKNOWN")
    assert response.headers["Retry-After"]


async def test_no_owner_dead_owner_and_own_address(make_api: MakeApi, unused_tcp_port: int) -> None:
    dead = URL(f"http://127.0.0.1:{unused_tcp_port}/")
    for owner, own, code in [
        (None, None, "OWNER_UNKNOWN"),
        (dead, None, "OWNER_UNREACHABLE"),
        (dead, dead, "NOT_READY"),
    ]:
        api = await make_api(stranger(owner), own_url=own)
        status, problem, response = await api.post(CREATE, CART)
        assert (status, problem["code"]) == (503, code)
        assert response.headers["Retry-After"]


async def test_owner_that_hangs_is_given_up(make_api: MakeApi) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with worker(hang) as owner:
        api = await make_api(stranger(owner), bounds=type(QUICK)(forward_idle_s=0.05))
        status, problem, _ = await api.post(CREATE, CART)
        released.set()
    assert (status, problem["code"]) == (503, "OWNER_UNREACHABLE")


async def test_answer_that_breaks_off_is_seen_to_be_broken(make_api: MakeApi) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of it")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with worker(half) as owner:
        api = await make_api(stranger(owner))
        with pytest.raises(aiohttp.ClientError):
            await api.post(CREATE, CART)


async def test_partition_that_leaves_meanwhile_is_503(api: Api) -> None:
    api.world.stripe_answers.clear()
    first = asyncio.create_task(api.post(CREATE, CART))
    await until_true(lambda: api.world.commands)
    payments = api.world.tables["payments"]
    payments.is_ours = False
    async with payments.changed:
        payments.changed.notify_all()
    status, problem, _ = await first
    assert (status, problem["code"]) == (503, "OWNER_UNKNOWN")
