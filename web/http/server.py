"""The HTTP server under the application: how long and how many connections stay, and what it refuses itself.

aiohttp's defaults keep an idle connection for an hour, unpack compressed bodies before anybody has asked for
them, and log the head of a request that can't be read, with its token.
"""

import asyncio
import logging
import resource
import socket
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from web.http.decoding import DecodingError, host_name, is_text
from web.http.middleware import SECURITY_HEADERS
from web.http.problems import ProblemError
from web.http.rate_limits import client_network

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_CONNECTIONS: Final = 6000
"""Of them 5000 streams; fewer where the process may not open so many files."""
MIN_CONNECTIONS: Final = 64

log = logging.getLogger("tiffin.web.server")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """first_head_s: until the first request's head is whole. idle_s: until the next one's is.

    linger_s: how long the rest of a refused body is read, so that the refusal arrives. unread_s: how long
    a client may take none of what is sent to it. most: connections. most_idle: of one client, 0 for as
    many as it likes; the one that is idle longest is closed.
    """

    first_head_s: float = 20.0
    idle_s: float = 75.0
    linger_s: float = 3.0
    unread_s: float = 60.0
    most: int = MAX_CONNECTIONS
    most_idle: int = 0


def connections_allowed() -> int:
    """How many connections leave RocksDB and Kafka enough files to open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else files // 2
    return max(MIN_CONNECTIONS, min(half, MAX_CONNECTIONS))


@dataclass(slots=True)
class _Known:
    transport: asyncio.Transport
    client: str
    silent: asyncio.TimerHandle


class Connections:
    """The connections of a server; those that are idle by client, the one that is it longest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._known: dict[web.RequestHandler, _Known] = {}
        self._idle: defaultdict[str, dict[web.RequestHandler, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._known)

    def made(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take in a connection. It, or one that is idle, is closed when there are too many."""
        _close_when_unread(transport, self._limits.unread_s)
        timer = asyncio.get_running_loop().call_later(self._limits.first_head_s, transport.close)
        peer = transport.get_extra_info("peername")
        client = client_network(str(peer[0])) if peer else "unknown"
        self._known[connection] = _Known(transport, client, timer)
        self._rest(connection)
        if len(self._known) > self._limits.most:
            self._close_oldest(max(self._idle, key=lambda client: len(self._idle[client])))

    def lost(self, connection: web.RequestHandler) -> None:
        """Forget a connection."""
        self._wake(connection)
        self._known.pop(connection, None)

    @web.middleware
    async def watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count a connection as idle only while it has no request."""
        self._wake(request.protocol)
        try:
            return await handler(request)
        finally:
            self._rest(request.protocol)

    def _rest(self, connection: web.RequestHandler) -> None:
        known = self._known.get(connection)
        if known is None:
            return
        idle = self._idle[known.client]
        idle[connection] = None
        if 0 < self._limits.most_idle < len(idle):
            self._close_oldest(known.client)

    def _wake(self, connection: web.RequestHandler) -> None:
        known = self._known.get(connection)
        if known is None:
            return
        known.silent.cancel()
        idle = self._idle[known.client]
        idle.pop(connection, None)
        if not idle:
            del self._idle[known.client]

    def _close_oldest(self, client: str) -> None:
        connection = next(iter(self._idle[client]))
        transport = self._known[connection].transport
        self.lost(connection)
        transport.close()


def check_head(request: web.BaseRequest) -> None:
    """Refuse a head that is no text, before anybody reads of it. Raises ProblemError (400).

    Whatever writes such text, as an answer, into a log or to another worker, would fail on it.
    """
    for name, value in request.headers.items():
        if not (is_text(name) and is_text(value)):
            shown = name if name.isascii() else "A header"
            raise ProblemError("BAD_REQUEST", errors=[(shown, "accepted: text in UTF-8")])
    if not is_text(request.raw_path):
        raise ProblemError("BAD_REQUEST", "The address is accepted in UTF-8.")
    host = request.headers.get("Host")
    try:
        if host is not None:
            host_name(host)
    except DecodingError as error:
        raise ProblemError("BAD_REQUEST", errors=[("Host", f"accepted: {error}")]) from None


class _Connection(web.RequestHandler):
    """One connection; answers what is no request, and says of it only what kind of error it was."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it holds what was sent
    ) -> web.StreamResponse:
        """As aiohttp's, which logs and sends back what it could not read: a token may be in it."""
        if isinstance(exc, ConnectionError):
            raise exc  # who asked has left; nothing of ours has failed
        kind = {"error": type(exc).__name__, "client": request.remote}
        if isinstance(exc, HttpProcessingError):
            log.info("what was sent is no request", extra=kind)
        else:
            stack = "".join(traceback.format_tb(exc.__traceback__)) if exc else ""
            log.error("request failed", extra={**kind, "stack": stack})
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, another can't be sent")
        return _refusal(ProblemError("BAD_REQUEST" if status < 500 else "INTERNAL"))


def _refusal(problem: ProblemError) -> web.Response:
    """An answer of the server itself, after which it closes the connection."""
    response = problem.response("")
    response.headers.update(SECURITY_HEADERS)
    response.force_close()
    return response


class _Server(web.Server):
    """Makes a `_Connection` of each connection, and lets `Connections` know of it."""

    def __init__(self, handler: Any, connections: Connections, **options: Any) -> None:
        async def checked(request: web.BaseRequest) -> web.StreamResponse:
            try:
                check_head(request)
            except ProblemError as problem:
                log.info("the head of a request is no text", extra={"client": request.remote})
                return _refusal(problem)
            return await handler(request)  # type: ignore[no-any-return]

        super().__init__(checked, **options)
        self._watch = connections

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._watch.made(handler, transport)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        super().connection_lost(handler, exc)
        self._watch.lost(handler)


class WorkerRunner(web.AppRunner):
    """Runs the application of a worker with limits on its connections."""

    def __init__(
        self, app: web.Application, limits: ConnectionLimits | None = None, **options: Any
    ) -> None:
        limits = limits or ConnectionLimits(most=connections_allowed())
        self.connections: Final = Connections(limits)
        app.middlewares.insert(0, self.connections.watched)
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,  # what is compressed is refused, so nobody unpacks it
            keepalive_timeout=limits.idle_s,
            lingering_time=limits.linger_s,
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            self.connections,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other place for a class of our own
        )


def _close_when_unread(transport: asyncio.Transport, within_s: float) -> None:
    """Let the kernel end a connection whose other end takes nothing, or is gone."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
    connected = transport.get_extra_info("socket")
    if option is not None and connected is not None and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, option, round(within_s * 1000))
