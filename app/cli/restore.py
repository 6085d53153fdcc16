"""`faust -A app restore`: tables whose changelog was lost are made anew from the topics kept for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from faust.cli import option

from app.cli.command import command, settings
from app.cli.errors import CommandError
from app.cli.http import JSON_OPTION
from app.cli.output import console, plain, print_json, print_list
from models.wording import counted

if TYPE_CHECKING:
    from app.cli.lost_tables import RestoreResult

GONE: Final = {
    "orders": "contact, address, cart and notes; orders whose payment was not opened yet; outcomes",
    "payments": "work under way (Stripe is asked what is open there); outcomes of requests",
    "deliveries": "outcomes of requests",
    "notifications": "which messages were sent: none is sent again",
    "timeline": "nothing",
    "analytics": "nothing",
    "takings": "days of which restaurant-takings has no records any more",
}


@command(
    option(
        "--dry-run", is_flag=True, help="Tell what is lost and what would come back, do nothing."
    ),
    option("--yes", "is_sure", is_flag=True, help="Don't ask; needed where there is no terminal."),
    JSON_OPTION,
    examples=("restore --dry-run", "restore --yes"),
)
async def restore(as_json: bool, **options: Any) -> None:
    """Make lost tables anew from the topics kept for ever; run it while all workers are stopped.

    A table is lost where its changelog topic was deleted or emptied: workers end with status 78 then. Nothing
    is emitted again; the audit says of each order that it was made anew.
    """
    from rich.progress import Progress  # noqa: PLC0415 -- --help needs none of these

    from app.cli.confirm import confirm  # noqa: PLC0415
    from app.cli.lost_tables import LostTables  # noqa: PLC0415

    tables = LostTables(settings())
    try:
        lost = await asyncio.to_thread(tables.find)
        if not as_json:
            rows = [(name, ", ".join(map(str, lost[name])), GONE.get(name, "")) for name in lost]
            print_list(("lost table", "partitions", "what does not come back"), rows)
        if options["dry_run"] or not lost:
            if as_json:
                print_json({"dryRun": options["dry_run"], "lost": lost})
            return
        confirm(f"Make {', '.join(lost)} anew from the events?", is_sure=options["is_sure"])
        with Progress(console=console(stderr=True)) as progress:
            found = await tables.restore(lost, progress)
    finally:
        await asyncio.to_thread(tables.close)
    _tell(found, lost, as_json=as_json)
    if found.left_out:
        missing = counted(len(found.left_out), "state", "states")
        raise CommandError(f"{missing} could not be made anew.")


def _tell(found: RestoreResult, lost: dict[str, list[int]], *, as_json: bool) -> None:
    if as_json:
        told = {"restored": found.restored, "leftOut": found.left_out}
        print_json({"dryRun": False, "lost": lost, **told})
        return
    out = console()
    for name, count in found.restored.items():
        done = counted(count, "order", "orders") if count else "goes on"
        out.print(plain(f"{name}: {done}"))
    for which, why in found.left_out.items():
        out.print(plain(f"{which}: {why}"), style="red", soft_wrap=True)
    out.print("Start the workers, then compare: faust -A app audit rebuild")
