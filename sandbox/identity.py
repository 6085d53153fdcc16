"""`python -m sandbox.identity`: a small identity provider: OpenID Connect, authorization code with PKCE.

Its accounts sign in by a click. It refuses what a provider must refuse: another client, another place to send
the browser back to, a code that was used, and a code verifier that does not fit (RFC 6749, RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus

import click
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from yarl import URL

KEY_ID: Final = "k1"
CODE_S: Final = 60
TOKEN_S: Final = 300
ACCOUNTS: Final[Mapping[str, dict[str, Any]]] = {
    "olga": {"role": "operator"},
    "kim": {"role": "kitchen", "restaurantId": "annapurna-bengaluru"},
    "carl": {"role": "courier"},
    "nobody": {},
}
"""Subject -> its further claims."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code stands for."""

    subject: str
    nonce: str
    challenge: str
    redirect_uri: str
    ends_s: float


@dataclass(slots=True)
class IdentityProvider:
    """One client's provider. client_secret: None for a public client. issuer: set once it listens."""

    client_id: str = "tiffin-staff"
    client_secret: str | None = None
    redirect_uri: str = "http://127.0.0.1:8000/login/callback"
    accounts: Mapping[str, dict[str, Any]] = field(default_factory=lambda: ACCOUNTS)
    issuer: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    _grants: dict[str, _Grant] = field(default_factory=dict)

    def application(self) -> web.Application:
        """Its server."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        return app

    async def _configuration(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        known = {**public, "kid": KEY_ID, "alg": "RS256", "use": "sig"}
        return web.json_response({"keys": [known]})

    async def _authorize(self, request: web.Request) -> web.Response:
        """A page with the accounts; with `account` the browser goes back with a code."""
        query = request.query
        wanted = {
            "client_id": self.client_id, "redirect_uri": self.redirect_uri, "response_type": "code",
            "code_challenge_method": "S256",
        }  # fmt: skip
        wrong = [name for name, value in wanted.items() if query.get(name) != value]
        if wrong or "openid" not in query.get("scope", "").split():
            return web.Response(status=400, text=f"not accepted: {', '.join(wrong) or 'scope'}")
        account = query.get("account")
        if account is None:
            return _page(request.url, self.accounts)
        answer = {"state": query.get("state", "")}
        if account in self.accounts:
            answer["code"] = secrets.token_urlsafe(24)
            self._grants[answer["code"]] = _Grant(
                account, query.get("nonce", ""), query.get("code_challenge", ""),
                self.redirect_uri, time.monotonic() + CODE_S,
            )  # fmt: skip
        else:
            answer["error"] = "access_denied"
        raise web.HTTPFound(URL(self.redirect_uri).update_query(answer))

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        header = request.headers.get("Authorization", "")
        if self.client_secret is not None:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            expected = f"Basic {base64.b64encode(pair.encode()).decode()}"
            if not hmac.compare_digest(header, expected):
                return web.json_response({"error": "invalid_client"}, status=401)
        grant = self._grants.pop(str(form.get("code")), None)
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            grant is None
            or form.get("client_id") != self.client_id
            or form.get("redirect_uri") != grant.redirect_uri
            or not hmac.compare_digest(challenge, grant.challenge)
            or time.monotonic() > grant.ends_s
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.id_token(grant.subject, nonce=grant.nonce)
        return web.json_response(
            {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "id_token": token}
        )

    def id_token(self, subject: str, **claims: Any) -> str:
        """A signed ID token of an account."""
        now = int(time.time())
        told = {
            "iss": self.issuer, "aud": self.client_id, "sub": subject, "iat": now,
            "exp": now + TOKEN_S, **claims, **self.accounts[subject],
        }  # fmt: skip
        return jwt.encode(told, self.key, algorithm="RS256", headers={"kid": KEY_ID})


def _page(url: URL, accounts: Mapping[str, Any]) -> web.Response:
    links = "".join(
        f'<li><a href="{html.escape(str(url.update_query(account=name)))}">{html.escape(name)}</a>'
        for name in accounts
    )
    text = f"<!doctype html><title>Sign in</title><h1>Who are you?</h1><ul>{links}</ul>"
    return web.Response(text=text, content_type="text/html")


@click.command(help="Run an identity provider for trying staff's sign-in.")
@click.option("--port", default=8020, show_default=True)
@click.option("--redirect-uri", default="http://127.0.0.1:8000/login/callback", show_default=True)
def main(port: int, redirect_uri: str) -> None:
    """Serve until Ctrl-C."""
    provider = IdentityProvider(redirect_uri=redirect_uri, issuer=f"http://127.0.0.1:{port}")
    click.echo(f"issuer {provider.issuer}, client id {provider.client_id}")
    web.run_app(provider.application(), host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main()
