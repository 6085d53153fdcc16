"""Is this worker alive, is it ready, how is it doing."""

from aiohttp import web

from models.messages import Message
from web.context import CONTEXT
from web.writes import json_response


class Alive(Message):
    """The process answers."""

    status: str = "alive"


class Readiness(Message):
    """reasons: what the worker waits for."""

    status: str
    reasons: tuple[str, ...] = ()


async def livez(_: web.Request) -> web.Response:
    """The process answers; whether it can work is not asked."""
    return json_response(Alive())


async def readyz(request: web.Request) -> web.Response:
    """200 when this worker serves its partitions, else 503 with the reasons."""
    reasons = tuple(request.app[CONTEXT].deps.ready())
    if reasons:
        answer = Readiness(status="not ready", reasons=reasons)
        return json_response(answer, 503, **{"Retry-After": "1"})
    return json_response(Readiness(status="ready"))


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    show = request.app[CONTEXT].deps.metrics
    if show is None:
        raise web.HTTPNotFound
    return web.Response(
        body=show(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )
