"""What requests carry beside their bodies: ids in the path, choices in the query, keys in headers."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from models import ids
from web.http.decoding import DecodingError, whole_number
from web.http.problems import ProblemError

MAX_OFFSET: Final = 2**63 - 1
"""Of offsets: Kafka's."""
_KEY: Final = re.compile(r"[\x21-\x7e]{16,200}")


def order_id_of(request: web.Request) -> str:
    """The order that the path names. Raises ProblemError (404) for what can't be an order's id."""
    order_id = request.match_info["order_id"]
    if not ids.is_order_id(order_id):
        raise ProblemError(
            "ORDER_UNKNOWN", errors=[("orderId", "accepted: an id of ours, order_...")]
        )
    return order_id


def optional_idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key header, where a request may come without. Raises ProblemError (400)."""
    return idempotency_key(request) if request.headers.get("Idempotency-Key") else None


def limit_of(request: web.Request, default: int, most: int) -> int:
    """How many items a list may have. Raises ProblemError (400)."""
    return count_of(request, "limit", default, most, least=1)


def count_of(
    request: web.Request, name: str, default: int, most: int = MAX_OFFSET, *, least: int = 0
) -> int:
    """A whole number of the query. Raises ProblemError (400)."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return whole_number(text, least, most)
    except DecodingError as error:
        raise ProblemError("VALIDATION_FAILED", errors=[(name, f"accepted: {error}")]) from None


def one_of(request: web.Request, name: str, choices: Iterable[str]) -> str | None:
    """A parameter of the query that may be left out. Raises ProblemError (400) for another value."""
    value, accepted = request.query.get(name), tuple(choices)
    if value is not None and value not in accepted:
        errors = [(name, f"accepted: {', '.join(accepted)}")]
        raise ProblemError("VALIDATION_FAILED", errors=errors)
    return value


def time_of(request: web.Request, name: str) -> int | None:
    """A moment that a query may name, in milliseconds since the epoch. Raises ProblemError (400)."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text[:40].replace(" ", "+"))  # a plus that was not escaped
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is None or not 1970 <= moment.year < 2100:
            raise ValueError
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        accepted = "accepted: a time with its zone, such as 2026-11-20T18:30:00Z, or a date (UTC)"
        raise ProblemError("VALIDATION_FAILED", errors=[(name, accepted)]) from None


def idempotency_key(request: web.Request) -> str:
    """The Idempotency-Key header, quoted (as its RFC draft wants) or not. Raises ProblemError (400).

    A form can't send headers: a page's action has the key in its address.
    """
    key = request.headers.get("Idempotency-Key", "").strip()
    if not request.path.startswith("/api/"):
        key = key or request.query.get("key", "")
    if not key:
        raise ProblemError(
            "IDEMPOTENCY_KEY_MISSING",
            "Send a new random key for each thing to be done, and the same one when repeating it.",
            errors=[("Idempotency-Key", "is required; accepted: 16 to 200 visible characters")],
        )
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise ProblemError(
            "IDEMPOTENCY_KEY_INVALID",
            "A UUID is a good key.",
            errors=[("Idempotency-Key", "accepted: 16 to 200 visible ASCII characters")],
        )
    return key
