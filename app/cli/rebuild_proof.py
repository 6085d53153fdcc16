"""`faust -A app audit rebuild`: whether the live tables hold what the topics kept for ever say."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.command import settings
from app.cli.errors import CommandError, ExitStatus
from app.cli.output import console, plain, print_json, table
from app.cli.rebuild import AuditError, RebuildCheck, RebuildResult
from app.cli.repair_plan import RepairWish, repair_states
from models.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.cli.http import WorkerClient
    from models.rebuild import Digest

MAX_SHOWN: Final = 100


async def prove(
    worker: WorkerClient,
    token: str,
    *,
    as_json: bool,
    partitions: Sequence[int] = (),
    wish: RepairWish | None = None,
) -> None:
    """Fold all events anew and compare with the live tables; repair what differs, if that is wished for.

    Raises CommandError (FAILED) if they differ, and UNTOLD if nothing is proved, neither way.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True)) as progress:
            found = await RebuildCheck(settings(), worker.url, progress, partitions).run(token)
            if wish is not None:
                progress.stop()
                await repair_states(worker, found, wish, progress, as_json=as_json)
                return
    except AuditError as error:
        what = "Nothing is proved" if wish is None else "Not all was repaired"
        raise CommandError(f"{what}: {error}", ExitStatus.UNTOLD) from None
    _print_json(found) if as_json else _print(found)
    if found.differences:
        differ = counted(len(found.differences), "state differs", "states differ")
        raise CommandError(f"{differ} from what the events say.")


def _print(found: RebuildResult) -> None:
    out = console(160)
    if found.differences:
        rows = []
        for each in found.differences[:MAX_SHOWN]:
            sequences = f" ({', '.join(map(str, each.sequences))})" if each.sequences else ""
            lines = [each.fault + sequences, *found.details.get((each.service, each.order_id), ())]
            shown = _shown(each.live), _shown(each.rebuilt)
            rows.append((each.order_id, each.service, "\n".join(lines), *shown))
        out.print(table(("order", "part", "what", "live", "rebuilt"), rows))
        more = len(found.differences) - MAX_SHOWN
        if more > 0:
            out.print(f"and {more} more (--json shows all)")
    for line in found.unreadable[:MAX_SHOWN]:
        out.print(plain(f"no event of ours: {line}"), style="yellow", soft_wrap=True)
    equal = found.states - len(found.differences)
    out.print(
        f"{counted(found.events, 'event', 'events')} folded; {equal} of "
        f"{counted(found.states, 'state', 'states')} as in the live tables, "
        f"{counted(len(found.differences), 'differs', 'differ')}.",
        style="red" if found.differences else "green",
    )


def _shown(digest: Digest | None) -> str:
    return f"version {digest.sequence} {digest.sha256[:12]}" if digest else "none"


def _print_json(found: RebuildResult) -> None:
    differences = [
        {**asdict(each), "details": found.details.get((each.service, each.order_id), [])}
        for each in found.differences
    ]
    counts = {"events": found.events, "states": found.states}
    print_json({**counts, "differences": differences, "unreadable": found.unreadable})
