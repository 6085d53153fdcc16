"""`faust -A app skip`: let a stopped partition go on, from the command line."""

from typing import Any

import click
from faust.cli import argument, option

from app.cli.confirm import YES, confirm
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import WorkerClient, worker_command
from app.cli.output import CommandOutput, console, plain, print_json


@worker_command(
    argument("topic"),
    argument("partition", type=click.IntRange(min=0)),
    argument("offset", type=click.IntRange(min=-1)),
    option("--reason", default="", help="Why; kept in the audit."),
    option("--service", default=None, help="For which service, where it is stopped for several."),
    option("--dry-run", is_flag=True, help="Tell what would happen, do nothing."),
    YES,
    option("--retry", is_flag=True, help="Go on at it instead, after the cause was mended."),
    examples=(
        "skip order-events 0 17 --dry-run", "skip order-events 0 17 --reason 'a record of no sender of ours'",
        "skip order-events 0 17 --retry --reason 'the topic takes large records now'",
    ),
)  # fmt: skip
async def skip(
    worker: WorkerClient,
    out: CommandOutput,
    topic: str,
    partition: int,
    offset: int,
    **options: Any,
) -> None:
    """Go on behind OFFSET, at which TOPIC/PARTITION is stopped: what is there is lost."""
    if not options["reason"] and not options["dry_run"]:
        told = "Say why: --reason '...'; or see what would happen first: --dry-run"
        raise CommandError(told, ExitStatus.UNTOLD)
    if not options["dry_run"]:
        place = f"{topic}/{partition} at offset {offset}"
        question = (
            f"Try {place} again?" if options["retry"] else f"Skip {place}? What is there is lost."
        )
        confirm(question, is_sure=options["is_sure"])
    body = {
        "topic": topic, "partition": partition, "offset": offset, "service": options["service"],
        "reason": options["reason"] or "dry run", "retry": options["retry"],
        "dryRun": options["dry_run"],
    }  # fmt: skip
    answer = await worker.post("/api/ops/stopped/skip", body)
    print_json(answer) if out.as_json else _print(answer)


def _print(answer: dict[str, Any]) -> None:
    out, stopped = console(), answer["stopped"]
    place = f"{stopped['topic']}/{stopped['partition']}"
    out.print(plain(f"{place} is stopped at offset {stopped['offset']} since {stopped['since']}:"))
    out.print(plain(f"  {stopped['error']}"))
    out.print(plain(f"  for {stopped.get('service') or 'all services that read it'}"))
    would = "would go on" if answer["dryRun"] else "goes on"
    out.print(f"It {would} at offset {answer['goesOnAt']}.")
    if answer["dryRun"]:
        out.print("Nothing was changed: this was a dry run.", style="dim")
