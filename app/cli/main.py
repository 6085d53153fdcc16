"""Commands of ours beside Faust's: `faust -A app order | payment | orders | topics`.

They read through a worker's HTTP: RocksDB has one owner, and that is the worker.
"""

import asyncio
from typing import Any, Final
from urllib.parse import quote

import faust
from faust.cli import argument, option
from rich.text import Text

from app.cli.http import WorkerClient, failed
from app.cli.output import (
    console,
    plain,
    print_json,
    table,
)
from app.kafka import topics as topic_sync
from app.settings import Settings
from models.graphs import OrderStatus
from models.ids import reference
from models.money import decimal_text
from models.times import DAY_MS
from models.wording import counted

FILTERS: Final = ("state", "restaurant", "since", "until", "before")
"""Of the list of orders."""
json_option = option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
url_option = option(
    "--url", default=None, help="Base URL of a worker; by default the one that the settings name."
)
token_option = option(
    "--token", default=None, envvar="TIFFIN_OPERATOR_TOKEN", help="An operator's token."
)


def register(app: faust.App, settings: Settings) -> None:
    """Add the commands to the app's command line."""

    @app.command(argument("any_id"), json_option, url_option, token_option)
    async def order(self: Any, any_id: str, as_json: bool, url: str, token: str) -> None:
        """Show an order, its payment and its delivery; by its reference, any id, or as /ops finds it."""
        order_id = await _order_of(settings, url, token, any_id)
        found = await WorkerClient(settings, url, token, order_id).get(
            f"/api/orders/{quote(order_id, safe='')}"
        )
        _show(found, f"Order {reference(order_id)}", as_json=as_json)

    @app.command(argument("any_id"), json_option, url_option, token_option)
    async def payment(self: Any, any_id: str, as_json: bool, url: str, token: str) -> None:
        """Show a payment, by its, its order's or Stripe's id: attempts, refunds, disputes, net."""
        order_id = await _order_of(settings, url, token, any_id)
        found = await WorkerClient(settings, url, token, order_id).get(
            f"/api/payments/{quote(order_id, safe='')}"
        )
        _show(found, f"Payment of order {reference(order_id)}", as_json=as_json)

    @app.command(
        option("--state", default=None, help=f"One of {', '.join(OrderStatus)}."),
        option("--restaurant", default=None, help="Of the restaurant with this id."),
        option("--since", default=None, help="In their state since then or later: 2026-11-23."),
        option("--until", default=None, help="In their state since before then."),
        option("--before", default=None, help="What the page before ended with."),
        option("--limit", default=50, help="At most so many, the latest first."),
        json_option, url_option, token_option,
    )  # fmt: skip
    async def orders(self: Any, **options: Any) -> None:
        """List orders, of one state or of all, from every worker."""
        query = {name: options[name] for name in FILTERS if options[name]}
        query["limit"] = str(options["limit"])
        found = await WorkerClient(settings, options["url"], options["token"]).get(
            "/api/ops/orders", query
        )
        if options["as_json"]:
            print_json(found)
        else:
            _show_orders(found)

    @app.command(
        option(
            "--check", "check_only", is_flag=True, help="Change nothing; fail if something differs."
        )
    )
    async def topics(self: Any, check_only: bool) -> None:
        """Make Kafka's topics as the registry says, and list them."""
        try:
            reports = await asyncio.to_thread(topic_sync.sync, settings, check_only=check_only)
        except topic_sync.TopicsError as error:
            raise failed(str(error)) from None
        columns = ("topic", "partitions", "kept", "written by", "read by", "")
        console(140).print(table(columns, map(_topic_row, reports)))


def _topic_row(report: topic_sync.TopicChange) -> tuple[str, ...]:
    topic = report.topic
    kept = (
        "for ever"
        if topic.retention_ms < 0
        else counted(topic.retention_ms // DAY_MS, "day", "days")
    )
    return (
        topic.name, str(report.partitions), kept, ", ".join(topic.written_by),
        ", ".join(topic.read_by), report.done,
    )  # fmt: skip


async def _order_of(settings: Settings, url: str | None, token: str | None, any_id: str) -> str:
    """The order that a text stands for: its reference, any id, a customer's email, and so on."""
    if any_id.startswith("order_"):
        return any_id
    found = await WorkerClient(settings, url, token).post("/api/ops/search", {"q": any_id})
    orders = [each["orderId"] for each in found["orders"]]
    if len(orders) != 1:
        raise failed(f"{any_id} belongs to {', '.join(orders) or 'no order that is known'}.")
    return str(orders[0])


def _show(found: dict[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    shown = table(("", ""), _lines(found))
    shown.title, shown.title_justify, shown.show_header = Text(plain(title)), "left", False
    shown.columns[0].style = "bold"
    console().print(shown)


def _lines(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Flatten JSON into dotted names and texts; empty things are left out."""
    if isinstance(value, dict):
        inner = [(f"{name}.{key}" if name else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{name}[{at}]", item) for at, item in enumerate(value)]
    else:
        return [] if value is None else [(name, str(value))]
    return [line for key, item in inner for line in _lines(item, key)]


def _show_orders(found: dict[str, Any]) -> None:
    rows = [
        (
            order["reference"], order["orderId"], order["status"],
            f"{decimal_text(order['amount'], order['currency'])} {order['currency']}",
            order["since"], order["restaurantId"],
        )
        for order in found["orders"]
    ]  # fmt: skip
    out = console(140)
    out.print(table(("order", "state", "amount", "since", "restaurant"), rows))
    out.print(
        f"{len(found['orders'])} of {counted(found['total'], 'order', 'orders')}", style="dim"
    )
    if "next" in found:
        out.print(f"Older ones: --before {found['next']}", style="dim")
    if found["incomplete"]:
        out.print(f"Incomplete: partitions {found['incomplete']} did not answer.", style="red")
