"""Liveness, readiness and metrics of this worker."""

import hmac
from typing import Final

from aiohttp import web

from web.api.views import view_of
from web.http.answers import json_response
from web.http.api_model import ApiModel
from web.http.problems import ProblemError
from web.http.route import Access, AnyCall
from web.ops.stopped import StoppedPartition


class Alive(ApiModel):
    """The process answers."""

    status: str = "alive"


class Readiness(ApiModel):
    """reasons: what the worker waits for. stopped: partitions that it serves no further, and why.

    recoveryRowsLeft: of the changelogs that its tables are read from. recoverySecondsLeft: how long that
    will take; null while that can't be told.
    """

    status: str
    reasons: tuple[str, ...] = ()
    stopped: tuple[StoppedPartition, ...] = ()
    recovery_rows_left: int = 0
    recovery_seconds_left: int | None = None


def livez(_: AnyCall) -> Alive:
    """The process answers; whether it can work is not asked."""
    return Alive()


def readyz(call: AnyCall) -> Readiness:
    """200 when this worker serves its partitions, else 503 with the reasons.

    A stopped partition leaves it ready: everything else is served, and a restart would not help.
    """
    deps = call.context.deps
    reasons = tuple(deps.ready())
    stops = deps.operations.stopped.all() if deps.operations is not None else ()
    stopped = tuple(view_of(StoppedPartition, stop) for stop in stops)
    status = "not ready" if reasons else "ready"
    worker = deps.operations.worker() if deps.operations is not None else None
    return Readiness(
        status=status,
        reasons=reasons,
        stopped=stopped,
        recovery_rows_left=worker.recovery_rows_left if worker else 0,
        recovery_seconds_left=worker.recovery_seconds_left if worker else None,
    )


def readiness_answer(_: AnyCall, result: Readiness) -> web.Response:
    """503 for a worker that is not ready."""
    if result.reasons:
        return json_response(result, 503, **{"Retry-After": "1"})
    return json_response(result)


async def _may_read_metrics(call: AnyCall) -> None:
    """It tells what the business takes in, so a token may be asked for."""
    deps = call.context.deps
    if deps.metrics is None:
        raise ProblemError("NOT_FOUND")
    if deps.metrics_token is not None:
        scheme, _, token = call.request.headers.get("Authorization", "").partition(" ")
        is_known = hmac.compare_digest(token.encode(), deps.metrics_token.encode())
        if scheme.lower() != "bearer" or not is_known:
            raise ProblemError("TOKEN_MISSING", "Send TIFFIN_METRICS_TOKEN as a bearer token.")


METRICS: Final = Access(text="public", check=_may_read_metrics)
"""Who has TIFFIN_METRICS_TOKEN, where it is set."""


def metrics(call: AnyCall) -> web.Response:
    """Prometheus' text format, or OpenMetrics for who accepts it.

    It tells what the business takes in, so a token may be asked for.
    """
    show = call.context.deps.metrics
    assert show is not None, "access has seen to it"
    body, content_type = show(call.request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})
