"""The HTTP client under Stripe's SDK: one pool of connections, with a fraction of httpx's work for a request.

The SDK makes the requests, repeats them and makes its errors of the answers; this sends and receives. Its own
aiohttp client leaves what breaks off while an answer is read as aiohttp's errors, and follows redirects.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final, NoReturn

import aiohttp
import stripe

MAX_CONNECTIONS: Final = 100
CONNECT_TIMEOUT_S: Final = 5.0


class ClientClosedError(Exception):
    """The request was not sent: the worker stops."""


NOT_SENT: Final = (
    aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ClientClosedError,
)  # fmt: skip
"""Causes of a connection error before the first byte."""


class PooledHTTPClient(stripe.HTTPClient):
    """For one event loop. Certificates are checked against the SDK's bundle; no proxy, cookie or redirect."""

    name: ClassVar[str] = "aiohttp"

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: between two pieces of an answer; of a connection it is CONNECT_TIMEOUT_S at most."""
        super().__init__()
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=timeout_s, sock_read=timeout_s,
            sock_connect=min(CONNECT_TIMEOUT_S, timeout_s),
        )  # fmt: skip
        self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and headers of the answer. Raises stripe.APIConnectionError, with its cause."""
        try:
            async with self._opened().request(
                method, url, headers=headers, data=post_data, allow_redirects=False
            ) as answer:
                return await answer.read(), answer.status, answer.headers
        except Exception as error:  # noqa: BLE001 -- whatever it is, the request may have been made
            _fail(error)

    def sleep_async(self, secs: float) -> Awaitable[None]:
        """Wait before the SDK repeats a request."""
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Close the connections; requests made later fail before they are sent."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session; it is made at the first request, for it needs a running loop."""
        if self._is_closed:
            raise ClientClosedError
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
            )
        return self._session


def _fail(error: Exception) -> NoReturn:
    name = type(error).__name__
    raise stripe.APIConnectionError(name, should_retry=True) from error  # type: ignore[no-untyped-call]
