"""Passes a request to the worker that owns its order, as it is, and streams the answer back.

Faust's own router finds the owner of a key but does not forward: it has no time-outs, drops headers and
reads answers whole, so streams would hang.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from models import tracing
from tables import StateTable
from web.http.bodies import BODY
from web.http.deps import WebDeps
from web.http.problems import ProblemError
from web.http.rate_limits import WORKER_HEADER

HOP: Final = "Tiffin-Hop"
"""Marks each time that a request was forwarded; they are bounded, so maps can't loop."""

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""RFC 9110 7.6.1: of one connection, never passed on."""

WHOLE_BYTES: Final = 64 * 1024
"""An answer that is no longer is read before it is passed on."""

log = logging.getLogger("tiffin.web.forwarding")


class Forwarder:
    """Forwards over connections that it keeps; `opened` is an aiohttp cleanup context."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps
        self._session: aiohttp.ClientSession | None = None

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Hold a client session while the application runs."""
        bounds = self._deps.bounds
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=bounds.forward_connect_s, sock_read=bounds.forward_idle_s
        )
        # Bytes pass as they are: compressed ones stay so, cookies are the customer's.
        async with aiohttp.ClientSession(
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as self._session:
            yield

    async def forwarded(
        self,
        request: web.Request,
        key: str | int,
        table: StateTable,
        *,
        max_hops: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse | None:
        """The owner's answer, or None when this worker is the owner.

        key: what is owned, an order's id mostly; a number is a partition.
        max_hops: how often the request may have been passed on afterwards. headers: to be added.
        Raises ProblemError (503) when there is no owner, or none that answers.
        """
        if key in table.open_partitions() if isinstance(key, int) else table.owns(key):
            return None
        if len(request.headers.getall(HOP, ())) >= max_hops:
            raise ProblemError("OWNER_UNKNOWN", "Partitions are moving; try again.")
        owner = table.owner_of_partition(key) if isinstance(key, int) else table.owner_of(key)
        if owner is None:
            raise ProblemError("OWNER_UNKNOWN", "Partitions are moving; try again.")
        if owner == self._deps.own_url:
            raise ProblemError("NOT_READY", "The partition is being opened; try again.")
        return await self._forward(request, owner, headers)

    async def ask(
        self, request: web.Request, url: URL, headers: Mapping[str, str], timeout_s: float
    ) -> bytes | None:
        """Ask another worker with the client's headers and further ones; None: no 200 came in time."""
        if self._session is None:
            return None
        sent = self._request_headers(request, headers)
        sent.popall("Accept-Encoding", None)
        try:
            async with asyncio.timeout(timeout_s):
                async with self._session.get(url, headers=sent) as answer:
                    if answer.status == 200:
                        return await answer.read()
                    why = str(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__
        log.warning("worker does not answer", extra={"owner": str(url.origin()), "error": why})
        return None

    async def _forward(
        self, request: web.Request, owner: URL, headers: Mapping[str, str] | None
    ) -> web.StreamResponse:
        if self._session is None:
            raise ProblemError("NOT_READY")
        try:
            with tracing.span(f"forward {request.method}", tracing.SpanKind.CLIENT) as span:
                upstream = await self._session.request(
                    request.method,
                    owner.join(request.rel_url),
                    headers=self._request_headers(request, headers),
                    data=request.get(BODY),
                    allow_redirects=False,
                )
                span.set("http.response.status_code", upstream.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning(
                "owner does not answer", extra={"owner": str(owner), "error": type(error).__name__}
            )
            raise ProblemError("OWNER_UNREACHABLE", "Try again with the same key.") from None
        async with upstream:
            length = upstream.content_length
            if length is not None and length <= WHOLE_BYTES and request.method != "HEAD":
                return await self._whole(upstream)
            return await self._stream(request, upstream)

    async def _whole(self, upstream: aiohttp.ClientResponse) -> web.Response:
        """A small answer at once: one write in the place of three. Raises ProblemError (503)."""
        try:
            body = await upstream.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("answer of the owner broke off", extra={"error": type(error).__name__})
            raise ProblemError("OWNER_UNREACHABLE", "Try again with the same key.") from None
        headers = _end_to_end(upstream.headers)
        return web.Response(
            status=upstream.status, reason=upstream.reason, headers=headers, body=body
        )

    async def _stream(
        self, request: web.Request, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            status=upstream.status, reason=upstream.reason, headers=_end_to_end(upstream.headers)
        )
        try:
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Whoever asked has left; or the answer's head has gone out, and only a broken connection
            # says that the rest is missing.
            log.info("answer of the owner broke off", extra={"error": type(error).__name__})
            if request.transport is not None:
                request.transport.abort()
        return response

    def _request_headers(
        self, request: web.Request, more: Mapping[str, str] | None
    ) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers)
        headers.popall("Content-Length", None)  # of the body as it was read
        headers.popall("Expect", None)
        headers.add(HOP, "1")
        if traceparent := tracing.current():  # a span of the client's, or one that began here
            headers[tracing.TRACEPARENT] = traceparent
        headers[WORKER_HEADER] = self._deps.order_tokens.worker_proof
        peer = request.remote or "unknown"
        earlier = headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{earlier}, {peer}" if earlier else peer
        headers.setdefault("X-Forwarded-Proto", request.scheme)
        headers.update(more or {})
        return headers


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """All headers but those of the connection; `Host` stays the one that the customer asked for."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = HOP_BY_HOP | named
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in dropped
    )
