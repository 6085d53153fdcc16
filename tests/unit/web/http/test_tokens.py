"""Tokens of the platform against an identity provider that hangs, and against keys of another kind."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from models import ids
from models.errors import UnavailableError
from web.http.identity_provider import JwksVerifier
from web.http.tokens import BadTokenError, OrderTokens

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {
    "keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE.public_key())), "kid": "k1"}]
}


def forged(alg: str, kid: str = "k1") -> str:
    parts = ({"alg": alg, "kid": kid, "typ": "JWT"}, {"iss": "i", "sub": "s", "role": "operator"})
    text = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().strip("=") for part in parts
    ]
    return ".".join([*text, "AAAA"])


@pytest.mark.parametrize(
    "alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256", "none", "RS1", ""]
)
async def test_a_token_signed_in_another_way_is_only_a_bad_token(alg: str) -> None:
    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(KEYS).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        verifier = JwksVerifier(f"http://127.0.0.1:{server.server_port}/", issuer="i", audience="a")
        with pytest.raises(BadTokenError):
            await verifier.verify(forged(alg))
    finally:
        server.shutdown()
        server.server_close()


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, list[int]]]:
    """A provider that takes connections and says nothing."""
    connections: list[int] = []
    end = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await end.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", connections
    finally:
        end.set()
        server.close()


async def test_tokens_of_anybody_keep_one_thread_busy_at_most() -> None:
    async with hanging() as (url, connections):
        verifier = JwksVerifier(url, issuer="i", audience="a", timeout_s=1)
        asked = [asyncio.create_task(verifier.verify(forged("RS256", f"k{n}"))) for n in range(50)]
        while not connections:  # noqa: ASYNC110 - the provider has no event of its own
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert not any(task.done() for task in asked), "other threads are free while it hangs"
        failed = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in failed} == {UnavailableError}
    assert len(connections) == 1


async def test_a_forged_key_id_keeps_nobody_waiting_whose_key_is_known() -> None:
    async with hanging() as (url, connections):
        verifier = JwksVerifier(url, issuer="i", audience="a", timeout_s=1)
        keys = verifier._keys.jwk_set_cache
        assert keys is not None
        keys.put(jwt.PyJWKSet.from_dict(KEYS))
        waits = asyncio.create_task(verifier.verify(forged("RS256", "unknown")))
        while not connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        claims = {"iss": "i", "aud": "a", "sub": "olga", "role": "operator", "exp": 4_000_000_000}
        token = jwt.encode(claims, PRIVATE, algorithm="RS256", headers={"kid": "k1"})
        assert (await verifier.verify(token)).subject == "olga"
        assert not waits.done()
        with pytest.raises(UnavailableError):
            await waits
        assert (await verifier.verify(token)).subject == "olga"


def test_a_token_that_was_verified_expires_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claims are kept, so that it is verified once; its end is looked at each time."""
    tokens = OrderTokens("k" * 32)
    token = tokens.issue("guest_1", ids.order_id("guest", "1"))
    assert tokens.read(token) == tokens.read(token)
    end = jwt.decode(token, options={"verify_signature": False})["exp"]
    monkeypatch.setattr(time, "time", lambda: end + 29)
    assert tokens.read(token).subject == "guest_1"
    monkeypatch.setattr(time, "time", lambda: end + 30)
    with pytest.raises(BadTokenError, match="expired"):
        tokens.read(token)


def test_a_token_counts_for_the_key_that_verified_it_alone() -> None:
    token = OrderTokens("k" * 32).issue("guest_1", ids.order_id("guest", "1"))
    OrderTokens("k" * 32).read(token)
    with pytest.raises(BadTokenError, match="not valid"):
        OrderTokens("l" * 32).read(token)
