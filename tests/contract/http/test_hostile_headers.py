"""Heads that no browser sends: bytes that are no text, odd hosts, forged tokens. A 4xx each, nothing told."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import TYPE_CHECKING, Any

import jwt
import orjson
import pytest
from yarl import URL

from tests.support.http_api import CART, head, new_key
from tests.support.waiting import until_true
from web.http import bodies
from web.http.decoding import MAX_TOKEN_CHARS
from web.http.tokens import OrderTokens, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.http_api import Api, MakeApi

HEADERS = [
    b"Tiffin-Worker", b"Tiffin-Partitions", b"Tiffin-Hop", b"Tiffin-Admission", b"Authorization",
    b"Cookie", b"Idempotency-Key", b"Last-Event-ID", b"Consistency-Token", b"traceparent", b"Accept",
    b"Accept-Language", b"Accept-Encoding", b"Content-Type", b"Content-Encoding", b"Origin",
    b"Sec-Fetch-Site", b"X-Forwarded-For", b"X-Forwarded-Proto", b"If-None-Match", b"HX-Request",
    b"Stripe-Signature", b"User-Agent", b"Referer", b"Expect", b"Range", b"Host",
]  # fmt: skip
VALUES = [b"\xff", b"Bearer \xff", b"tiffin_staff=\xed\xb2\x80"]
PATHS = [
    b"GET /api/restaurants", b"GET /api/orders/%s", b"GET /api/ops/orders", b"GET /orders/%s",
    b"GET /ops", b"GET /docs", b"GET /static/style.css", b"GET /metrics", b"GET /nothing",
    b"POST /api/payments/create-intent", b"POST /api/payments/confirm", b"POST /webhooks/stripe",
    b"POST /login", b"POST /checkout", b"GET /api/orders/%s/stream", b"GET /livez",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_bytes_that_are_no_text_are_refused(api: Api, path: bytes) -> None:
    order = await api.order()
    line = path.replace(b"%s", order["orderId"].encode())
    has_all = path in PATHS[:1] + PATHS[-2:-1]  # whatever the path, the head is looked at first
    for name in HEADERS if has_all else (b"Authorization", b"Expect"):
        for value in VALUES:
            status, headers, body = await api.raw(head(line, name + b": " + value))
            assert 400 <= status < 500, (name, value, body)
            assert headers["content-type"].startswith("application/problem+json"), (name, value)
            assert orjson.loads(body)["code"] == "BAD_REQUEST"


ADDRESSES = [
        b"GET /\xff", b"GET /orders/\xff", b"GET /api/orders/%ff%fe", b"GET /?q=\xff", b"GET /%00",
        b"GET /api/orders/%ed%b2%80", b"GET //[", b"GET http://[/", b"GET *", b"GET /\xc3\xa9",
        b"GET /api/ops/orders?limit=%ff", b"\xff /", b"GET /static/%2e%2e/%2e%2e/etc/passwd",
        b"OPTIONS *", b"GET http://evil.example:99999/", b"CONNECT evil.example:80", b"GET /?%s",
]  # fmt: skip


async def test_odd_addresses(api: Api) -> None:
    for line in ADDRESSES:
        status, _, body = await api.raw(head(line))
        assert status < 500, (line, body)


HOSTS = [
    b"[", b"]", b"[::1", b"a b", b"a/b", b"a@b", b"http://x", b"x:99999", b"x:y", b"", b"\xc3\xa9",
    b"a" * 300,
]  # fmt: skip


@pytest.mark.parametrize("line", [b"GET /", b"POST /api/payments/confirm"])
async def test_odd_hosts(api: Api, line: bytes) -> None:
    for host in HOSTS:
        status, _, body = await api.raw(head(line, b"Host: " + host))
        assert (status, orjson.loads(body)["code"]) == (400, "BAD_REQUEST"), host


ORIGINS = ["http://[", "http://]", "null", "http://", "http://[::1", "x" * 5000, "file:///"]


async def test_odd_origins(api: Api) -> None:
    for origin in ORIGINS:
        status, problem, _ = await api.post(
            "/api/payments/create-intent", CART, headers={"Origin": origin}
        )
        assert (status, problem["code"]) == (403, "ORIGIN_REFUSED"), origin


OWN = URL("http://worker-1:6066")


@pytest.mark.parametrize(
    ("host", "changes", "base"),
    [
        ("evil.example", {"own_url": OWN}, "http://worker-1:6066"),
        ("evil.example:6066", {"own_url": OWN}, "http://worker-1:6066"),
        ("worker-1:6066", {"own_url": OWN}, "http://worker-1:6066"),
        ("localhost.evil.example", {"own_url": OWN}, "http://worker-1:6066"),
        ("localhost:8080", {"own_url": OWN}, "http://localhost:8080"),
        ("[::1]:8080", {"own_url": OWN}, "http://[::1]:8080"),
        ("shop.example", {"own_url": OWN, "allowed_origins": ["http://shop.example"]},
         "http://shop.example"),
        ("evil.example", {"public_url": "https://eat.example"}, "https://eat.example"),
    ],
)  # fmt: skip
async def test_foreign_host_is_no_return_url(
    make_api: MakeApi, host: str, changes: dict[str, Any], base: str
) -> None:
    api = await make_api(**changes)
    order = await api.order()
    body = {"orderId": order["orderId"], "paymentMethodId": "pm_card_visa"}
    status, _, _ = await api.post(
        "/api/payments/confirm", body, token=order["orderToken"], headers={"Host": host}
    )
    assert status == 200
    (confirm,) = [c.data for c in api.world.commands if c.command_type == "CONFIRM_PAYMENT"]
    assert confirm.return_url == f"{base}/orders/{order['orderId']}"


def packed(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


HEAD = b'{"alg":"HS256","typ":"JWT"}'


def token_of(claims: bytes, first: bytes = HEAD) -> str:
    return f"{packed(first)}.{packed(claims)}.x"


def tokens() -> Iterator[tuple[str, str]]:
    yield "foreign", OrderTokens("x" * 32).issue("guest", "order_1")
    yield "deep claims", token_of(b"[" * 5000)
    yield "deep claims, whole", token_of(b"[" * 900 + b"]" * 900)
    yield "deep object", token_of(b'{"a":' * 900 + b"1" + b"}" * 900)
    yield "deep head", token_of(b"{}", b"[" * 5000)
    yield "long number", token_of(b'{"exp":' + b"9" * 5000 + b"}")
    yield "large exponent", token_of(b'{"exp":1e5000000}')
    yield "many claims", token_of(orjson.dumps({str(n): n for n in range(600)}))
    yield "claims of a list", token_of(b"[1]")
    yield "head of a list", token_of(b"{}", b"[1]")
    yield "kid of a list", token_of(b"{}", b'{"alg":"RS256","kid":[1]}')
    yield "no algorithm", token_of(b'{"iss":"tiffin"}', b'{"alg":"none"}')[:-1]
    yield "no base64", "a.b.c"
    yield "not ascii", "é.é.é"
    yield "dots", "." * 4000
    yield "too long", "a" * (MAX_TOKEN_CHARS + 1)
    yield "issuer of a list", token_of(b'{"iss":["tiffin"]}')


TOKENS = dict(tokens())


async def test_forged_token_is_401_wherever_it_stands(api: Api) -> None:
    order_id = (await api.order())["orderId"]
    for name, token in TOKENS.items():
        if len(token) <= MAX_TOKEN_CHARS - 20 and token.isascii():
            for path in (f"/api/orders/{order_id}", "/api/ops/orders", "/api/deliveries"):
                assert (await api.get(path, token))[0] == 401, name
                cookies = f"tiffin_staff={token}; tiffin_order_{order_id[6:]}={token}"
                if len(cookies) < 8000:
                    assert (await api.get(path, Cookie=cookies))[0] == 401, name
        async with api.client.post("/login", data={"token": token}) as response:
            assert response.status in {200, 400}, name
            assert "Sign-in failed" in await response.text() or response.status == 400


async def test_signed_claims_beyond_all_bounds_are_refused(api: Api) -> None:
    """As a platform's provider might sign them."""
    claims = {"iss": "tiffin-development", "sub": "olga", "role": "operator"}
    now = int(time.time())
    for wrong in (
        {"exp": 2**80}, {"exp": "x"}, {"exp": -1}, {"exp": now + 60, "sub": ""},
        {"exp": now + 60, "sub": "x" * 256}, {"exp": now + 60, "sub": "a\nb"},
        {"exp": now + 60, "role": ["owner", 7]}, {"exp": now + 60, "role": [["operator"]]},
        {"exp": now + 60, "role": {"operator": 1}}, {"exp": now + 60, "nbf": 2**80},
        {"exp": 1e300},
    ):  # fmt: skip
        token = jwt.encode(claims | wrong, "d" * 32, algorithm="HS256")
        status, problem = await api.get("/api/ops/orders", token)
        assert status in {200, 401}, wrong
        assert status == 401 or wrong in ({"exp": 2**80}, {"exp": 1e300}), (wrong, problem)


async def test_kitchen_without_a_restaurant_sees_nothing(api: Api) -> None:
    await api.paid()
    restaurants: list[Any] = ["", " ", "\t", None, 7, [], {}, ["annapurna-bengaluru"]]
    for restaurant in restaurants:
        claims = {
            "iss": "tiffin-development", "sub": "kim", "role": "kitchen",
            "restaurantId": restaurant, "exp": int(time.time()) + 60,
        }  # fmt: skip
        token = jwt.encode(claims, "d" * 32, algorithm="HS256")
        for path in ("/api/kitchen/orders", "/kitchen", "/kitchen/stream"):
            status, problem = await api.get(path, token)
            assert (status, problem["code"]) == (401, "TOKEN_INVALID"), restaurant


async def test_kitchen_names_no_other_restaurant(api: Api) -> None:
    await api.paid()
    other = api.staff.issue(Role.KITCHEN, "kim", "blue-door-brooklyn")
    status, found = await api.get("/api/kitchen/orders?restaurantId=annapurna-bengaluru", other)
    assert (status, found["orders"]) == (200, [])


SECRET = b"eyJhbGciOiJIUzI1NiJ9.c2VjcmV0"


@pytest.mark.parametrize(
    "sent",
    [
        head(b"GET /", b"Authorization: Bearer " + SECRET + b"\x00"),
        head(b"GET /", b"Authorization : Bearer " + SECRET),
        head(b"GET /", b"Authorization: Bearer " + SECRET * 400),
        head(b"GET /", b"Cookie: tiffin_staff=" + SECRET + b"\x01\x00"),
        head(b"GET /", b"Authorization: Bearer " + SECRET, b"Content-Length: x"),
        head(b"GET /", b"Authorization: Bearer " + SECRET, b"Host: ["),
        head(b"GET /?token=" + SECRET + b"\x00"),
        b"\x16\x03\x01" + SECRET + b"\r\n\r\n",
        b"Authorization: Bearer " + SECRET + b"\r\n\r\n",
        head(b"POST /api/payments/confirm", b"Transfer-Encoding: chunked", b"Cookie: " + SECRET)
        + b"zz\r\n" + SECRET,
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_and_told_nowhere(
    api: Api, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    status, headers, body = await api.raw(sent)
    assert 400 <= status < 500
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    told = body.decode() + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert SECRET.decode() not in told.replace(str(sent), "")


QUERIES = [
        "limit=" + "0" * 5000 + "1", "limit=" + "9" * 5000, "limit=-1", "limit=1e1", "limit=1_0",
        "limit=%2B1", "limit=%D9%A1", "limit=0000012345", "limit=", "limit=1.0", "limit=%20 1",
        "before=" + "0" * 5000, "before=" + "9" * 5000, "before=9" * 1, "before=x", "before=-1",
        "partition=" + "0" * 5000, "after=x." + "9" * 5000, "asOf=" + "9" * 5000, "asOf=0001-01-01",
        "asOf=9999-12-31T23:59:59.999999-23:59", "asOf=0001-01-01T00:00:00%2B23:59",
        "from=" + "9" * 4000, "from=9999-12-31&to=0001-01-01", "to=2026-11-26T24:00:00Z",
        "from=2026-W01-1", "lastEventId=%ff", "consistencyToken=" + "A" * 5000,
        "consistencyToken=%ff", "q=" + "9" * 5000, "seen=%00", "personal=%ff", "state=%ed%b2%80",
]  # fmt: skip


async def test_numbers_and_times_of_a_query(api: Api) -> None:
    order = await api.paid()
    paths = [
        "/api/ops/orders", "/api/ops/refunds", "/api/ops/stuck", "/api/deliveries",
        "/api/ops/notifications", "/api/ops/digests", "/api/reports/payments", "/boards/changes",
        "/api/ops/search", f"/api/orders/{order['orderId']}", "/ops/orders", "/ops/payments",
        f"/orders/{order['orderId']}",
    ]  # fmt: skip
    headers = f"Authorization: Bearer {api.operator}".encode()
    for path in paths:
        for query in QUERIES:
            status, _, body = await api.raw(head(f"GET {path}?{query}".encode(), headers))
            assert status < 500, (path, query, body)


async def test_chunks_that_can_not_be_read(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a packet of their own, so that the request is under way by then."""
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.5)
    lines = [
        b"Transfer-Encoding: chunked", b"Content-Type: application/json",
        b"Idempotency-Key: " + new_key().encode(),
    ]  # fmt: skip
    reader, writer = await api.connect()
    writer.write(head(b"POST /api/payments/create-intent", *lines) + b"1\r\n{\r\n")
    await until_true(lambda: api.client.server.runner.server.requests_count > 0)
    writer.write(b"zz\r\n")
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert "request failed" not in caplog.text


async def test_who_leaves_is_no_failure_of_ours(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    lines = [b"Content-Length: 1000", b"Idempotency-Key: " + new_key().encode()]
    _, writer = await api.connect()
    writer.write(head(b"POST /api/payments/create-intent", *lines) + b"{")
    runner: Any = api.client.server.runner
    await until_true(lambda: runner.server.requests_count > 0)
    writer.transport.abort()
    await until_true(lambda: not runner.connections)
    await asyncio.sleep(0)
    assert "request failed" not in caplog.text


async def test_a_limit_is_never_read_as_another(api: Api) -> None:
    for text in ("0000012345", "1001", "0" * 5000 + "1"):
        status, problem = await api.get(f"/api/ops/orders?limit={text}", api.operator)
        assert (status, problem["errors"][0]["field"]) == (400, "limit")


async def test_a_write_with_text_that_is_none_changes_nothing(api: Api) -> None:
    raw = orjson.dumps(CART)
    lines = [
        b"Content-Type: application/json", b"Content-Length: %d" % len(raw),
        b"Idempotency-Key: " + new_key().encode(), b"X-Odd: \xff",
    ]  # fmt: skip
    status, _, body = await api.raw(head(b"POST /api/payments/create-intent", *lines), raw)
    assert (status, orjson.loads(body)["errors"][0]["field"]) == (400, "X-Odd")
    assert not api.world.commands
