"""Idempotency keys as Stripe keeps them: the first answer is the answer, a 500 too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from sandbox.stripe.errors import StripeError, invalid
from sandbox.stripe.params import Params


@dataclass(slots=True)
class StoredAnswer:
    """What the first request with a key got, or None while it runs."""

    path: str
    fingerprint: bytes
    request_id: str
    status: int | None = None
    body: bytes = b""


class IdempotencyKeys:
    """The keys of one account. `begin`, then `finish` or (if nothing was executed) `release`."""

    def __init__(self) -> None:
        self._answers: dict[str, StoredAnswer] = {}

    def begin(self, key: str, path: str, params: Params, request_id: str) -> StoredAnswer | None:
        """The stored answer to replay, or None: the caller is the first and holds the key.

        Raises 400 idempotency_error for another path or body, 409 while the first request runs.
        """
        if len(key) > 255:
            raise invalid("Idempotency keys can be up to 255 characters long.")
        fingerprint = hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).digest()
        known = self._answers.get(key)
        if known is None:
            self._answers[key] = StoredAnswer(path, fingerprint, request_id)
            return None
        if known.path != path:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used for the same endpoint they were "
                f"first used for ('{path}' vs '{known.path}'). Try using a key other than "
                f"'{key}' if you meant to execute a different request.",
            )
        if known.fingerprint != fingerprint:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key}' if you meant to execute a "
                "different request.",
            )
        if known.status is None:
            raise StripeError(
                409,
                "idempotency_error",
                "There is currently another in-progress request using this Stripe idempotent key "
                "(that probably means you submitted twice, and the other request is still going "
                "through). Please try again later.",
                code="idempotency_key_in_use",
            )
        return known

    def finish(self, key: str, status: int, body: bytes) -> None:
        """Keep the answer."""
        answer = self._answers[key]
        answer.status, answer.body = status, body

    def release(self, key: str) -> None:
        """Forget the key: nothing was executed."""
        self._answers.pop(key, None)

    def expire(self, key: str | None) -> int:
        """As after 24 hours: forget one key, or all; returns how many."""
        if key is not None:
            return 0 if self._answers.pop(key, None) is None else 1
        count = len(self._answers)
        self._answers.clear()
        return count
