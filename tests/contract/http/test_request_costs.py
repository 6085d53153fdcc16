"""No request costs more than it pays for: cheap refusals come first, bounds before work, connections end."""

from __future__ import annotations

import asyncio
import gzip
import re
import resource
import socket
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import stripe

from tests.support.http_api import SECRETS, head, new_key
from tests.support.waiting import until_true
from tests.support.webhooks import event, signature
from web import asyncapi, openapi
from web.http.decoding import MAX_DIGITS, MAX_JSON_VALUES, MAX_WEBHOOK_BYTES
from web.http.rate_limits import ClientLimits
from web.http.server import ConnectionLimits, connections_allowed
from web.http.tokens import Role
from web.pages import api_documents
from web.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_api import Api, MakeApi

CREATE = "/api/payments/create-intent"
WRITES = [route for route in ROUTES if isinstance(route.body, type)]
JSON = {"Content-Type": "application/json"}


# Bounds before work.

NUMBERS = [
    b'{"a":1e-5000000}', b'{"a":1e5000000}', b'{"a":-1E-99999999999999999999}', b'{"a":1e41}',
    b'{"a":0.' + b"0" * 60_000 + b"1}", b'{"a":' + b"9" * 41 + b"}", b'{"a":1.' + b"7" * 60_000 + b"}",
    b'[1e-60000000,{"b":[1e-5000000]}]', b"1e-5000000", b'{"1e-5000000":1e-5000000}',
]  # fmt: skip
MANY = [
    b"[" + b"{}," * (MAX_JSON_VALUES + 1) + b"{}]", b"[" + b"1," * (MAX_JSON_VALUES + 1) + b"1]",
    b'{"items":[' + b"{}," * (MAX_JSON_VALUES + 1) + b"{}]}", b"[" * 33 + b"]" * 33,
    b'{"a":' * 33 + b"1" + b"}" * 33,
]  # fmt: skip


async def test_body_that_is_dear_to_read_is_refused_before(api: Api) -> None:
    for raw in NUMBERS + MANY:
        status, problem, _ = await api.post(CREATE, data=raw, headers=JSON)
        assert (status, problem["code"]) == (400, "INVALID_JSON"), raw[:30]
        assert "accepted" in problem["detail"]


async def test_no_route_writes_a_number_out(make_api: MakeApi) -> None:
    """As somebody who may send that body: what is refused is the number."""
    api = await make_api(operations=object())
    order = await api.paid()
    for route in WRITES:
        token = token_for(api, route.access.roles)
        status, problem, _ = await api.post(
            path_of(route, order), data=NUMBERS[0], headers=JSON, token=token
        )
        known = {(400, "INVALID_JSON")} | ({(404, "NOT_FOUND")} if "login" in route.path else set())
        assert (status, problem["code"]) in known, route.path


def token_for(api: Api, roles: tuple[Role, ...]) -> str:
    if Role.COURIER in roles:
        return api.staff.issue(Role.COURIER, "carl")
    if Role.KITCHEN in roles:
        return api.staff.issue(Role.KITCHEN, "kim", "annapurna-bengaluru")
    return api.operator


async def test_more_digits_than_anything_needs(api: Api) -> None:
    for text in ("7" * (MAX_DIGITS + 1), "1 " * (MAX_DIGITS + 1), "٣" * 5000):
        status, problem, _ = await api.post(CREATE, {"note": text})
        assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
        assert "digits" in problem["errors"][0]["message"]


async def test_form_is_bounded_too(api: Api) -> None:
    for data in (b"a=" + b"x" * 9000, b"&".join(b"a%d=1" % n for n in range(61)), b"a=\xff"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with api.client.post("/login", data=data, headers=headers) as response:
            assert response.status == 400


# Roles before bodies.


async def refused_without_its_body(api: Api, path: str, *lines: bytes) -> tuple[int, str]:
    """Send the head of a POST alone, and what is answered to that."""
    reader, writer = await api.connect()
    if not any(b"Content-Length" in line for line in lines):
        lines = (*lines, b"Content-Length: 1000")
    writer.write(head(f"POST {path}".encode(), b"Idempotency-Key: " + b"k" * 20, *lines))
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer.lower())
        assert length is not None
        body = await reader.readexactly(int(length[1]))
    writer.close()
    return int(answer.split(b" ", 2)[1]), orjson.loads(body)["code"]


def path_of(route: Any, order: dict[str, Any]) -> str:
    return str(route.path).format(
        order_id=order["orderId"], refund_id="r", notification_id="n", dead_letter_id="d"
    )


@pytest.mark.parametrize("who", ["nobody", "kitchen", "courier", "customer", "forged"])
async def test_who_may_not_is_refused_before_the_body(make_api: MakeApi, who: str) -> None:
    api = await make_api(operations=object())
    order = await api.paid()
    tokens = {
        "kitchen": api.staff.issue(Role.KITCHEN, "kim", "blue-door-brooklyn"),
        "courier": api.staff.issue(Role.COURIER, "carl"),
        "customer": order["orderToken"],
        "forged": order["orderToken"][:-5] + "AAAAA",
    }
    lines = [f"Authorization: Bearer {tokens[who]}".encode()] if who in tokens else []
    for route in WRITES:
        # Which order is meant, only the body of these says.
        reads_first = route.path.startswith("/api/payments/c") and who not in {"nobody", "forged"}
        if not route.access.roles or who in route.access.roles or reads_first:
            continue
        status, code = await refused_without_its_body(api, path_of(route, order), *lines)
        assert (status, code) in {
            (401, "TOKEN_MISSING"), (401, "TOKEN_INVALID"), (403, "ROLE_REFUSED"),
        }, route.path  # fmt: skip


PAGES = [
    "/ops/orders/{}/refund", "/ops/orders/{}/cancel", "/ops/dead-letters/d/redrive",
    "/ops/dead-letters/d/discard", "/kitchen/{}/accept", "/courier/{}/assign", "/orders/{}/cancel",
    "/orders/{}/change",
]  # fmt: skip


async def test_pages_ask_who_it_is_before_they_read_the_form(api: Api) -> None:
    order = await api.paid()
    for path in PAGES:
        refused = await refused_without_its_body(api, path.format(order["orderId"]))
        assert refused == (401, "TOKEN_MISSING"), path


# Webhooks.

ZEROS = "0" * 64


UNSIGNED = [
        None, "", "garbage", "t=1", f"v1={ZEROS}", f"t=1,v1={ZEROS}", f"t=x,v1={ZEROS}", "t={now},v1=",
        "t={now},v1=zz", f"t={{now}},v0={ZEROS}", f"t={{now}},t={{now}},v1={ZEROS}",
        "t=" + "9" * 1500 + f",v1={ZEROS}", "t={now}" + f",v1={ZEROS}" * 40, f"t=-1,v1={ZEROS}",
        f"t={{now}},v1={ZEROS}" + "0" * 2000, f"t=٣,v1={ZEROS}",
]  # fmt: skip


async def test_webhook_that_can_not_be_signed_is_refused_unread(api: Api) -> None:
    now = str(int(time.time()))
    for sent in UNSIGNED:
        lines = [f"Stripe-Signature: {sent}".replace("{now}", now).encode()] if sent else []
        status, code = await refused_without_its_body(api, "/webhooks/stripe", *lines)
        assert status == 400, sent
        assert code in {"SIGNATURE_MISSING", "SIGNATURE_INVALID"}, sent


async def test_badly_signed_webhooks_of_one_address_are_few(make_api: MakeApi) -> None:
    api = await make_api(client_limits=ClientLimits(bad_webhooks_per_min=3))
    payload = event(None)

    async def post(signed: str) -> int:
        headers = {"Stripe-Signature": signed}
        async with api.client.post("/webhooks/stripe", data=payload, headers=headers) as answer:
            return answer.status

    assert await post(signature(payload)) == 200
    assert [await post(signature(payload, "whsec_foreign")) for _ in range(4)] == [400] * 3 + [429]
    assert await post(signature(payload)) == 429
    assert (await api.get("/api/restaurants"))[0] == 200


def signed(payload: bytes) -> str:
    return stripe.WebhookSignature.generate_signature_header(
        payload.decode(errors="replace"), SECRETS[0], int(time.time())
    )


def objects() -> list[dict[str, Any]]:
    """Payloads of `data.object` that no type has."""
    return [
        {}, {"id": 1}, {"id": None, "status": None}, {"metadata": []}, {"metadata": {"orderId": 7}},
        {"metadata": {"orderId": ["x"]}}, {"payment_intent": []}, {"payment_intent": {"id": {}}},
        {"id": "x", "status": "succeeded", "amount": "12", "currency": "inr", "metadata": None},
        {"id": "x", "status": "succeeded", "amount": 2**63, "currency": 5},
        {"last_payment_error": "x", "next_action": "x", "latest_charge": 7},
    ]  # fmt: skip


WRONG: list[Any] = [None, [], {}, "x", 2**63, -1, 1.5, True, [{"a": {}}]]
KINDS = [
    "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.processing",
    "charge.refunded", "refund.updated", "charge.dispute.created", "charge.dispute.closed",
    "refund.created", "payment_intent.canceled", "charge.dispute.", "payment_intent",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_signed_events_of_any_shape_are_no_500(api: Api, kind: str) -> None:
    order = await api.order()
    good = orjson.loads(event(order["orderId"], type=kind))
    thing = good["data"]["object"]
    payloads = [orjson.dumps(good | {"data": {"object": shape}}) for shape in objects()]
    for name in thing:  # each field in another form, and missing
        payloads += [
            orjson.dumps(good | {"data": {"object": {**thing, name: wrong}}}) for wrong in WRONG
        ]
        payloads.append(
            orjson.dumps(good | {"data": {"object": {k: v for k, v in thing.items() if k != name}}})
        )
    for payload in payloads:
        headers = {"Stripe-Signature": signed(payload)}
        async with api.client.post("/webhooks/stripe", data=payload, headers=headers) as answer:
            assert answer.status in {200, 400, 503}, (payload, await answer.text())


MALFORMED = [
        b"", b"null", b"1e-5000000", b"[" * 200 + b"]" * 200, b'{"a":' * 600 + b"1" + b"}" * 600,
        b"\xff", b"\xef\xbb\xbf{}", event(None, created=-1), event(None, created=2**60),
        event(None, created=True), event(None, id=""), event(None, id="x" * 256), event(None, type=""),
        event(None, data={}), event(None, data={"object": None}), event(None, data={"object": []}),
        b"{" * 500_000,
]  # fmt: skip


async def test_signed_malformed_webhook_is_400(api: Api) -> None:
    for payload in MALFORMED:
        headers = {"Stripe-Signature": signed(payload)}
        async with api.client.post("/webhooks/stripe", data=payload, headers=headers) as answer:
            code = (await answer.json(content_type=None))["code"]
        assert answer.status == 400, payload[:20]
        assert code in {"EVENT_INVALID", "SIGNATURE_INVALID"}
    assert not api.world.webhooks


async def test_webhook_beyond_its_limit_is_not_read(api: Api) -> None:
    lines = [
        f"Stripe-Signature: t={int(time.time())},v1={ZEROS}".encode(),
        b"Content-Length: %d" % (MAX_WEBHOOK_BYTES + 1),
    ]
    refused = await refused_without_its_body(api, "/webhooks/stripe", *lines)
    assert refused == (413, "BODY_TOO_LARGE")


# Compressed bodies.


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("body", [gzip.compress(b" " * 20_000_000), b"not compressed"])
async def test_compressed_body_is_refused_and_never_unpacked(
    api: Api, encoding: str, body: bytes
) -> None:
    for path in (CREATE, "/webhooks/stripe", "/login", "/livez", "/nothing"):
        lines = [
            f"Content-Encoding: {encoding}".encode(), b"Content-Length: %d" % len(body),
            b"Content-Type: application/json", b"Idempotency-Key: " + new_key().encode(),
            f"Stripe-Signature: t={int(time.time())},v1={ZEROS}".encode(),
        ]  # fmt: skip
        status, _, answer = await api.raw(head(f"POST {path}".encode(), *lines), body)
        # What can't be unpacked would be a 400 of the parser.
        assert status in {405, 404, 415}, (path, answer)


# Documents.


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json", "/docs"])
async def test_document_is_made_once(
    make_api: MakeApi, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_documents._openapi.cache_clear()
    api_documents._asyncapi.cache_clear()
    made: list[str] = []

    def counted(module: Any, name: str) -> None:
        make: Callable[..., Any] = getattr(module, name)

        def call(*arguments: Any) -> Any:
            made.append(name)
            return make(*arguments)

        monkeypatch.setattr(module, name, call)

    counted(openapi, "description")
    counted(asyncapi, "description")
    counted(api_documents, "render_reference")
    api = await make_api()

    async def get(**headers: str) -> tuple[int, bytes, str]:
        async with api.client.get(path, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers["ETag"]

    found = await asyncio.gather(*(get() for _ in range(20)))
    assert len(made) == 1
    (status, body, etag) = found[0]
    assert set(found) == {(200, body, etag)}
    assert body
    assert await get(**{"If-None-Match": etag}) == (304, b"", etag)
    assert await get(**{"If-None-Match": '"other"'}) == (status, body, etag)
    assert len(made) == 1


# Connections.

QUICK = ConnectionLimits(first_head_s=0.2, idle_s=0.2)


async def ended(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.read()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
async def test_connection_without_a_request_ends(make_api: MakeApi, sent: bytes) -> None:
    api = await make_api(connections=QUICK)
    reader, writer = await api.connect()
    writer.write(sent)
    assert await ended(reader) == b""
    writer.close()


@pytest.mark.parametrize("then", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
async def test_connection_that_is_idle_after_its_request_ends(
    make_api: MakeApi, then: bytes
) -> None:
    api = await make_api(connections=ConnectionLimits(first_head_s=60, idle_s=0.2))
    reader, writer = await api.connect()
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + then)
    answer = await ended(reader)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_of_a_client_only_so_many_connections_rest(make_api: MakeApi) -> None:
    api = await make_api(connections=ConnectionLimits(most_idle=3))
    held = [await api.connect() for _ in range(5)]
    assert [await ended(reader) for reader, _ in held[:2]] == [b"", b""]
    for reader, writer in held[2:]:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await ended(reader)).startswith(b"HTTP/1.1 200")
    for _, writer in held:
        writer.close()


async def test_idle_connections_make_room_for_others(make_api: MakeApi) -> None:
    api = await make_api(connections=ConnectionLimits(most=3))
    order = await api.order()
    stream_reader, stream_writer = await api.connect()
    stream_writer.write(
        head(f"GET /api/orders/{order['orderId']}/stream".encode(),
             f"Authorization: Bearer {order['orderToken']}".encode())
    )  # fmt: skip
    async with asyncio.timeout(30):
        assert (await stream_reader.readline()).startswith(b"HTTP/1.1 200")
    held = [await api.connect() for _ in range(6)]
    assert (await api.get("/livez"))[0] == 200
    closed = [asyncio.create_task(ended(reader)) for reader, _ in held]
    await until_true(lambda: sum(task.done() for task in closed) >= 4)
    assert not stream_reader.at_eof(), "who is being answered is not closed"
    for task in closed:
        task.cancel()
    for _, writer in [*held, (None, stream_writer)]:
        writer.close()


async def test_who_takes_nothing_is_dropped_by_the_kernel(make_api: MakeApi) -> None:
    api = await make_api(connections=ConnectionLimits(unread_s=7))
    _, writer = await api.connect()
    runner: Any = api.client.server.runner
    await until_true(lambda: len(runner.connections) > 0)
    (known,) = [k for k in runner.connections._known.values() if k.client == "127.0.0.1"]
    accepted = known.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
    writer.close()


def test_what_connections_are_given() -> None:
    """They end well before aiohttp's hour, and files are left for RocksDB and Kafka."""
    limits = ConnectionLimits()
    assert limits.first_head_s < limits.idle_s <= 120
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_allowed() <= max(64, files // 2)
