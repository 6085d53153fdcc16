"""Staff sign in at the platform's identity provider: OpenID Connect, authorization code with PKCE.

RFC 7636, RFC 6749 4.1, OpenID Connect Core 3.1 and Discovery. What one request must remember for the next
is in a signed cookie, so any worker may end what another one began.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import aiohttp
import jwt
import orjson
from yarl import URL

from models.errors import UnavailableError
from web.http.identity_provider import JwksVerifier
from web.http.tokens import BadTokenError, ClaimNames, Identity, decoded, staff_of

DISCOVERY: Final = "/.well-known/openid-configuration"
CALLBACK: Final = "/login/callback"
STATE_ISSUER: Final = "tiffin-sign-in"
STATE_S: Final = 600
TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 65_536
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OpenIdSignIn:
    """Of one client at one provider, whose endpoints are found by discovery, at the first sign-in."""

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        scopes: str,
        public_url: str,
        key: str,
        names: ClaimNames,
    ) -> None:
        """client_secret: None for a public client. key: signs what is remembered in the cookie."""
        self._issuer, self._client_id, self._secret = issuer, client_id, client_secret
        self._scopes, self._key, self._names = scopes, key, names
        self._callback = f"{public_url.rstrip('/')}{CALLBACK}"
        self._endpoints: dict[str, str] | None = None
        self._verifier: JwksVerifier | None = None

    async def begin(self, target: str) -> tuple[str, str]:
        """The provider's address to send the browser to, and the cookie to give it; for ten minutes.

        target: the path to go on to afterwards. Raises UnavailableError.
        """
        endpoints = await self._discovered()
        state, nonce, code_verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = hashlib.sha256(code_verifier.encode()).digest()
        url = URL(endpoints["authorization_endpoint"]).update_query(
            response_type="code", client_id=self._client_id, redirect_uri=self._callback,
            scope=self._scopes, state=state, nonce=nonce, code_challenge_method="S256",
            code_challenge=base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        )  # fmt: skip
        remembered = {
            "iss": STATE_ISSUER, "sub": "staff", "exp": int(time.time()) + STATE_S, "state": state,
            "nonce": nonce, "verifier": code_verifier, "target": target,
        }  # fmt: skip
        return str(url), jwt.encode(remembered, self._key, algorithm="HS256")

    async def finish(self, cookie: str, state: str, code: str) -> tuple[Identity, str]:
        """Who signed in, and the path to go on to. Raises BadTokenError and UnavailableError."""
        known = decoded(cookie, self._key, ["HS256"], issuer=STATE_ISSUER, required=("state",))
        if not hmac.compare_digest(known["state"].encode(), state.encode(errors="replace")):
            raise BadTokenError("of another sign-in than this browser's latest: sign in again")
        token = await self._exchange(code, known["verifier"])
        assert self._verifier is not None, "made with the endpoints"
        claims = await self._verifier.claims(token)
        if claims.get("nonce") != known["nonce"]:
            raise BadTokenError("not of this sign-in")
        return staff_of(claims, self._names), known["target"]

    async def _exchange(self, code: str, code_verifier: str) -> str:
        """The ID token for an authorization code."""
        endpoints = await self._discovered()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._callback,
            "client_id": self._client_id, "code_verifier": code_verifier,
        }  # fmt: skip
        headers = {"Authorization": self._basic(self._secret)} if self._secret else {}
        answer = await _json("POST", endpoints["token_endpoint"], data=form, headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise BadTokenError("not given by the identity provider: sign in again")
        return token

    def _basic(self, secret: str) -> str:
        """RFC 6749 2.3.1: both parts are form-encoded before."""
        pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _discovered(self) -> Mapping[str, str]:
        if self._endpoints is None:
            found = await _json("GET", f"{self._issuer.rstrip('/')}{DISCOVERY}")
            if found.get("issuer") != self._issuer:
                raise UnavailableError(
                    "the identity provider's issuer is not TIFFIN_PLATFORM_ISSUER"
                )
            if not all(isinstance(found.get(name), str) for name in ENDPOINTS):
                raise UnavailableError("the identity provider does not say where its endpoints are")
            self._verifier = JwksVerifier(
                found["jwks_uri"], issuer=self._issuer, audience=self._client_id, names=self._names
            )
            self._endpoints = {name: found[name] for name in ENDPOINTS}
        return self._endpoints


async def _json(method: str, url: str, **request: Any) -> dict[str, Any]:
    """The JSON object that a provider answers, {} where it refuses (4xx). Raises UnavailableError.

    A session of its own: somebody signs in a few times a day.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, allow_redirects=False, **request) as answer,
        ):
            if answer.status >= 500:
                raise UnavailableError("the identity provider has a fault; try again")
            body = await answer.content.read(MAX_ANSWER_BYTES)
            if answer.status != 200:
                return {}
    except (aiohttp.ClientError, TimeoutError):
        raise UnavailableError("the identity provider can't be reached") from None
    try:
        found = orjson.loads(body)
    except ValueError:
        raise UnavailableError("the identity provider's answer can't be read") from None
    return found if isinstance(found, dict) else {}
