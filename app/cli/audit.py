"""`faust -A app audit list | rebuild`: what operators did; whether the tables hold what the events say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from faust.cli import argument, option

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import worker_command
from app.cli.orders import order_of
from app.cli.output import print_list

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

FILTERS: Final = ("by", "kind", "order", "before")


@worker_command(
    argument("what", type=click.Choice(["list", "rebuild"]), default="list"),
    option("--by", default=None, help="list: only acts of this one: operator:alice."),
    option("--kind", default=None, help="list: only this type: COMMAND_REFUSED."),
    option("--order", default=None, help="list: only of this order."),
    option("--before", default=None, help="list: what the page before ended with."),
    option("--limit", default=50, help="list: at most so many, the latest first."),
    option(
        "--partition", "partitions", multiple=True, type=click.IntRange(min=0),
        help="rebuild: only this partition; may be repeated.",
    ),
    option(
        "--repair", "orders", multiple=True, metavar="ORDER",
        help="rebuild: make this order's states anew where they differ; may be repeated.",
    ),
    option("--repair-all", is_flag=True, help="rebuild: make all states anew that differ."),
    option("--dry-run", is_flag=True, help="rebuild: tell what would be repaired, do nothing."),
    option("--yes", "is_sure", is_flag=True, help="Don't ask; needed where there is no terminal."),
    watched=True,
    examples=(
        "audit --by operator:alice",
        "audit list --kind COMMAND_REFUSED --json",
        "audit rebuild",
        "audit rebuild --repair 7K3M-9QXV --dry-run",
        "audit rebuild --partition 2 --repair-all --yes",
    ),
)  # fmt: skip
async def audit(worker: WorkerClient, out: CommandOutput, what: str, **options: Any) -> None:
    """List what operators did and what was refused; or rebuild: fold all events anew and compare.

    `rebuild` compares with the live tables: status 1 if they differ, 2 if that can't be told. With `--repair`
    their owners make states that differ anew from the events; nothing is emitted again, and Stripe is asked
    what is open there.
    """
    if what == "rebuild":
        from app.cli.rebuild_proof import prove  # noqa: PLC0415 -- reads Kafka, and knows all events
        from app.cli.repair_plan import RepairWish  # noqa: PLC0415

        try:
            token = await worker.operator_token()
        except CommandError as error:
            told = f"{error.message[0].lower()}{error.message[1:]}"
            raise CommandError(f"Nothing is proved: {told}", ExitStatus.UNTOLD) from None
        wish = None
        if options["orders"] or options["repair_all"]:
            named = frozenset([await order_of(worker, order) for order in options["orders"]])
            orders = None if options["repair_all"] else named
            wish = RepairWish(orders, options["dry_run"], options["is_sure"])
        await prove(worker, token, as_json=out.as_json, partitions=options["partitions"], wish=wish)
        return
    query = {name: options[name] for name in FILTERS if options[name]}
    query["limit"] = str(options["limit"])
    await out.show(lambda: worker.get("/api/ops/audit", query), _show)


def _show(found: dict[str, Any]) -> None:
    rows = [
        (
            each["occurredAt"], each["eventType"], each["orderId"], each["data"].get("by", each["producer"]),
            " ".join(f"{name}={value}" for name, value in each["data"].items() if name != "by"),
        )
        for each in found["entries"]
    ]  # fmt: skip
    older = f"Older ones: --before {found['next']}" if "next" in found else ""
    print_list(("when", "what", "order", "by", "detail"), rows, f"{len(rows)} shown", older)
