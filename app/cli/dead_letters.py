"""`faust -A app dead-letters list | show | redrive | discard`: dead letters from the command line."""

from typing import Any, Final
from urllib.parse import quote

import click
from faust.cli import argument, option

from app.cli.confirm import YES, confirm
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import WorkerClient, worker_command
from app.cli.output import CommandOutput, console, plain, print_json, print_list, table

TIMEOUT_S: Final = 120.0
"""Long: all of an order's are redriven one after the other."""
ACTIONS: Final = ("list", "show", "redrive", "discard")
PATH: Final = "/api/ops/dead-letters"


@worker_command(
    argument("action", type=click.Choice(ACTIONS), default="list"),
    argument("name", required=False),
    option("--reason", default="", help="Why; needed to discard."),
    option("--dry-run", is_flag=True, help="Tell what would happen, do nothing."),
    YES,
    option("--only", is_flag=True, help="redrive: this one alone, not all of its order's."),
    option("--redrive-rest", is_flag=True, help="discard: redrive its order's others then."),
    option("--state", default="OPEN", help="list: OPEN, REDRIVEN, DISCARDED or ALL."),
    option("--order", default=None, help="list: of one order."),
    option("--limit", default=50, help="list: at most so many, the latest first."),
    option("--personal", is_flag=True, help="show: contact and address too."),
    watched=True,
    examples=(
        "dead-letters", "dead-letters show NAME", "dead-letters redrive NAME --dry-run",
        "dead-letters discard NAME --reason 'a test of ours'",
    ),
)  # fmt: skip
async def dead_letters(
    worker: WorkerClient, out: CommandOutput, action: str, name: str | None, **options: Any
) -> None:
    """List dead letters; show, redrive or discard the one of this NAME; status 1 if refused."""
    if action != "list" and not name:
        told = f"Which one? `faust -A app dead-letters {action} NAME`"
        raise CommandError(told, ExitStatus.UNTOLD)
    if action == "discard" and not options["reason"]:
        raise CommandError("Say why: --reason '...'", ExitStatus.UNTOLD)
    worker.timeout_s = TIMEOUT_S
    if action == "list":
        query = {"state": options["state"], "limit": str(options["limit"])}
        if options["order"]:
            query["order"] = options["order"]
        await out.show(lambda: worker.get(PATH, query), _print_list)
        return
    if action != "show" and not options["dry_run"]:
        confirm(f"{action.capitalize()} dead letter {name}?", is_sure=options["is_sure"])
    answer = await _answer(worker, action, name or "", options)
    print_json(answer) if out.as_json or action == "show" else _print_act(answer)
    if answer.get("refused") or answer.get("stopped"):
        raise CommandError(answer.get("stopped") or "It would be refused.")


async def _answer(worker: WorkerClient, action: str, name: str, options: dict[str, Any]) -> Any:
    path = f"{PATH}/{quote(name, safe=':')}"
    if action == "show":
        return await worker.get(path, {"personal": "true"} if options["personal"] else {})
    body = {"reason": options["reason"], "dryRun": options["dry_run"]}
    if action == "redrive":
        body["allOfOrder"] = not options["only"]
    else:
        body["redriveRest"] = options["redrive_rest"]
    return await worker.post(f"{path}/{action}", body)


def _print_list(answer: dict[str, Any]) -> None:
    rows = [
        (
            each["deadLetterId"], each["state"], each.get("key", ""),
            f"{each['error']}: {each['message']}", each["diedAt"], each["deaths"],
        )
        for each in answer["deadLetters"]
    ]  # fmt: skip
    left = f"{answer['leftOut']} more show up as others are settled." if answer["leftOut"] else ""
    columns = ("name", "state", "order", "why", "died", "times")
    print_list(columns, rows, f"{len(rows)} of {answer['total']}", left)


def _print_act(answer: dict[str, Any]) -> None:
    rows = []
    for step in answer["steps"]:
        accepted = step.get("accepted")
        outcome = "" if accepted is None else "accepted" if accepted else f"refused {step['code']}"
        why = ": ".join(filter(None, (step.get("error"), step.get("message"))))
        becomes, events = step.get("verdict", "DISCARDED"), ", ".join(step["events"])
        rows.append((step["deadLetterId"], becomes, events, outcome, why))
    out = console(180)
    out.print(table(("name", "becomes", "events", "outcome", "why"), rows))
    if answer["dryRun"]:
        out.print("Nothing was changed: this was a rehearsal.", style="dim")
    if answer["quarantined"]:
        verb = "would stay" if answer["dryRun"] else "stays"
        out.print(f"The order {verb} quarantined.", style="yellow")
    if answer.get("stopped"):
        out.print(plain(answer["stopped"]), style="red")
