"""Is this worker alive, is it ready, how is it doing."""

import hmac

from aiohttp import web

from models.messages import Message
from web.http.commands import json_response
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.ops.stopped import StoppedPartition, stopped_view


class Alive(Message):
    """The process answers."""

    status: str = "alive"


class Readiness(Message):
    """reasons: what the worker waits for. stopped: partitions that it serves no further, and why."""

    status: str
    reasons: tuple[str, ...] = ()
    stopped: tuple[StoppedPartition, ...] = ()


async def livez(_: web.Request) -> web.Response:
    """The process answers; whether it can work is not asked."""
    return json_response(Alive())


async def readyz(request: web.Request) -> web.Response:
    """200 when this worker serves its partitions, else 503 with the reasons.

    A stopped partition leaves it ready: everything else is served, and a restart would not help.
    """
    deps = request.app[CONTEXT].deps
    reasons = tuple(deps.ready())
    stops = deps.operations.stopped.all() if deps.operations is not None else ()
    stopped = tuple(map(stopped_view, stops))
    if reasons:
        answer = Readiness(status="not ready", reasons=reasons, stopped=stopped)
        return json_response(answer, 503, **{"Retry-After": "1"})
    return json_response(Readiness(status="ready", stopped=stopped))


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format; it tells what the business takes in, so a token may be asked for."""
    deps = request.app[CONTEXT].deps
    show = deps.metrics
    if show is None:
        raise web.HTTPNotFound
    if deps.metrics_token is not None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_known = hmac.compare_digest(token.encode(), deps.metrics_token.encode())
        if scheme.lower() != "bearer" or not is_known:
            raise ProblemError("TOKEN_MISSING", "Send TIFFIN_METRICS_TOKEN as a bearer token.")
    return web.Response(
        body=show(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )
