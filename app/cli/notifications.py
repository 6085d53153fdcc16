"""`faust -A app notifications list | retry`: messages to customers from the command line."""

import uuid
from typing import Any, Final
from urllib.parse import quote

import click
from faust.cli import argument, option

from app.cli.command import command
from app.cli.http import WORKER_OPTIONS, WorkerClient, exit_with
from app.cli.output import console, plain, print_json, print_page, table
from app.settings import Settings

ACTIONS: Final = ("list", "retry")
PATH: Final = "/api/ops/notifications"
FILTERS: Final = ("state", "channel", "kind", "order", "before")


@command(
    argument("action", type=click.Choice(ACTIONS), default="list"),
    argument("name", required=False),
    option("--state", default=None, help="PENDING, SENT, HELD, WAITING_FOR_OPERATOR, ..."),
    option("--channel", default=None, help="EMAIL or SMS."),
    option("--kind", default=None, help="The event that it tells of: PAYMENT_REFUNDED, say."),
    option("--order", default=None, help="list: of one order. retry: its order, always."),
    option("--before", default=None, help="list: what the page before ended with."),
    option("--limit", default=50, help="list: at most so many, the latest first."),
    *WORKER_OPTIONS,
)
async def notifications(settings: Settings, action: str, name: str | None, **options: Any) -> None:
    """List what customers were told; or try the one of this NAME once more."""
    worker, order_id = WorkerClient(settings, options), options["order"]
    if action == "list":
        query = {each: options[each] for each in FILTERS if options[each]}
        query["limit"] = str(options["limit"])
        answer = await worker.get(PATH, query)
    elif name and order_id:
        path = f"{PATH}/{quote(order_id, safe='')}/{quote(name, safe='')}/retry"
        answer = await worker.post(path, {}, str(uuid.uuid4()))
    else:
        raise exit_with("Which one? `faust -A app notifications retry NAME --order ORDER_ID`")
    if options["as_json"]:
        print_json(answer)
    elif action == "list":
        _print_list(answer)
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
    print_page(table(columns, rows), 220, answer, str(answer["total"]))
