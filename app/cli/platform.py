"""`faust -A app overview | stuck | lag | workers`: is all well, and if not, what and who must act."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click
from faust.cli import argument, option

from app.cli.errors import CommandError
from app.cli.http import worker_command
from app.cli.orders import order_of
from app.cli.output import console, plain, print_incomplete, print_list
from models.wording import counted

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

READYZ_TIMEOUT_S: Final = 3.0
ACTORS: Final = ("CUSTOMER", "KITCHEN", "COURIER", "STRIPE", "OPERATOR", "SYSTEM")
"""models.stuck.Actor, which takes longer to import than the command to run."""


@worker_command(
    option("--check", "checks", is_flag=True, help="Status 1 if something is of concern."),
    watched=True,
    examples=("overview", "overview --watch", "overview --check --json"),
)
async def overview(worker: WorkerClient, out: CommandOutput, checks: bool) -> None:
    """Show whether the platform is well, and what is of concern if not."""
    found = await out.show(lambda: worker.get("/api/ops/overview"), _show_overview)
    if checks and not found["healthy"]:
        raise CommandError(f"{counted(len(found['concerns']), 'concern', 'concerns')}.")


@worker_command(
    argument("any_id", metavar="[ORDER]", required=False),
    option("--actor", default=None, type=click.Choice(ACTORS), help="Who must act."),
    option("--limit", default=100, help="At most so many, the longest overdue first."),
    option("--check", "checks", is_flag=True, help="Status 1 if something is stuck."),
    watched=True,
    examples=("stuck", "stuck --actor OPERATOR --check", "stuck 7K3M-9QXV"),
)
async def stuck(
    worker: WorkerClient,
    out: CommandOutput,
    any_id: str | None,
    actor: str | None,
    limit: int,
    checks: bool,
) -> None:
    """List what waits longer than it should, and who must act; or all that one order waits for."""
    if any_id:
        path = f"/api/ops/orders/{quote(await order_of(worker, any_id), safe='')}/stuck"
        found = await out.show(lambda: worker.get(path), _show_waiting)
        is_stuck = any(each["stuck"] for each in found["waiting"])
    else:
        query = {"limit": str(limit)} | ({"actor": actor} if actor else {})
        found = await out.show(lambda: worker.get("/api/ops/stuck", query), _show_stuck)
        is_stuck = found["total"] > 0
    if checks and is_stuck:
        raise CommandError("Something is stuck.")


@worker_command(
    option("--all", "shows_all", is_flag=True, help="A row for each partition of each topic."),
    watched=True,
    examples=("lag", "lag --all", "lag --watch --json"),
)
async def lag(worker: WorkerClient, out: CommandOutput, shows_all: bool) -> None:
    """Show how far each service is behind its topics, and what is stopped."""
    show = _show_all_lag if shows_all else _show_lag
    await out.show(lambda: worker.get("/api/ops/lag"), show)


@worker_command(watched=True, examples=("workers", "workers --watch"))
async def workers(worker: WorkerClient, out: CommandOutput) -> None:
    """List the workers: their partitions, whether they are ready, and what they still recover."""

    async def ask() -> Any:
        found = await worker.get("/api/ops/overview")
        known = found["workers"]
        ready = await asyncio.gather(*(worker.readiness(w["url"], READYZ_TIMEOUT_S) for w in known))
        shown = [
            {**each, "status": state["status"] if state else "does not answer",
             "reasons": state.get("reasons", []) if state else []}
            for each, state in zip(known, ready, strict=True)
        ]  # fmt: skip
        return {"workers": shown} | {
            name: found[name] for name in ("incomplete", "level", "nextLevel") if name in found
        }

    await out.show(ask, _show_workers)


def _show_overview(found: dict[str, Any]) -> None:
    out = console()
    if found["healthy"]:
        out.print(f"All is well at {found['at']}.", style="green")
    else:
        print_list(
            ("concern", "what", "see", "runbook"),
            ((each["code"], each["detail"], each["where"].rpartition("/")[2],
              each.get("runbook", "").rpartition("/")[2]) for each in found["concerns"]),
        )  # fmt: skip
    letters = found["deadLetters"].get("OPEN", 0)
    stuck_total = sum(found["stuck"].values())
    print_list(
        (), (),
        f"{counted(len(found['workers']), 'worker', 'workers')}, lag {found['lag']}, {stuck_total} stuck, "
        f"{counted(letters, 'open dead letter', 'open dead letters')}, "
        f"{counted(found['effectsPending'], 'effect', 'effects')} pending at Stripe.",
    )  # fmt: skip
    print_incomplete(found)


def _show_stuck(found: dict[str, Any]) -> None:
    by_actor = ", ".join(f"{actor} {count}" for actor, count in found["byActor"].items())
    told = f"{len(found['stuck'])} of {found['total']}; who must act: {by_actor}"
    _show_waits(found["stuck"], told if found["stuck"] else "Nothing is stuck.")
    print_incomplete(found)


def _show_waiting(found: dict[str, Any]) -> None:
    _show_waits(found["waiting"], "" if found["waiting"] else "The order waits for nothing.")


def _show_waits(waits: list[dict[str, Any]], end: str) -> None:
    rows = [
        (
            each["orderId"], each["service"], f"{each['subject']} {each['state']}", each["actor"],
            each["since"], each["due"], " or ".join(each["expected"]), each.get("advice"),
        )
        for each in waits
    ]  # fmt: skip
    columns = ("order", "service", "what", "who must act", "since", "due", "expected", "advice")
    print_list(columns, rows, end)


def _show_lag(found: dict[str, Any]) -> None:
    rows = [
        (
            each["service"], each["lag"], f"{each['behind']}/{each['partitions']}", each.get("furthest"),
            "paused" if each["paused"] else "",
        )
        for each in found["services"]
    ]  # fmt: skip
    waits = counted(found["total"], "record waits", "records wait")
    columns = ("service", "lag", "behind", "furthest", "")
    print_list(columns, rows, f"{waits}; --all shows each partition.")
    _show_stops(found)


def _show_all_lag(found: dict[str, Any]) -> None:
    rows = [
        (
            row["topic"], row["partition"], each["service"], row["end"], each.get("next"), each.get("lag"),
            "paused" if each["paused"] else "",
        )
        for row in found["partitions"]
        for each in row["services"]
    ]  # fmt: skip
    print_list(("topic", "partition", "service", "end", "next", "lag", ""), rows)
    _show_stops(found)


def _show_stops(found: dict[str, Any]) -> None:
    for stop in found["stopped"]:
        place = f"{stop['topic']} {stop['partition']} {stop['offset']}"
        console().print(
            plain(f"Stopped at {place} since {stop['since']}: {stop['error']}. See `skip --help`."),
            style="red", soft_wrap=True,
        )  # fmt: skip
    print_incomplete(found)


def _show_workers(found: dict[str, Any]) -> None:
    rows = [
        (
            each["url"], each["status"], ", ".join(map(str, each["partitions"])), each.get("build", ""),
            each["startedAt"],
            each["effectsPending"], each["recoveryRowsLeft"] or "", "; ".join(each["reasons"]),
        )
        for each in found["workers"]
    ]  # fmt: skip
    columns = (
        "worker",
        "state",
        "partitions",
        "build",
        "since",
        "effects",
        "rows to recover",
        "waits for",
    )
    print_list(columns, rows, _level_told(found))
    print_incomplete(found)


def _level_told(found: dict[str, Any]) -> str:
    """The platform's level. A worker of release 0.1.0, which may have been asked, knows of none."""
    if "level" not in found:
        return ""
    more = (
        f"; {found['nextLevel']} once the upgrade is finished (`level`)"
        if "nextLevel" in found
        else ""
    )
    return f"Level {found['level']}{more}."
