"""`faust -A app level show | check | finish`: the platform's level, and the end of an upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from faust.cli import argument, option

from app.cli.confirm import confirm
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import worker_command
from app.cli.output import print_list
from models.levels import FIRST_RELEASE

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

PATH: Final = "/api/ops/level"
WHAT: Final = ("show", "check", "finish")


@worker_command(
    argument("what", type=click.Choice(WHAT), default="show"),
    option("--reason", default="", help="finish: why; kept in the audit."),
    option("--dry-run", is_flag=True, help="finish: tell what would happen, do nothing."),
    option("--yes", "is_sure", is_flag=True, help="finish: don't ask; needed without a terminal."),
    watched=True,
    examples=(
        "level", "level check", "level finish --dry-run",
        "level finish --reason 'all workers run 0.2.0' --yes",
    ),
)  # fmt: skip
async def level(
    worker: WorkerClient, out: CommandOutput, what: str, is_sure: bool, **options: Any
) -> None:
    """Show the platform's level and the builds of its workers; or finish an upgrade.

    `check`: status 1 while a worker runs a build that does not understand the next level. `finish` raises the
    level at all workers, 10 seconds later and without a restart. Until then the build before can come back;
    from then on its workers refuse to start (status 78).
    """
    if what != "finish":
        found = await out.show(lambda: worker.get(PATH), _show)
        if what == "check" and found["blockers"]:
            told = "; ".join(found["blockers"])
            raise CommandError(f"The upgrade can't be finished now: {told}.")
        return
    if not options["reason"] and not options["dry_run"]:
        told = "Say why: --reason '...'; or see what would happen first: --dry-run"
        raise CommandError(told, ExitStatus.UNTOLD)
    if not options["dry_run"]:
        confirm("Raise the level? The build before can't come back then.", is_sure=is_sure)
    body = {"reason": options["reason"] or "dry run", "dryRun": options["dry_run"]}

    async def finish() -> Any:
        return await worker.post(f"{PATH}/finish", body)

    await out.show(finish, _show)


def _show(found: dict[str, Any]) -> None:
    rows = [
        (
            each["host"], ", ".join(map(str, each["partitions"])),
            each["version"] or FIRST_RELEASE, each["understands"],
        )
        for each in found["workers"]
    ]  # fmt: skip
    print_list(("worker", "partitions", "build", "understands level"), rows)
    print_list((), (), f"Level {found['level']}{_next(found)}")
    print_list((), (), *(f"  then begins: {line}" for line in found["begins"]))
    print_list((), (), *(f"Not yet: {line}." for line in found["blockers"]))
    if found["dryRun"]:
        print_list((), (), "Nothing was changed: this was a dry run.")


def _next(found: dict[str, Any]) -> str:
    if "beginsAt" in found:
        return f"; {found['latest']} begins at {found['beginsAt']}."
    if found["finished"]:
        return ": the upgrade is finished."
    ready = "can be" if not found["blockers"] else "can't be"
    return f"; the upgrade to {found['latest']} {ready} finished now (`faust -A app level finish`)."
