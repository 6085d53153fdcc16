"""Who may do what: order tokens, staff tokens, cookies, foreign pages."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator

import jwt
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

from models import ids
from models.errors import UnavailableError
from tests.support.http_api import CART, Api, MakeApi
from web.http.identity_provider import JwksVerifier
from web.http.tokens import (
    BadTokenError,
    DevelopmentStaff,
    OrderTokens,
    Role,
)

VIEWS = ["/api/orders/{}", "/api/orders/{}/timeline", "/api/orders/{}/stream", "/api/payments/{}"]


@pytest.mark.parametrize("path", VIEWS)
async def test_views_need_the_orders_token(api: Api, path: str) -> None:
    order, other = await api.order(), await api.order()
    path = path.format(order["orderId"])
    status, problem = await api.get(path)
    assert (status, problem["code"]) == (401, "TOKEN_MISSING")
    status, problem = await api.get(path, other["orderToken"])
    assert (status, problem["code"]) == (403, "WRONG_ORDER")
    status, problem = await api.get(path, api.staff.issue(Role.COURIER, "carl"))
    assert (status, problem["code"]) == (403, "ROLE_REFUSED")


async def test_nobody_confirms_or_cancels_someone_elses_order(api: Api) -> None:
    order, other = await api.order(), await api.order()
    sent = len(api.world.commands)
    stolen = {**order, "orderToken": other["orderToken"]}
    status, problem = await api.confirm(stolen)
    assert (status, problem["code"]) == (403, "WRONG_ORDER")
    path = f"/api/orders/{order['orderId']}/cancel"
    status, problem, _ = await api.post(path, {}, token=other["orderToken"])
    assert (status, problem["code"]) == (403, "WRONG_ORDER")
    status, problem, _ = await api.post(path, {})
    assert (status, problem["code"]) == (401, "TOKEN_MISSING")
    refunds = f"/api/payments/{order['orderId']}/refunds"
    status, problem, _ = await api.post(refunds, {}, token=order["orderToken"])
    assert (status, problem["code"]) == (403, "ROLE_REFUSED")
    assert len(api.world.commands) == sent


async def test_cookie_is_as_good_as_the_token_and_another_orders_is_not(api: Api) -> None:
    _, order, response = await api.post("/api/payments/create-intent", CART)
    name = f"tiffin_order_{order['orderId'].removeprefix('order_')}"
    cookie = response.cookies[name]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie.value == order["orderToken"]
    headers = {"Cookie": f"{name}={cookie.value}"}
    assert (await api.get(f"/api/orders/{order['orderId']}", **headers))[0] == 200
    other = await api.order()
    status, problem = await api.get(f"/api/orders/{other['orderId']}", **headers)
    assert (status, problem["code"]) == (403, "WRONG_ORDER")


async def test_a_browser_keeps_a_bounded_number_of_order_cookies(api: Api) -> None:
    old = [f"tiffin_order_{n:026}" for n in range(12)]
    headers = {"Cookie": "; ".join(f"{name}=x" for name in old)}
    _, _, response = await api.post("/api/payments/create-intent", CART, headers=headers)
    taken = [name for name, morsel in response.cookies.items() if morsel["max-age"] == "0"]
    assert taken == old[:5]


async def test_secure_cookies(make_api: MakeApi) -> None:
    api = await make_api(secure_cookies=True)
    _, _, response = await api.post("/api/payments/create-intent", CART)
    assert all(morsel["secure"] for morsel in response.cookies.values())
    assert response.headers["Strict-Transport-Security"]


def forged(**claims: object) -> dict[str, object]:
    return {
        "iss": "tiffin", "sub": "guest_x", "role": "customer", "exp": time.time() + 60, **claims
    }  # fmt: skip


async def test_forged_expired_and_foolish_tokens(api: Api) -> None:
    order = await api.order()
    order_id = order["orderId"]
    unsigned = {"alg": "none", "typ": "JWT"}
    none = ".".join(
        base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=")
        for part in (unsigned, forged(oid=order_id))
    )
    tokens = [
        jwt.encode(forged(oid=order_id), "x" * 32, algorithm="HS256"),
        jwt.encode(forged(oid=order_id, exp=time.time() - 3600), "o" * 32, algorithm="HS256"),
        jwt.encode(forged(), "o" * 32, algorithm="HS256"),
        jwt.encode(forged(oid=order_id, role="operator"), "o" * 32, algorithm="HS256"),
        jwt.encode(forged(oid=order_id, iss="other"), "o" * 32, algorithm="HS256"),
        jwt.encode({"iss": "tiffin-development", "sub": "x", "role": "operator"}, "d" * 32),
        f"{none}.",
        "garbage",
        order["orderToken"][:-2],
    ]
    for token in tokens:
        status, problem = await api.get(f"/api/orders/{order_id}", token)
        assert (status, problem["code"]) == (401, "TOKEN_INVALID"), token
    for header in ("Bearer", "Basic b2xnYTpvbGdh", ""):
        status, problem = await api.get(f"/api/orders/{order_id}", Authorization=header)
        assert (status, problem["code"]) == (401, "TOKEN_INVALID")


async def test_operator_sees_any_order_and_learns_that_one_is_unknown(api: Api) -> None:
    order = await api.order()
    assert (await api.get(f"/api/orders/{order['orderId']}", api.operator))[0] == 200
    unknown = ids.order_id("guest", "nobody's key")
    for path in VIEWS:
        status, problem = await api.get(path.format(unknown), api.operator)
        assert status == 404
        assert problem["code"] in {"ORDER_UNKNOWN", "PAYMENT_UNKNOWN"}
    for path in ("/api/orders/{}/cancel", "/api/payments/{}/refunds"):
        status, problem, _ = await api.post(path.format(unknown), {}, token=api.operator)
        assert (status, problem["code"]) == (404, "ORDER_UNKNOWN")
    assert len(api.world.commands) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://shop.example"}, 201),
        ({"Origin": "https://tiffin.example"}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({}, 201),
    ],
    ids=str,
)
async def test_pages_of_other_origins_post_nothing(
    make_api: MakeApi, headers: dict[str, str], status: int
) -> None:
    api = await make_api(
        allowed_origins=["https://shop.example"], public_url="https://tiffin.example/base"
    )
    got, answer, _ = await api.post("/api/payments/create-intent", CART, headers=headers)
    assert got == status, answer
    assert len(api.world.commands) == (status == 201)


async def test_own_origin_may_post(api: Api) -> None:
    origin = str(api.client.make_url("/")).rstrip("/")
    status, _, _ = await api.post("/api/payments/create-intent", CART, headers={"Origin": origin})
    assert status == 201


async def test_without_a_provider_staff_is_refused(make_api: MakeApi) -> None:
    api = await make_api(staff=None)
    order = await api.order()
    status, problem = await api.get(f"/api/orders/{order['orderId']}", api.operator)
    assert (status, problem["code"]) == (401, "TOKEN_INVALID")


def test_development_login_refuses_to_start_outside_the_sandbox() -> None:
    with pytest.raises(ValueError, match="sandbox"):
        DevelopmentStaff("d" * 32, sandbox=False)
    with pytest.raises(ValueError, match="32"):
        OrderTokens("short")


@pytest.fixture
async def provider() -> AsyncIterator[tuple[str, rsa.RSAPrivateKey]]:
    """An identity provider's key, published at a JWKS address."""
    key = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]})

    app = web.Application()
    app.router.add_get("/jwks", keys)
    async with TestServer(app) as server:
        yield str(server.make_url("/jwks")), key


async def test_staff_of_the_identity_provider(
    make_api: MakeApi, provider: tuple[str, rsa.RSAPrivateKey]
) -> None:
    url, key = provider
    verifier = JwksVerifier(url, issuer="https://id.example", audience="tiffin")
    api = await make_api(staff=verifier)
    order = await api.order()
    claims = {
        "iss": "https://id.example", "aud": "tiffin", "sub": "olga", "role": "operator",
        "exp": time.time() + 60,
    }  # fmt: skip
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})
    assert (await api.get(f"/api/orders/{order['orderId']}", token))[0] == 200
    public = key.public_key()
    wrong = [
        jwt.encode(claims | {"aud": "other"}, key, algorithm="RS256", headers={"kid": "k1"}),
        jwt.encode(claims | {"role": "customer"}, key, algorithm="RS256", headers={"kid": "k1"}),
        jwt.encode(claims | {"role": "kitchen"}, key, algorithm="RS256", headers={"kid": "k1"}),
        jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k2"}),
        jwt.encode(
            claims, str(public.public_numbers().n), algorithm="HS256", headers={"kid": "k1"}
        ),
    ]
    for token in wrong:
        with pytest.raises(BadTokenError):
            await verifier.verify(token)


@pytest.mark.parametrize(
    ("claims", "who"),
    [
        ({"sub": "acct-17"}, "acct-17"),
        ({"sub": "acct-17", "role": "customer"}, "acct-17"),
        ({"sub": "asha@example.com"}, "user_"),
        ({"sub": "Asha Rao"}, "user_"),
        ({"sub": "guest_00000000000000000000000000"}, "user_"),
        ({"sub": "olga", "role": "operator"}, "guest_"),
    ],
)
async def test_whose_order_it_is(
    make_api: MakeApi, provider: tuple[str, rsa.RSAPrivateKey], claims: dict[str, str], who: str
) -> None:
    """The account's, where the platform has accounts; a name or an address never enters an event."""
    url, key = provider
    api = await make_api(staff=JwksVerifier(url, issuer="https://id.example", audience="tiffin"))
    known = {"iss": "https://id.example", "aud": "tiffin", "exp": time.time() + 60, **claims}
    token = jwt.encode(known, key, algorithm="RS256", headers={"kid": "k1"})
    status, first, response = await api.post(
        "/api/payments/create-intent", CART, key="k" * 20, token=token
    )
    assert status == 201, first
    placed = api.world.tables["orders"].get(first["orderId"]).state.placed
    assert placed.user_id.startswith(who)
    assert "@" not in placed.user_id
    is_guest = who == "guest_"
    assert ("tiffin_guest" in response.cookies) is is_guest
    _, again, _ = await api.post("/api/payments/create-intent", CART, key="k" * 20, token=token)
    assert again["orderId"] == first["orderId"]
    _, other, _ = await api.post("/api/payments/create-intent", CART, key="k" * 20)
    assert (other["orderId"] == first["orderId"]) is is_guest


async def test_a_forged_account_places_no_order(
    make_api: MakeApi, provider: tuple[str, rsa.RSAPrivateKey]
) -> None:
    url, _ = provider
    api = await make_api(staff=JwksVerifier(url, issuer="https://id.example", audience="tiffin"))
    claims = {"iss": "https://id.example", "aud": "tiffin", "sub": "a", "exp": time.time() + 60}
    forger = rsa.generate_private_key(65537, 2048)
    token = jwt.encode(claims, forger, algorithm="RS256", headers={"kid": "k1"})
    status, problem, _ = await api.post("/api/payments/create-intent", CART, token=token)
    assert (status, problem["code"]) == (401, "TOKEN_INVALID")


async def test_provider_that_is_away_is_503(make_api: MakeApi, unused_tcp_port: int) -> None:
    verifier = JwksVerifier(
        f"http://127.0.0.1:{unused_tcp_port}/jwks", issuer="https://id.example", audience="tiffin"
    )
    token = jwt.encode({"iss": "https://id.example"}, "d" * 32, headers={"kid": "k1"})
    with pytest.raises(UnavailableError):
        await verifier.verify(token)
    api = await make_api(staff=verifier)
    order = await api.order()
    status, problem = await api.get(f"/api/orders/{order['orderId']}", token)
    assert (status, problem["code"]) == (503, "UNAVAILABLE")
