"""Reads tokens of the platform's identity provider: of staff, and of customers with an account."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt

from models.errors import UnavailableError
from web.http.decoding import DecodingError, check_token
from web.http.tokens import (
    CLAIM_NAMES,
    BadTokenError,
    ClaimNames,
    Identity,
    Role,
    decoded,
    role_of,
    staff_of,
    user_id,
)


class JwksVerifier:
    """Reads tokens that the platform's identity provider signed; its keys come from a JWKS address."""

    ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
    """Asymmetric alone: a public key must never serve as the secret of an HMAC."""

    def __init__(
        self,
        jwks_url: str,
        *,
        issuer: str,
        audience: str,
        timeout_s: float = 5.0,
        names: ClaimNames = CLAIM_NAMES,
    ) -> None:
        """timeout_s: how long the provider may take; after a failure it is left alone as long."""
        self._keys = jwt.PyJWKClient(jwks_url, timeout=timeout_s)
        self._issuer, self._audience = issuer, audience
        self._timeout_s, self._names = timeout_s, names
        self._fetch_lock = asyncio.Lock()
        self._retry_at_s = 0.0

    async def verify(self, token: str) -> Identity:
        """Raises BadTokenError, and UnavailableError when the provider can't be reached."""
        return staff_of(await self.claims(token), self._names)

    async def customer(self, token: str) -> str | None:
        """A token without a role is a customer's. Raises as `verify` does."""
        claims = await self.claims(token)
        if role_of(claims, self._names) != Role.CUSTOMER:
            return None
        return user_id(self._issuer, str(claims["sub"]))

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What a valid token says. Raises as `verify` does."""
        key = self._known_key(token) or await self._fetched_key(token)
        return decoded(
            token, key, list(self.ALGORITHMS), issuer=self._issuer, audience=self._audience
        )

    def _known_key(self, token: str) -> jwt.PyJWK | None:
        """So that a forged key id, for which the provider is asked, keeps nobody else waiting."""
        try:
            check_token(token)
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, DecodingError):
            raise BadTokenError("not valid") from None
        cache = self._keys.jwk_set_cache
        known = cache.get() if cache and kid else None
        keys = known.keys if known else ()
        fits = (key for key in keys if key.key_id == kid and key.public_key_use in {"sig", None})
        return next(fits, None)

    async def _fetched_key(self, token: str) -> jwt.PyJWK:
        """Fetches over the network now and then, and blocks a thread while it does.

        One thread at most: anybody may send tokens, and the provider may hang.
        """
        async with self._fetch_lock:
            if time.monotonic() < self._retry_at_s:
                raise UnavailableError("the identity provider's keys could not be fetched")
            try:
                return await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            except jwt.PyJWKClientConnectionError:
                self._retry_at_s = time.monotonic() + self._timeout_s
                raise UnavailableError("the identity provider's keys can't be fetched") from None
            except jwt.PyJWTError:
                raise BadTokenError("not signed by a key of the identity provider") from None
