"""Sessions of staff who signed in at the identity provider: tokens of ours, which every worker reads.

The provider's own token may end after minutes, and with it a kitchen's board. Ours lasts a shift.
"""

import time
from typing import Any, Final

import jwt

from web.http.decoding import DecodingError, check_token
from web.http.tokens import BadTokenError, Identity, Role, StaffVerifier, decoded, staff_of

SHIFT_S: Final = 12 * 3600


class StaffSessions:
    """Issues sessions and reads them; every other token is given to the verifier beside it."""

    ISSUER: Final = "tiffin-staff"

    def __init__(self, key: str, others: StaffVerifier | None) -> None:
        """key: TIFFIN_ORDER_TOKEN_KEY. others: None where the provider's own tokens are not taken."""
        self._key, self._others = key, others

    def issue(self, identity: Identity) -> str:
        """A token for a shift."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.ISSUER, "sub": identity.subject, "role": identity.role.value, "iat": now,
            "exp": now + SHIFT_S,
        }  # fmt: skip
        if identity.role is Role.KITCHEN:
            claims["restaurantId"] = identity.restaurant_id
        return jwt.encode(claims, self._key, algorithm="HS256")

    async def verify(self, token: str) -> Identity:
        """Raises BadTokenError and UnavailableError."""
        if self._is_session(token):
            return staff_of(decoded(token, self._key, ["HS256"], issuer=self.ISSUER))
        if self._others is None:
            raise BadTokenError("not a session of ours")
        return await self._others.verify(token)

    async def customer(self, token: str) -> str | None:
        """A session is never a customer's. Raises as `verify` does."""
        if self._is_session(token) or self._others is None:
            return None
        return await self._others.customer(token)

    def _is_session(self, token: str) -> bool:
        """Say who claims to have issued it; nothing is verified by that."""
        try:
            return check_token(token).get("iss") == self.ISSUER
        except DecodingError:
            return False
