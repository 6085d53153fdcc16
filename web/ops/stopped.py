"""Partitions that are stopped at what can't be read, and how operators let them go on."""

from pydantic import Field

from tables import NotStoppedError
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.context import ORDERS, Context
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call, Owner


class StoppedPartition(ApiModel):
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
        None, max_length=100, description="for which service, where it is stopped for several"
    )
    reason: str = Field(min_length=1, max_length=200, description="1 to 200 characters: why")
    retry: bool = Field(
        default=False,
        description="true: go on at it, as after the cause was mended; nothing is lost",
    )
    dry_run: bool = Field(default=False, description="true: tell what would happen, do nothing")


class Skipped(ApiModel):
    """What was, or would be, done."""

    stopped: StoppedPartition
    goes_on_at: int
    dry_run: bool


def stops_of(context: Context, partition: int) -> tuple[StoppedPartition, ...]:
    """What is stopped in an owned partition. Raises NotOwnerError when it is not (yet) served here."""
    stops = context.operations.stopped.all()
    found = tuple(view_of(StoppedPartition, stop) for stop in stops if stop.partition == partition)
    if not found:
        context.check_open(ORDERS, partition)
    return found


async def check_partition(call: Call[Params, SkipBody]) -> None:
    """Refuse a partition that there is not. Raises ProblemError (404)."""
    context = call.context
    if context.deps.operations is None or call.body.partition >= context.tables[ORDERS].partitions:
        raise ProblemError("NOT_STOPPED")


def skip_owner(call: Call[Params, SkipBody]) -> Owner | None:
    """The worker of the partition; this one also for what it owns and does not serve."""
    partition = call.body.partition
    is_own = partition in call.context.tables[ORDERS].owned_partitions()
    return None if is_own else Owner(ORDERS, partition)


async def skip_record(call: Call[Params, SkipBody]) -> Skipped:
    """Let a stopped partition go on behind the record or batch that can't be read."""
    body = call.body
    try:
        stop = await call.context.operations.stopped.skip(
            body.topic,
            body.partition,
            body.offset,
            body.service,
            by=call.identity.issued_by,
            reason=body.reason,
            is_retry=body.retry,
            dry_run=body.dry_run,
        )
    except NotStoppedError as error:
        raise ProblemError("NOT_STOPPED", f"{error}. GET /api/ops/lag lists what is.") from None
    shown = view_of(StoppedPartition, stop)
    goes_on_at = stop.offset if body.retry else stop.next_offset
    return Skipped(stopped=shown, goes_on_at=goes_on_at, dry_run=body.dry_run)
