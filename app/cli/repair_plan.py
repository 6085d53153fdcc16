"""The plan of a repair: shown, asked about, carried out, told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from app.cli.command import settings
from app.cli.confirm import confirm
from app.cli.errors import CommandError
from app.cli.output import console, plain, print_json, table
from app.cli.repair import WHY_NOT, find_places, planned, repair, wanted_repairs
from models.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from app.cli.http import WorkerClient
    from app.cli.rebuild import RebuildResult
    from models.rebuild import StateDifference

MAX_SHOWN: Final = 100
Failed = list[tuple["StateDifference", str]]


@dataclass(frozen=True, slots=True)
class RepairWish:
    """What is to be repaired. orders: of these alone; None: whatever differs. is_sure: nobody is asked."""

    orders: frozenset[str] | None
    is_dry_run: bool
    is_sure: bool


async def repair_states(
    worker: WorkerClient,
    found: RebuildResult,
    wish: RepairWish,
    progress: Progress,
    *,
    as_json: bool,
) -> None:
    """Show what would be done, ask, have it done, tell what became of it.

    Raises CommandError where states stay as they are, and AuditError.
    """
    can, can_not = wanted_repairs(found.differences, wish.orders)
    if not as_json:
        _print_plan(can, can_not)
    failed: Failed = []
    if can and not wish.is_dry_run:
        count = counted(len(can), "state", "states")
        confirm(f"Make {count} anew from the events?", is_sure=wish.is_sure)
        with progress:
            failed = await _repair_all(worker, found, can, progress)
    _print_json(can, can_not, failed, wish) if as_json else _print_done(can, failed, wish)
    if left := len(failed) + len(can_not):
        raise CommandError(f"{counted(left, 'state stays as it is', 'states stay as they are')}.")


async def _repair_all(
    worker: WorkerClient,
    found: RebuildResult,
    wanted: Sequence[StateDifference],
    progress: Progress,
) -> Failed:
    places = await find_places(settings(), wanted, found.partitions, progress)
    return [
        (each, why)
        for each in progress.track(wanted, description="Repairing")
        if (why := await repair(worker, each, places[each.service, each.order_id]))
    ]


def _print_plan(can: Sequence[StateDifference], can_not: Sequence[StateDifference]) -> None:
    out = console(160)
    if can:
        titles = ("order", "part", "what is done", "what does not come back")
        out.print(table(titles, [planned(each) for each in can[:MAX_SHOWN]]))
    if len(can) > MAX_SHOWN:
        out.print(f"and {len(can) - MAX_SHOWN} more (--json --dry-run shows all)")
    for each in can_not[:MAX_SHOWN]:
        told = f"{each.service} of {each.order_id} can't be repaired: {WHY_NOT[each.fault]}"
        out.print(plain(told), style="yellow", soft_wrap=True)
    if not (can or can_not):
        out.print("Nothing to repair: the tables hold what the events say.", style="green")


def _print_done(can: Sequence[StateDifference], failed: Failed, wish: RepairWish) -> None:
    out = console()
    if wish.is_dry_run:
        out.print("Nothing was changed: this was a dry run.", style="dim")
        return
    for each, why in failed:
        out.print(plain(f"{each.service} of {each.order_id}: {why}"), style="red", soft_wrap=True)
    count = len(can) - len(failed)
    if count:
        done = counted(count, "state was", "states were")
        out.print(f"{done} made anew; the audit has STATE_REPAIRED for each.", style="green")


def _print_json(
    can: Sequence[StateDifference],
    can_not: Sequence[StateDifference],
    failed: Failed,
    wish: RepairWish,
) -> None:
    told = {(each.service, each.order_id): why for each, why in failed}
    states = [{**asdict(each), "failed": told.get((each.service, each.order_id))} for each in can]
    refused = [{**asdict(each), "why": WHY_NOT[each.fault]} for each in can_not]
    print_json({"dryRun": wish.is_dry_run, "repairs": states, "notRepairable": refused})
