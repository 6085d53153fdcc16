"""Commands of ours beside Faust's: `faust -A app order | payment | orders | topics`.

They read through a worker's HTTP: RocksDB has one owner, and that is the worker.
"""

import asyncio
import json
from typing import Any

import faust
from faust.cli import argument, option
from rich.console import Console
from rich.table import Table

from app import topic_sync
from app.cli_http import Worker, failed
from app.settings import Settings
from models.graphs import OrderStatus
from models.ids import reference
from models.money import decimal_text

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
        found = await Worker(settings, url, token, order_id).get(f"/api/orders/{order_id}")
        _show(found, f"Order {reference(order_id)}", as_json=as_json)

    @app.command(argument("any_id"), json_option, url_option, token_option)
    async def payment(self: Any, any_id: str, as_json: bool, url: str, token: str) -> None:
        """Show a payment, by its, its order's or Stripe's id: attempts, refunds, disputes, net."""
        order_id = await _order_of(settings, url, token, any_id)
        found = await Worker(settings, url, token, order_id).get(f"/api/payments/{order_id}")
        _show(found, f"Payment of order {reference(order_id)}", as_json=as_json)

    @app.command(
        option("--state", default=None, help=f"One of {', '.join(OrderStatus)}."),
        option("--limit", default=50, help="At most so many, the latest first."),
        json_option, url_option, token_option,
    )  # fmt: skip
    async def orders(
        self: Any,
        state: str,
        limit: int,
        as_json: bool,
        url: str,
        token: str,
    ) -> None:
        """List orders, of one state or of all, from every worker."""
        query = f"?limit={limit}" + (f"&state={state}" if state else "")
        found = await Worker(settings, url, token).get(f"/api/ops/orders{query}")
        if as_json:
            print(json.dumps(found, indent=2))  # noqa: T201 -- a command's output
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
        table = Table(box=None, pad_edge=False)
        for column in ("topic", "partitions", "kept", "written by", "read by", ""):
            table.add_column(column)
        for report in reports:
            topic = report.topic
            days = (
                "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // 86_400_000} days"
            )
            table.add_row(
                topic.name, str(report.partitions), days, ", ".join(topic.written_by),
                ", ".join(topic.read_by), report.done,
            )  # fmt: skip
        Console(width=140).print(table)


async def _order_of(settings: Settings, url: str | None, token: str | None, any_id: str) -> str:
    """The order that a text stands for: its reference, any id, a customer's email, and so on."""
    if any_id.startswith("order_"):
        return any_id
    found = await Worker(settings, url, token).post("/api/ops/search", {"q": any_id})
    orders = [each["orderId"] for each in found["orders"]]
    if len(orders) != 1:
        raise failed(f"{any_id} belongs to {', '.join(orders) or 'no order that is known'}.")
    return str(orders[0])


def _show(found: dict[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201 -- a command's output
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _lines(found):
        table.add_row(name, value)
    Console().print(table)


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
    table = Table(box=None, pad_edge=False)
    for column in ("order", "id", "state", "amount", "since", "restaurant"):
        table.add_column(column, no_wrap=True)
    for order in found["orders"]:
        amount = f"{decimal_text(order['amount'], order['currency'])} {order['currency']}"
        table.add_row(
            order["reference"],
            order["orderId"],
            order["status"],
            amount,
            order["since"],
            order["restaurantId"],
        )
    console = Console(width=140)
    console.print(table)
    console.print(f"{len(found['orders'])} of {found['total']} orders", style="dim")
    if found["incomplete"]:
        console.print(f"Incomplete: partitions {found['incomplete']} did not answer.", style="red")
