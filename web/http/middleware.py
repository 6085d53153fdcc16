"""What every request goes through: trace and access log, limits of clients, errors as problems."""

import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import structlog
from aiohttp import web

from models import tracing
from models.errors import UnavailableError
from tables import BrokenRecordError, NotOwnerError, NotReadyError
from web.http.auth import check_origin
from web.http.context import CONTEXT, ORDER_ID
from web.http.problems import CODES, ProblemError, of_http_exception
from web.http.rate_limits import RequestKind
from web.http.route import route_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LINK_PATH: Final = "/o/"
"""Where notifications link to; what follows opens an order, and is a secret."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Defaults: a page sets its own policy, a menu its own caching."""

NO_ROUTE: Final = "none"
"""In the place of a route's template, for a path that no route has."""
PATH_SEGMENT: Final = re.compile("[!-~]{1,512}")
"""What an id, a file or a link in a path is made of: everything else names nothing."""

log = logging.getLogger("tiffin.web")
access_log = logging.getLogger("tiffin.web.access")


def _without_secret(path: str) -> str:
    """The path as the log has it: without the secret of a notification's link."""
    return f"{LINK_PATH}***" if path.startswith(LINK_PATH) else path


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its span; log and count it without its query, which may hold a token."""
    incoming, started = request.headers.get(tracing.TRACEPARENT), time.perf_counter()
    resource = request.match_info.route.resource
    template = resource.canonical if resource is not None else NO_ROUTE
    with _request_span(request, template, incoming) as span:
        spanned = tracing.current() if tracing.is_on() else None
        traceparent = spanned or tracing.continued(incoming)
        with structlog.contextvars.bound_contextvars(traceparent=traceparent):
            response = await handler(request)
            if not response.prepared:
                response.headers[tracing.TRACEPARENT] = traceparent
            took_s = time.perf_counter() - started
            access_log.log(
                logging.DEBUG if _is_probe(request) else logging.INFO,
                "request",
                extra={
                    "method": request.method, "path": _without_secret(shown_path(request)),
                    "status": response.status, "durationMs": round(took_s * 1000, 1),
                },
            )  # fmt: skip
            # The connection's next request has an order of its own.
            structlog.contextvars.unbind_contextvars(ORDER_ID)
        span.set("http.response.status_code", response.status)
        if response.status >= 500:
            span.fail(str(response.status))
    trace_id = tracing.trace_id(spanned)
    answered = request.app[CONTEXT].deps.answered
    answered(request.method, template, response.status, took_s, trace_id)
    return response


def _request_span(
    request: web.Request, template: str, incoming: str | None
) -> AbstractContextManager[tracing.Span]:
    if not tracing.is_on() or _is_probe(request):
        return tracing.NO_SPAN
    about = {"http.request.method": request.method, "http.route": template}
    name = f"{request.method} {template}"
    return tracing.span(name, tracing.SpanKind.SERVER, parent=incoming, attributes=about)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what was raised into RFC 9457's form; details of our own errors stay in the log."""
    try:
        return await handler(request)
    except ProblemError as error:
        problem = error
    except web.HTTPException as error:
        problem = of_http_exception(error)
    except UnavailableError as error:
        log.warning("unavailable", extra={"code": error.code, "reason": type(error).__name__})
        code = error.code if error.code in CODES else UnavailableError.code
        problem = ProblemError(code, "Nothing is lost: send the same again, with the same key.")
    except NotOwnerError:
        problem = ProblemError("OWNER_UNKNOWN", "Partitions are moving; try again.")
    except NotReadyError:
        problem = ProblemError("NOT_READY", "The order's partition is being opened; try again.")
    except BrokenRecordError:
        problem = ProblemError("RECORD_BROKEN")
    except Exception as error:  # the last line of defence; it answers 500 and logs
        if client_has_left(request, error):
            raise  # aiohttp ends the connection, and nothing of ours has failed
        problem = unexpected(error)
    return problem.response(shown_path(request))


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is not to be looked at: innermost, so that it is a page or a problem like all else.

    First what a foreign page makes a browser send, which costs the customer no limit; then every request but
    a probe's is counted, and each client held to its limits; then ids in the path that no application makes.
    """
    context, route = request.app[CONTEXT], route_of(request)
    if request.method == "POST" and route is not None and route.checks_origin:
        check_origin(request, context.deps)
    client = None if _is_probe(request) else context.limiter.client_of(request)
    is_read = request.method in {"GET", "HEAD", "OPTIONS"}
    kind = route.counted_as if route else None
    kind = kind or (RequestKind.READ if is_read else RequestKind.WRITE)
    if kind is not RequestKind.BAD_WEBHOOK:
        context.limiter.take(client, kind)
    with nullcontext() if client is None else context.limiter.admitted(client):
        if not all(map(PATH_SEGMENT.fullmatch, request.match_info.values())):
            is_link = request.path.startswith(LINK_PATH)
            raise ProblemError("LINK_INVALID" if is_link else "NOT_FOUND")
        return await handler(request)


def _is_probe(request: web.Request) -> bool:
    route = route_of(request)
    return route is not None and route.is_probe


def client_has_left(request: web.Request, error: Exception) -> bool:
    """Whether the error says no more than that the client has closed its connection."""
    is_closed = request.transport is None or request.transport.is_closing()
    return is_closed and isinstance(error, ConnectionError)


def shown_path(request: web.Request) -> str:
    """The path without its query, as text whatever its bytes are."""
    return request.path.encode(errors="replace").decode()


def unexpected(error: Exception) -> ProblemError:
    """Log what nobody foresaw; gives the problem that is answered.

    Where it happened, not what it says: messages may hold what the customer sent.
    """
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.error("request failed", extra={"error": type(error).__name__, "stack": stack})
    return ProblemError("INTERNAL")


async def secured(request: web.Request, response: web.StreamResponse) -> None:
    """Set the security headers, as a signal, so that streams and foreign routes have them too."""
    if request.path.startswith(LINK_PATH):
        response.headers["Referrer-Policy"] = "no-referrer"
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    context = request.config_dict.get(CONTEXT)
    if context is not None and context.deps.secure_cookies:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    response.headers["Server"] = "tiffin"
