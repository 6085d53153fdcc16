"""`faust -A app order | payment | orders`: read through a worker's HTTP, for RocksDB has one owner."""

from typing import Any, Final
from urllib.parse import quote

from faust.cli import argument, option
from rich.text import Text

from app.cli.command import command
from app.cli.http import WORKER_OPTIONS, WorkerClient, exit_with
from app.cli.output import console, plain, print_json, print_page, table
from app.settings import Settings
from models.graphs import OrderStatus
from models.ids import reference
from models.money import decimal_text
from models.wording import counted

FILTERS: Final = ("state", "restaurant", "since", "until", "before")
"""Of the list of orders."""


@command(argument("any_id"), *WORKER_OPTIONS)
async def order(settings: Settings, any_id: str, **options: Any) -> None:
    """Show an order, its payment and its delivery; by its reference, any id, or as /ops finds it."""
    await _show_of_order(settings, options, any_id, "/api/orders", "Order")


@command(argument("any_id"), *WORKER_OPTIONS)
async def payment(settings: Settings, any_id: str, **options: Any) -> None:
    """Show a payment, by its, its order's or Stripe's id: attempts, refunds, disputes, net."""
    await _show_of_order(settings, options, any_id, "/api/payments", "Payment of order")


@command(
    option("--state", default=None, help=f"One of {', '.join(OrderStatus)}."),
    option("--restaurant", default=None, help="Of the restaurant with this id."),
    option("--since", default=None, help="In their state since then or later: 2026-11-23."),
    option("--until", default=None, help="In their state since before then."),
    option("--before", default=None, help="What the page before ended with."),
    option("--limit", default=50, help="At most so many, the latest first."),
    *WORKER_OPTIONS,
)
async def orders(settings: Settings, **options: Any) -> None:
    """List orders, of one state or of all, from every worker."""
    query = {name: options[name] for name in FILTERS if options[name]}
    query["limit"] = str(options["limit"])
    found = await WorkerClient(settings, options).get("/api/ops/orders", query)
    print_json(found) if options["as_json"] else _show_orders(found)


async def _show_of_order(
    settings: Settings, options: dict[str, Any], any_id: str, path: str, title: str
) -> None:
    """Print what a path of the API says of the order that a text stands for."""
    order_id = await _order_of(settings, options, any_id)
    worker = WorkerClient(settings, options, order_id)
    found = await worker.get(f"{path}/{quote(order_id, safe='')}")
    _show(found, f"{title} {reference(order_id)}", as_json=options["as_json"])


async def _order_of(settings: Settings, options: dict[str, Any], any_id: str) -> str:
    """The order that a text stands for: its reference, any id, a customer's email, and so on."""
    if any_id.startswith("order_"):
        return any_id
    found = await WorkerClient(settings, options).post("/api/ops/search", {"q": any_id})
    orders = [each["orderId"] for each in found["orders"]]
    if len(orders) != 1:
        raise exit_with(f"{any_id} belongs to {', '.join(orders) or 'no order that is known'}.")
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
    columns = ("order", "state", "amount", "since", "restaurant")
    print_page(table(columns, rows), 140, found, counted(found["total"], "order", "orders"))
