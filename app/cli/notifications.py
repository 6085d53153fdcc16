"""`faust -A app notifications list | retry`: messages to customers from the command line."""

from typing import Any, Final
from urllib.parse import quote

import click
from faust.cli import argument, option

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import WorkerClient, new_key, worker_command
from app.cli.orders import page_ends
from app.cli.output import CommandOutput, console, plain, print_incomplete, print_json, print_list

ACTIONS: Final = ("list", "retry")
PATH: Final = "/api/ops/notifications"
FILTERS: Final = ("state", "channel", "kind", "order", "before")


@worker_command(
    argument("action", type=click.Choice(ACTIONS), default="list"),
    argument("name", required=False),
    option("--state", default=None, help="PENDING, SENT, HELD, WAITING_FOR_OPERATOR, ..."),
    option("--channel", default=None, help="EMAIL or SMS."),
    option("--kind", default=None, help="The event that it tells of: PAYMENT_REFUNDED, say."),
    option("--order", default=None, help="list: of one order. retry: its order, always."),
    option("--before", default=None, help="list: what the page before ended with."),
    option("--limit", default=50, help="list: at most so many, the latest first."),
    watched=True,
    examples=(
        "notifications --state FAILED", "notifications --order order_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "notifications retry NAME --order ORDER_ID",
    ),
)  # fmt: skip
async def notifications(
    worker: WorkerClient, out: CommandOutput, action: str, name: str | None, **options: Any
) -> None:
    """List what customers were told; or try the one of this NAME once more."""
    order_id = options["order"]
    if action == "list":
        query = {each: options[each] for each in FILTERS if options[each]}
        query["limit"] = str(options["limit"])
        await out.show(lambda: worker.get(PATH, query), _print_list)
        return
    if not name or not order_id:
        told = "Which one? `faust -A app notifications retry NAME --order ORDER_ID`"
        raise CommandError(told, ExitStatus.UNTOLD)
    path = f"{PATH}/{quote(order_id, safe='')}/{quote(name, safe='')}/retry"
    answer = await worker.post(path, {}, new_key())
    if out.as_json:
        print_json(answer)
    else:
        console().print(plain(f"{name} is {answer['notification']['status']}."))


def _print_list(answer: dict[str, Any]) -> None:
    rows = []
    for each in answer["notifications"]:
        why = f"{each['code']}: {each['reason']}" if "code" in each else ""
        rows.append(
            (
                each["notificationId"], each["orderId"], each["occurredAt"], each["eventType"],
                each["channel"], each["status"], each["tries"], why,
            )
        )  # fmt: skip
    columns = ("name", "order", "when", "about", "by", "state", "tries", "why")
    print_list(columns, rows, *page_ends(answer, len(rows), "message", "messages"))
    print_incomplete(answer)
