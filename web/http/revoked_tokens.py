"""Revoked tokens of staff: all of a person's, or a single one, until they have expired anyway."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from models.errors import UnavailableError
from web.http.decoding import check_token
from web.http.tokens import BadTokenError, Identity, StaffVerifier

PERSON_KEPT_MS: Final = 400 * 24 * 3600 * 1000
"""So long a person's revocation is kept: no token of staff may be good for longer."""


class Revocation(NamedTuple):
    """What was revoked; times in milliseconds since the epoch, by Kafka's clock.

    subject: whose. token_hash: of the one token; "" for all that were issued before `at_ms`. until_ms: when
    it has no use any more.
    """

    subject: str
    token_hash: str
    at_ms: int
    until_ms: int
    by: str
    reason: str


class RevokedTokens:
    """What this worker knows of. is_known: whether Kafka has told; no staff is let in before."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.is_known = False
        self._now_ms = now_ms
        self._found: dict[tuple[str, str], Revocation] = {}

    def add(self, revocation: Revocation) -> None:
        """Take one; the latest of a person counts. Those that have no use any more go."""
        now_ms = self._now_ms()
        self._found = {key: each for key, each in self._found.items() if each.until_ms > now_ms}
        key = revocation.subject, revocation.token_hash
        known = self._found.get(key)
        if revocation.until_ms > now_ms and (known is None or known.at_ms < revocation.at_ms):
            self._found[key] = revocation

    def all(self) -> Iterator[Revocation]:
        """Those that count, the latest first."""
        now_ms = self._now_ms()
        found = sorted(self._found.values(), key=lambda each: -each.at_ms)
        return (each for each in found if each.until_ms > now_ms)

    def check(self, token: str, subject: str) -> None:
        """Refuse a valid token that was revoked. Raises BadTokenError; UnavailableError at the start.

        A token that does not say when it was issued counts as issued before.
        """
        if not self.is_known:
            raise UnavailableError("which tokens are revoked is not known yet")
        if not self._found:
            return
        if (subject, hash_of(token)) in self._found:
            raise BadTokenError("revoked")
        person = self._found.get((subject, ""))
        if person is None:
            return
        issued_s = check_token(token).get("iat")
        if not isinstance(issued_s, int | float) or issued_s * 1000 <= person.at_ms:
            raise BadTokenError("revoked: sign in again")


class RevocableStaff:
    """A verifier that refuses what was revoked."""

    def __init__(self, verifier: StaffVerifier, revoked: RevokedTokens) -> None:
        self._verifier, self._revoked = verifier, revoked

    async def verify(self, token: str) -> Identity:
        """Raises BadTokenError and UnavailableError."""
        identity = await self._verifier.verify(token)
        self._revoked.check(token, identity.subject)
        return identity

    async def customer(self, token: str) -> str | None:
        """Customers' accounts are the provider's matter. Raises as `verify` does."""
        return await self._verifier.customer(token)


def hash_of(token: str) -> str:
    """What stands for a token in Kafka."""
    return hashlib.sha256(token.encode()).hexdigest()
