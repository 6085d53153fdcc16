"""Authentication and authorization: tokens of requests, cookies, and the origin of posts."""

import hmac
import re
import uuid
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from models import ids
from web.http.decoding import MAX_ORDER_COOKIES_READ, DecodingError, host_name
from web.http.deps import WebDeps
from web.http.problems import ProblemError
from web.http.rate_limits import WORKER_HEADER
from web.http.tokens import ORDER_TOKEN_DAYS, BadTokenError, Identity, Role, is_order_token

GUEST_COOKIE: Final = "tiffin_guest"
ORDER_COOKIE: Final = "tiffin_order_"
STAFF_COOKIE: Final = "tiffin_staff"
MAX_ORDER_COOKIES: Final = 8
"""They go along with every request, whose headers servers bound; older orders need their token."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_YEAR_S: Final = 365 * 24 * 3600
_GUEST: Final = re.compile(r"guest_[0-7][0-9a-hjkmnp-tv-z]{25}")


async def authorize(request: web.Request, deps: WebDeps, order_id: str, *roles: Role) -> Identity:
    """Say who asks about an order, if that one may: its customer or one of the roles.

    No role but the customer's own order is allowed unless it is named. Raises ProblemError (401, 403)
    and UnavailableError.
    """
    identity = await _identify(request, deps, order_id, roles)
    if identity.role not in roles:
        raise ProblemError("ROLE_REFUSED", f"accepted: {', '.join(roles)}")
    if identity.role is Role.CUSTOMER and identity.order_id != order_id:
        raise ProblemError("WRONG_ORDER", "An order's token is good for that order alone.")
    return identity


async def require_any_token(request: web.Request, deps: WebDeps) -> None:
    """Refuse who shows no token that we trust, where only the body says which order it must be of.

    Raises ProblemError (401) and UnavailableError.
    """
    if "Authorization" not in request.headers and _identities_in_cookies(request, deps):
        return
    if await _bearer(request, deps) is None:
        raise _missing()


async def authorize_staff(request: web.Request, deps: WebDeps, *roles: Role) -> Identity:
    """Say who asks about more than one order, if that one has one of the roles. Raises as `authorize`."""
    identity = await _bearer(request, deps)
    if identity is None:
        raise ProblemError("TOKEN_MISSING", f"Send a token of: {', '.join(roles)}.")
    if identity.role not in roles:
        raise ProblemError("ROLE_REFUSED", f"accepted: {', '.join(roles)}")
    return identity


def is_worker(request: web.Request, deps: WebDeps) -> bool:
    """Whether a worker of ours asks."""
    shown = request.headers.get(WORKER_HEADER, "").encode(errors="replace")
    return hmac.compare_digest(shown, deps.order_tokens.worker_proof.encode())


async def _bearer(request: web.Request, deps: WebDeps) -> Identity | None:
    """Whom the request's token names, or the cookie of somebody who has signed in as staff."""
    header = request.headers.get("Authorization")
    if header is None:
        cookie = request.cookies.get(STAFF_COOKIE)
        return await deps.staff.verify(cookie) if cookie and deps.staff else None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ProblemError("TOKEN_INVALID", "Authorization: Bearer <token> is accepted")
    if is_order_token(token):
        return deps.order_tokens.read(token)
    if deps.staff is None:
        raise ProblemError("TOKEN_INVALID", "No staff can log in here.")
    return await deps.staff.verify(token)


async def _identify(
    request: web.Request, deps: WebDeps, order_id: str, roles: tuple[Role, ...]
) -> Identity:
    cookie = request.cookies.get(_cookie_name(order_id))
    # Staff order food too: in their browser an order's cookie is for what customers may do.
    if cookie and Role.CUSTOMER in roles and "Authorization" not in request.headers:
        return deps.order_tokens.read(cookie)
    identity = await _bearer(request, deps)
    if identity is not None:
        return identity
    if cookie:
        return deps.order_tokens.read(cookie)
    for identity in _identities_in_cookies(request, deps):
        raise ProblemError("WRONG_ORDER", f"This browser has no token of it ({identity.role}).")
    raise _missing()


def _missing() -> ProblemError:
    return ProblemError(
        "TOKEN_MISSING",
        "Send the orderToken of create-intent's answer as Authorization: Bearer, or its cookie.",
    )


def orders_in_cookies(request: web.Request, deps: WebDeps) -> list[str]:
    """The orders that the browser's cookies open, the latest first."""
    known = (identity.order_id for identity in reversed(_identities_in_cookies(request, deps)))
    return [order_id for order_id in dict.fromkeys(known) if order_id is not None]


def _identities_in_cookies(request: web.Request, deps: WebDeps) -> list[Identity]:
    found = []
    tokens = [token for name, token in request.cookies.items() if name.startswith(ORDER_COOKIE)]
    for token in tokens[:MAX_ORDER_COOKIES_READ]:
        try:
            found.append(deps.order_tokens.read(token))
        except BadTokenError:
            continue
    return found


def check_origin(request: web.Request, deps: WebDeps) -> None:
    """Refuse what a foreign page makes a browser post with its cookies. Raises ProblemError (403).

    A request with a token of its own can't be made so, and one without either header is no browser's.
    """
    if "Authorization" in request.headers:
        return
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            raise ProblemError("ORIGIN_REFUSED", "accepted: pages of this origin")
        return
    is_ours = origin in {f"http://{request.host}", f"https://{request.host}"}
    public = deps.public_url and origin == _origin_of(deps.public_url)
    if not (is_ours or public or origin in deps.allowed_origins):
        raise ProblemError("ORIGIN_REFUSED", "accepted: pages of this origin, and of those set")


def base_url(request: web.Request, deps: WebDeps) -> str:
    """Where customers reach us: the setting, else the address they asked for if it is one of ours.

    Host is whatever its sender writes. One that we don't know never gets into an address that somebody
    is sent to: this worker's own stands there instead.
    """
    if deps.public_url:
        return deps.public_url
    named, own = f"{request.scheme}://{request.host}", deps.own_url
    if named in deps.allowed_origins or (own and request.host == own.authority):
        return named
    try:
        is_local = host_name(request.host) in LOOPBACK
    except DecodingError:
        is_local = False
    if own and not is_local:
        return str(own).rstrip("/")
    if is_local:
        return named
    raise ProblemError("BAD_REQUEST", "Host: an address of this shop is accepted")


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def guest(request: web.Request) -> str | None:
    """The guest that the cookie names."""
    cookie = request.cookies.get(GUEST_COOKIE, "")
    return cookie if _GUEST.fullmatch(cookie) else None


def guest_or_derived(request: web.Request, key: str) -> str:
    """The guest; without a cookie one made of the key, so that the same key is the same order again."""
    return guest(request) or ids.derive_id("guest", key)


async def customer_id_of(request: web.Request, deps: WebDeps, key: str) -> str:
    """Who places an order: the account of the platform's token, else a guest.

    An order's own token, and staff's, say nothing of that. Raises ProblemError (401) for a token that
    nobody trusts, UnavailableError.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if deps.staff is None or scheme.lower() != "bearer" or is_order_token(token):
        return guest_or_derived(request, key)
    return await deps.staff.customer(token) or guest_or_derived(request, key)


def set_guest_cookie(
    request: web.Request, response: web.StreamResponse, deps: WebDeps, who: str = ""
) -> None:
    """Set the guest's cookie, by default a new guest's, unless the browser has it, or who is none."""
    who = who or ids.derive_id("guest", uuid.uuid4())
    if guest(request) is None and _GUEST.fullmatch(who):
        set_cookie(response, deps, GUEST_COOKIE, who, _YEAR_S)


def has_order_cookie(request: web.Request, deps: WebDeps, order_id: str) -> bool:
    """Whether the browser has a cookie that opens the order."""
    try:
        cookie = request.cookies.get(_cookie_name(order_id), "")
        return deps.order_tokens.read(cookie).order_id == order_id
    except BadTokenError:
        return False


def set_order_cookie(
    request: web.Request,
    response: web.StreamResponse,
    deps: WebDeps,
    order_id: str,
    token: str,
    max_age_s: int = ORDER_TOKEN_DAYS * 24 * 3600,
) -> None:
    """Set an order's cookie, and take the oldest ones of a browser that orders a lot."""
    name = _cookie_name(order_id)
    set_cookie(response, deps, name, token, max_age_s)
    others = [
        other for other in request.cookies if other.startswith(ORDER_COOKIE) and other != name
    ]
    # Browsers send the oldest first among cookies of one path (RFC 6265 5.4).
    for other in others[: max(0, len(others) - MAX_ORDER_COOKIES + 1)]:
        response.del_cookie(other, path="/")


def set_cookie(
    response: web.StreamResponse, deps: WebDeps, name: str, value: str, max_age_s: int
) -> None:
    """Set a cookie that scripts and other sites don't get."""
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", httponly=True, samesite="Lax",
        secure=deps.secure_cookies,
    )  # fmt: skip


def _cookie_name(order_id: str) -> str:
    return ORDER_COOKIE + order_id.removeprefix("order_")
