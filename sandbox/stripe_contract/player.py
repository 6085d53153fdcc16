"""Sends the scenarios' requests to one Stripe API, and records the answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import aiohttp

from sandbox.processes import MAX_WAIT_S
from sandbox.stripe.state import API_VERSION
from sandbox.stripe_contract.recording import Recording

TEST_KEYS = ("sk_test_", "rk_test_")


class NotATestKeyError(Exception):
    """The key would move money, or is none; the message does not hold it."""


class StripePlayer:
    """One Stripe API and the recording of what it answered. Use it by `async with`.

    The key is sent to base_url and nowhere else; it is in no recording and in no error. Raises
    NotATestKeyError for any but a test key.
    """

    def __init__(self, base_url: str, secret_key: str) -> None:
        if not secret_key.startswith(TEST_KEYS):
            raise NotATestKeyError(f"only a key that begins with {' or '.join(TEST_KEYS)} will do")
        self.recording = Recording()
        self.scenario = ""
        self._base_url, self._run = base_url, uuid.uuid4().hex
        self._headers = {"Authorization": f"Bearer {secret_key}", "Stripe-Version": API_VERSION}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        timeout = aiohttp.ClientTimeout(total=MAX_WAIT_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._http:
            await self._http.close()

    async def get(self, name: str, path: str, /, **params: Any) -> Any:
        """Read; gives the body."""
        return await self._ask(name, "GET", path, params, {})

    async def post(self, name: str, path: str, key: str | None = None, /, **params: Any) -> Any:
        """Write; key: of idempotency, the same within this run for the same text."""
        headers = {"Idempotency-Key": f"{self._run}:{key}"} if key else {}
        return await self._ask(name, "POST", path, params, headers)

    async def with_key(self, name: str, path: str, key: str) -> None:
        """Read with another key than one's own."""
        await self._ask(name, "GET", path, {}, {"Authorization": f"Bearer {key}"})

    async def _ask(
        self,
        name: str,
        method: str,
        path: str,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> Any:
        assert self._http
        form = list(form_pairs(params))
        sent: dict[str, Any] = {"params" if method == "GET" else "data": form}
        async with self._http.request(
            method, self._base_url + path, headers={**self._headers, **headers}, **sent
        ) as answer:
            try:
                body = await answer.json(content_type=None)
            except ValueError:
                body = "no JSON"
        self.recording.add(f"{self.scenario} / {name}", answer.status, answer.headers, body)
        return body


def form_pairs(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Stripe's bracketed form: {"a": {"b": 1}, "c": ["x"]} is a[b]=1&c[0]=x."""
    for key, value in params.items():
        name = f"{prefix}[{key}]" if prefix else key
        if isinstance(value, Mapping):
            yield from form_pairs(value, name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from form_pairs({str(place): item for place, item in enumerate(value)}, name)
        else:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
