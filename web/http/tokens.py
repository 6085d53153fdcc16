"""Who is asking: order tokens that we sign, and tokens of staff from the platform's identity provider.

An order token is good for one order; a customer has it from the answer of create-intent and as an
HttpOnly cookie, one a order. A link in a notification is worth such a token; it is short, for it
goes into short messages.
"""

import base64
import functools
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

import jwt

from models import ids
from web.http.decoding import DecodingError, check_token
from web.http.problems import ProblemError

ISSUER: Final = "tiffin"
ORDER_TOKEN_DAYS: Final = 30
LINK_DAYS: Final = 30
"""After the event; whatever happens later has a notification, and so a link, of its own."""
NOTIFICATION_LINK_SUBJECT: Final = "letter"
"""Subject of the token of somebody who followed a notification's link."""
_SIGNATURE_BYTES: Final = 12
"""Of a link; behind them 4 of its end (seconds since the epoch), 16 of the order, 4 of the notification."""
_LINK: Final = re.compile(r"[A-Za-z0-9_-]{48}")
ADMISSION_ISSUER: Final = "tiffin-worker"
ADMISSION_S: Final = 30
MIN_KEY_BYTES: Final = 32
"""RFC 7518 3.2: as many bytes as the hash has."""
LEEWAY_S: Final = 30
CACHED_TOKENS: Final = 1024
"""Verified ones, whose claims are kept: a page's requests all bear the same."""
MAX_SUBJECT_CHARS: Final = 255
"""OpenID Connect's bound. A subject stands in events and in the audit."""
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:|\-]{0,127}")


class Role(StrEnum):
    """What somebody is to an order."""

    CUSTOMER = "customer"
    KITCHEN = "kitchen"
    COURIER = "courier"
    OPERATOR = "operator"


STAFF_ROLES: Final = frozenset({Role.KITCHEN, Role.COURIER, Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking.

    order_id: the one order that a customer's token is good for. restaurant_id: a kitchen's.
    """

    role: Role
    subject: str
    order_id: str | None = None
    restaurant_id: str | None = None

    @property
    def issued_by(self) -> str:
        """As commands and the audit name them."""
        return f"{self.role}:{self.subject}"


class BadTokenError(ProblemError):
    """A token that is expired, forged, or lacks a claim. text: what it is; fit for the one who sent it."""

    def __init__(self, text: str) -> None:
        super().__init__("TOKEN_INVALID", f"The token is {text}.")
        self.args = (text,)


class OrderTokens:
    """Signs and reads order tokens."""

    def __init__(self, key: str) -> None:
        """Raises ValueError when the key is too short to sign with."""
        if len(key.encode()) < MIN_KEY_BYTES:
            raise ValueError(f"a signing key has at least {MIN_KEY_BYTES} bytes")
        self._key = key
        self.worker_proof: Final = hmac.new(key.encode(), b"worker", hashlib.sha256).hexdigest()
        """What workers show each other in requests that they pass on, and nobody else."""
        self._link_key = hmac.digest(key.encode(), b"order link", "sha256")
        self._delivery_code_key = hmac.digest(key.encode(), b"delivery code", "sha256")

    def issue(self, customer: str, order_id: str, until_s: int | None = None) -> str:
        """A token for one order, good for 30 days, or until that time (seconds since the epoch)."""
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": customer, "oid": order_id, "role": Role.CUSTOMER.value,
            "iat": now, "exp": until_s or now + ORDER_TOKEN_DAYS * 24 * 3600,
        }  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, token: str) -> Identity:
        """Raises BadTokenError."""
        claims = decoded(token, self._key, ["HS256"], issuer=ISSUER, required=("oid",))
        if claims.get("role") != Role.CUSTOMER or not isinstance(claims["oid"], str):
            raise BadTokenError("not an order token")
        return Identity(Role.CUSTOMER, claims["sub"], order_id=claims["oid"])

    def link(self, order_id: str, letter_id: str, since_s: int) -> str:
        """What opens one order to whoever has it, for `LINK_DAYS` since that time; 48 characters.

        The same for the same notification, and another for each other one. Raises ValueError for what is no
        order's id.
        """
        mark = bytearray(hashlib.blake2b(letter_id.encode(), digest_size=4).digest())
        # So that the last character is a letter or a digit: programs that make links of addresses leave
        # a dash at their end out.
        mark[-1] %= 62
        end = (since_s + LINK_DAYS * 24 * 3600).to_bytes(4)
        signed = end + ids.order_bytes(order_id) + mark
        return base64.urlsafe_b64encode(self._link_signature(signed) + signed).decode()

    def order_of_link(self, link: str) -> tuple[str, int]:
        """The order that a link opens, and until when (seconds since the epoch). Raises BadTokenError."""
        if not _LINK.fullmatch(link):
            raise BadTokenError("not a link")
        packed = base64.urlsafe_b64decode(link)
        signature, signed = packed[:_SIGNATURE_BYTES], packed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._link_signature(signed)):
            raise BadTokenError("not valid")
        until_s, order = int.from_bytes(signed[:4]), signed[4:20]
        if time.time() > until_s:
            raise BadTokenError("expired")
        return ids.order_of_bytes(order), until_s

    def _link_signature(self, signed: bytes) -> bytes:
        return hmac.digest(self._link_key, signed, "sha256")[:_SIGNATURE_BYTES]

    def delivery_code(self, order_id: str) -> str:
        """Four digits that the customer gives the courier at the door. Derived, so stored nowhere."""
        digest = hmac.digest(self._delivery_code_key, order_id.encode(), "sha256")
        return f"{int.from_bytes(digest[:8]) % 10_000:04}"

    def is_delivery_code(self, order_id: str, typed: str) -> bool:
        """Whether it is that order's; blanks and dashes between the digits do not count."""
        digits = "".join(char for char in typed if char.isdecimal())
        return hmac.compare_digest(digits.encode(), self.delivery_code(order_id).encode())

    def issue_admission(self, courier_id: str, order_id: str) -> str:
        """Say to another worker that a courier has room for an order; good for half a minute."""
        claims = {
            "iss": ADMISSION_ISSUER, "sub": courier_id, "oid": order_id,
            "exp": int(time.time()) + ADMISSION_S,
        }  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="HS256")

    def is_admitted(self, token: str, courier_id: str, order_id: str) -> bool:
        """Whether a worker of ours said so."""
        try:
            claims = decoded(
                token, self._key, ["HS256"], issuer=ADMISSION_ISSUER, required=("oid",)
            )
        except BadTokenError:
            return False
        return (claims["sub"], claims["oid"]) == (courier_id, order_id)


class StaffVerifier(Protocol):
    """Reads the platform's tokens: of operators, kitchens and couriers, and of customers with an account."""

    async def verify(self, token: str) -> Identity:
        """Who of the staff. Raises BadTokenError; UnavailableError when the keys can't be fetched."""

    async def customer(self, token: str) -> str | None:
        """The userId of a customer's account; None for staff. Raises as `verify` does."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Names of the claims by which the platform's identity provider says who somebody of the staff is."""

    role: str = "role"
    restaurant_id: str = "restaurantId"


CLAIM_NAMES: Final = ClaimNames()


class DevelopmentStaff:
    """Issues and reads staff tokens with a key of its own: the sandbox's login."""

    ISSUER: Final = "tiffin-development"

    def __init__(self, key: str, *, sandbox: bool) -> None:
        """Raises ValueError outside the sandbox, or when the key is too short."""
        if not sandbox:
            raise ValueError("the development login works in the sandbox alone")
        if len(key.encode()) < MIN_KEY_BYTES:
            raise ValueError(f"a signing key has at least {MIN_KEY_BYTES} bytes")
        self._key = key

    def issue(self, role: Role, subject: str, restaurant_id: str | None = None) -> str:
        """A token for a day."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.ISSUER, "sub": subject, "role": role.value, "iat": now, "exp": now + 24 * 3600
        }  # fmt: skip
        if restaurant_id:
            claims["restaurantId"] = restaurant_id
        return jwt.encode(claims, self._key, algorithm="HS256")

    async def customer(self, token: str) -> str | None:
        """The sandbox has no accounts."""

    async def verify(self, token: str) -> Identity:
        """Raises BadTokenError."""
        return staff_of(decoded(token, self._key, ["HS256"], issuer=self.ISSUER))


def user_id(issuer: str, subject: str) -> str:
    """An account's id as it goes into events, for ever: the subject, unless that may name a person.

    An address or a free text is no id; such a one is replaced by one that is derived from it, as is
    one that looks like a guest's.
    """
    if _PLAIN_ID.fullmatch(subject) and not subject.startswith("guest_"):
        return subject
    return ids.derive_id("user", issuer, subject)


@functools.lru_cache(CACHED_TOKENS)
def is_order_token(token: str) -> bool:
    """Say who claims to have issued it, which tells the reader to ask; nothing is verified by that."""
    try:
        return check_token(token).get("iss") == ISSUER
    except DecodingError:
        return False


def decoded(
    token: str,
    key: str | jwt.PyJWK,
    algorithms: list[str],
    *,
    issuer: str,
    audience: str | None = None,
    required: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    """The claims of a token that is valid now. Raises BadTokenError."""
    claims = _verified(token, key, tuple(algorithms), issuer, audience, required)
    # It may have been verified a while ago, and time is all that can make it invalid since.
    if int(claims["exp"]) <= time.time() - LEEWAY_S:
        raise BadTokenError("expired")
    return claims


@functools.lru_cache(CACHED_TOKENS)
def _verified(
    token: str,
    key: str | jwt.PyJWK,
    algorithms: tuple[str, ...],
    issuer: str,
    audience: str | None,
    required: tuple[str, ...],
) -> Mapping[str, Any]:
    """The claims of a token that is valid; of a page that looks again and again it is verified once."""
    try:
        check_token(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_S,
            # When it was issued limits nothing, and the worker that issued it may have a clock that is ahead.
            options={"require": ["exp", "sub", "iss", *required], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise BadTokenError("expired") from None
    except (jwt.PyJWTError, TypeError, ValueError, OverflowError):
        # Not a token, not of the key's kind, or a time beyond all: the library raises what it has.
        raise BadTokenError("not valid") from None
    return MappingProxyType(claims)


def staff_of(claims: Mapping[str, Any], names: ClaimNames = CLAIM_NAMES) -> Identity:
    """Who of the staff valid claims name. Raises BadTokenError."""
    role, restaurant_id = role_of(claims, names), claims.get(names.restaurant_id)
    subject = str(claims["sub"])
    if not 0 < len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable():
        raise BadTokenError(f"sub: must have 1 to {MAX_SUBJECT_CHARS} visible characters")
    if not isinstance(role, str) or role not in STAFF_ROLES:
        raise BadTokenError(f"{names.role}: must be kitchen, courier or operator")
    if role != Role.KITCHEN:
        return Identity(Role(role), subject)
    if not isinstance(restaurant_id, str) or not restaurant_id.strip():
        raise BadTokenError(f"{names.restaurant_id}: a kitchen's token must have it")
    return Identity(Role.KITCHEN, subject, restaurant_id=restaurant_id)


def role_of(claims: Mapping[str, Any], names: ClaimNames) -> Any:
    """The role; CUSTOMER where there is none. Of a list the one that staff may have, if it is one."""
    role = claims.get(names.role, Role.CUSTOMER)
    if not isinstance(role, list):
        return role
    known = [each for each in role if isinstance(each, str) and each in STAFF_ROLES]
    return known[0] if len(known) == 1 else None if known else Role.CUSTOMER
