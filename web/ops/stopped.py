"""Partitions that are stopped at what can't be read, and how operators let them go on."""

from collections.abc import Container

from aiohttp import web
from pydantic import Field

from models.messages import Message
from models.times import to_rfc3339
from tables import NotStoppedError, PartitionStop
from web.http import auth
from web.http.bodies import Body, read_json
from web.http.commands import json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.problems import ProblemError
from web.http.tokens import Role


class StoppedPartition(Message):
    """One that is read no further. service: which alone it is stopped for; "": for all its readers.

    offset: of what can't be read or processed; nextOffset: where a skip would go on.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int
    service: str = ""
    error: str
    since: str


class SkipBody(Body):
    """Where to go on, and why."""

    topic: str = Field(min_length=1, max_length=249, description="the topic that is stopped")
    partition: int = Field(ge=0, le=100_000, description="its partition")
    offset: int = Field(ge=-1, lt=2**63, description="the offset at which it is stopped")
    service: str | None = Field(
        default=None,
        max_length=100,
        description="for which service, where it is stopped for several",
    )
    reason: str = Field(min_length=1, max_length=200, description="1 to 200 characters: why")
    retry: bool = Field(
        default=False,
        description="true: go on at it, as after the cause was mended; nothing is lost",
    )
    dry_run: bool = Field(default=False, description="true: tell what would happen, do nothing")


class Skipped(Message):
    """What was, or would be, done."""

    stopped: StoppedPartition
    goes_on_at: int
    dry_run: bool


def stopped_view(stop: PartitionStop) -> StoppedPartition:
    """As the API and pages show it."""
    return StoppedPartition(
        topic=stop.topic,
        partition=stop.partition,
        offset=stop.offset,
        next_offset=stop.next_offset,
        service=stop.service,
        error=stop.error,
        since=to_rfc3339(stop.since_ms),
    )


def is_stopped(context: Context, services: Container[str], partition: int) -> bool:
    """Whether this worker answers for a partition of these services only once an operator has acted."""
    operations = context.deps.operations
    stops = operations.stopped.all() if operations is not None else ()
    return any(stop.partition == partition and stop.service in services for stop in stops)


async def skip_record(request: web.Request) -> web.StreamResponse:
    """Let a stopped partition go on behind the record or batch that can't be read."""
    context = request.app[CONTEXT]
    identity = await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    body = await read_json(request, SkipBody, context.deps.body_limit_bytes)
    operations, table = context.deps.operations, context.tables[ORDERS]
    if operations is None or body.partition >= table.partitions:
        raise ProblemError("NOT_STOPPED")
    if body.partition not in table.owned_partitions():
        forwarded = await context.forwarder.forwarded_partition(request, body.partition, table)
        if forwarded is not None:
            return forwarded
    try:
        stop = await operations.stopped.skip(
            body.topic,
            body.partition,
            body.offset,
            body.service,
            by=identity.issued_by,
            reason=body.reason,
            is_retry=body.retry,
            dry_run=body.dry_run,
        )
    except NotStoppedError as error:
        raise ProblemError("NOT_STOPPED", f"{error}. GET /api/ops/lag lists what is.") from None
    goes_on_at = stop.offset if body.retry else stop.next_offset
    answer = Skipped(stopped=stopped_view(stop), goes_on_at=goes_on_at, dry_run=body.dry_run)
    return json_response(answer)
