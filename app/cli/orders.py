"""`faust -A app order | payment | timeline | orders`: orders and all that belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from faust.cli import argument, option

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import worker_command
from app.cli.output import print_fields, print_incomplete, print_list
from models.graphs import OrderStatus
from models.ids import reference
from models.money import decimal_text
from models.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

FILTERS: Final = ("state", "restaurant", "since", "until", "before")
"""Of the list of orders."""
ORDER: Final = argument("any_id", metavar="ORDER")
"""Its reference, any id, or whatever Operations finds it by."""


@worker_command(
    ORDER,
    watched=True,
    examples=("order 7K3M-9QXV", "order pi_3Nk2 --json", "order asha@example.com --watch"),
)
async def order(worker: WorkerClient, out: CommandOutput, any_id: str) -> None:
    """Show an order, its payment and its delivery.

    ORDER: its reference, any id of it, or whatever Operations finds it by: an email, a card's last digits.
    """
    await _show_of_order(worker, out, any_id, "/api/orders", "Order")


@worker_command(ORDER, watched=True, examples=("payment 7K3M-9QXV", "payment pi_3Nk2 --json"))
async def payment(worker: WorkerClient, out: CommandOutput, any_id: str) -> None:
    """Show a payment: attempts, refunds, disputes, net. ORDER: any id of it, such as pi_... of Stripe."""
    await _show_of_order(worker, out, any_id, "/api/payments", "Payment of order")


@worker_command(ORDER, watched=True, examples=("timeline 7K3M-9QXV", "timeline pi_3Nk2 --json"))
async def timeline(worker: WorkerClient, out: CommandOutput, any_id: str) -> None:
    """Show all that happened to an order: events, effects at Stripe, refusals. ORDER: any id of it."""
    order_id = await order_of(worker, any_id)
    path = f"/api/orders/{quote(order_id, safe='')}/timeline"
    # Not with a token made for this order: an operator sees more.
    await out.show(lambda: worker.get(path), _show_timeline)


@worker_command(
    option("--state", default=None, help=f"One of {', '.join(OrderStatus)}."),
    option("--restaurant", default=None, help="Of the restaurant with this id."),
    option("--since", default=None, help="In their state since then or later: 2026-11-23."),
    option("--until", default=None, help="In their state since before then."),
    option("--before", default=None, help="What the page before ended with."),
    option("--limit", default=50, help="At most so many, the latest first."),
    watched=True,
    examples=("orders --state PENDING", "orders --since 2026-11-23 --limit 200 --json"),
)
async def orders(worker: WorkerClient, out: CommandOutput, **options: Any) -> None:
    """List orders, of one state or of all, from every worker."""
    query = {name: options[name] for name in FILTERS if options[name]}
    query["limit"] = str(options["limit"])
    await out.show(lambda: worker.get("/api/ops/orders", query), _show_orders)


async def order_of(worker: WorkerClient, any_id: str) -> str:
    """The order that a text stands for: its reference, any id, a customer's email, and so on.

    Raises CommandError.
    """
    if any_id.startswith("order_"):
        return any_id
    found = await worker.post("/api/ops/search", {"q": any_id})
    orders = [each["orderId"] for each in found["orders"]]
    if len(orders) == 1:
        return str(orders[0])
    if orders:
        raise CommandError(f"{any_id} belongs to {', '.join(orders)}: name one of them.")
    raise CommandError(f"{any_id} belongs to no order that is known.", ExitStatus.NOT_FOUND)


def money(amount: Mapping[str, Any] | None) -> str:
    """An amount of the API, as people write it."""
    return f"{amount['display']} {amount['currency']}" if amount else ""


async def _show_of_order(
    worker: WorkerClient, out: CommandOutput, any_id: str, path: str, title: str
) -> None:
    """Print what a path of the API says of the order that a text stands for."""
    order_id = await order_of(worker, any_id)
    where = f"{path}/{quote(order_id, safe='')}"
    await out.show(
        lambda: worker.get(where, order_id=order_id),
        lambda found: print_fields(f"{title} {reference(order_id)}", found),
    )


def _show_timeline(found: dict[str, Any]) -> None:
    rows = [
        (
            f"+{entry['tMs'] / 1000:.3f} s", entry["occurredAt"], entry["service"], entry["eventType"],
            " ".join(f"{name}={value}" for name, value in entry["detail"].items()), entry["eventId"],
        )
        for entry in found["entries"]
    ]  # fmt: skip
    broken = (f"Can't be shown: {each}" for each in found.get("broken", ()))
    print_list(("after", "when", "service", "event", "detail", "event id"), rows, *broken)


def _show_orders(found: dict[str, Any]) -> None:
    rows = [
        (
            order["reference"], order["orderId"], order["status"],
            f"{decimal_text(order['amount'], order['currency'])} {order['currency']}",
            order["since"], order["restaurantId"],
        )
        for order in found["orders"]
    ]  # fmt: skip
    columns = ("order", "id", "state", "amount", "since", "restaurant")
    print_list(columns, rows, *page_ends(found, len(rows), "order", "orders"))
    print_incomplete(found)


def page_ends(found: Mapping[str, Any], shown: int, one: str, many: str) -> tuple[str, str]:
    """Lines below a page of a list: how much of it this is, and how to get the next one."""
    older = f"Older ones: --before {found['next']}" if "next" in found else ""
    return f"{shown} of {counted(found['total'], one, many)}", older
