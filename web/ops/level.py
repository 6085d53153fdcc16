"""The platform's level: which builds run, what begins next, and how an operator finishes an upgrade."""

from collections.abc import Sequence

from pydantic import Field

from models.levels import BEGINS, LATEST, Build, Level, LevelHistory, why_not
from models.times import to_rfc3339
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.context import Context
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call


class BuildView(ApiModel):
    """What a live worker runs, as Kafka knows it. version: "" of release 0.1.0 and before, which do not say.

    understands: the highest level that it does.
    """

    host: str
    partitions: tuple[int, ...]
    version: str
    understands: int


class LevelView(ApiModel):
    """The level, and what the next one needs.

    level: in force now; beginsAt: when a higher one, which was decided on, begins. latest: the highest that
    this worker's build understands. begins: what will be written then that is not written yet. blockers: why
    the level can't be raised to it now; empty as well where there is nothing to raise.
    """

    level: int
    begins_at: str | None = None
    latest: int
    finished: bool
    begins: tuple[str, ...]
    blockers: tuple[str, ...]
    workers: tuple[BuildView, ...]
    dry_run: bool = False


class FinishBody(Body):
    """That the upgrade is finished, and why."""

    level: int | None = Field(
        None, ge=1, le=1_000_000, description="the level to raise to; by default the build's latest"
    )
    reason: str = Field(
        min_length=1, max_length=200, description="1 to 200 characters: kept in the audit"
    )
    dry_run: bool = Field(default=False, description="true: tell what would happen, do nothing")


async def show_level(call: Call[Params, None]) -> LevelView:
    """The platform's level, the builds that run, and whether an upgrade can be finished."""
    return _view(call.context, await _builds(call.context), LATEST)


async def finish_upgrade(call: Call[Params, FinishBody]) -> LevelView:
    """Raise the level: from then on the build before can't come back."""
    context, body = call.context, call.body
    target = body.level or LATEST
    if target > LATEST:
        accepted = f"accepted: up to {LATEST:d}, which this worker's build understands"
        raise ProblemError("VALIDATION_FAILED", errors=[("level", accepted)])
    builds = await _builds(context)
    blockers = why_not(target, builds)
    if blockers and target > context.operations.level.history.highest:
        raise ProblemError("UPGRADE_NOT_FINISHED", "; ".join(blockers))
    if not body.dry_run:
        await context.operations.level.finish(
            target, by=call.identity.issued_by, reason=body.reason
        )
    view = _view(context, builds, target)
    return view.model_copy(update={"dry_run": body.dry_run})


async def _builds(context: Context) -> Sequence[Build]:
    return await context.operations.level.builds()


def _view(context: Context, builds: Sequence[Build], target: int) -> LevelView:
    history: LevelHistory = context.operations.level.history
    level = history.at(context.deps.now_ms())
    is_finished = history.highest >= target
    begins_at = history[-1].from_ms if history.highest > level else None
    return LevelView(
        level=level,
        begins_at=None if begins_at is None else to_rfc3339(begins_at),
        latest=LATEST,
        finished=is_finished,
        begins=tuple(line for each in Level if level < each <= target for line in BEGINS[each]),
        blockers=() if is_finished else tuple(why_not(target, builds)),
        workers=tuple(view_of(BuildView, build) for build in builds),
    )
