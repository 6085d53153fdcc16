"""`make demo`: sets everything up, plays three orders, shows what happened, stays up."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import click
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.money import decimal_text
from models.topics import TOPICS
from sandbox.customer import Customer
from sandbox.demo_flows import FLOWS, play
from sandbox.kafka import BrokerError, JarError
from sandbox.platform import Endpoints, Platform, PlatformError
from sandbox.processes import ProcessError
from sandbox.simulate import Simulation, until_stopped

console = Console(highlight=False, width=max(100, min(shutil.get_terminal_size().columns, 140)))
SERVICES = {
    "payments": "Payment Service",
    "orders": "Order Service",
    "deliveries": "Delivery Service",
    "notifications": "Notification Service",
}
SHOWN = (
    "paymentId", "attempt", "amount", "currency", "stripeIntentId", "stripeChargeId", "receiptUrl",
    "failureReason", "cancelReason", "reason", "refundId", "status", "kind", "result",
    "about", "channel", "idempotencyKey", "stripeEventType", "effect", "code",
)  # fmt: skip


@click.command(help=__doc__)
@click.option(
    "--once", is_flag=True, envvar="ONCE", help="End after the flows; status 0 if all is well."
)
@click.option(
    "--keep", is_flag=True, help="Go on with the last run's orders instead of wiping them."
)
@click.option(
    "--rate", type=float, default=None, help="Then so many simulated customers a second come."
)
def main(*, once: bool, keep: bool, rate: float | None) -> None:
    """Run the demo."""
    if rate is not None and rate <= 0:
        raise click.BadParameter("must be above 0: customers a second", param_hint="--rate")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(stop))
    began = time.monotonic()
    platform = Platform(keep=keep, progress=lambda line: console.print(f"[dim]…[/] {escape(line)}"))
    try:
        with platform:
            took = time.monotonic() - began
            console.print(
                f"[green]Ready[/] after {took:.1f} s: three workers, Kafka, Stripe's stand-in\n"
            )
            is_right = asyncio.run(_flows(platform.endpoints))
            _show_topics(platform.bootstrap)
            if not once:
                _show_where_to_look(platform.endpoints)
                _stay(platform.endpoints, stop, rate)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # the end is near, and in good order
            console.print("[dim]… Stopping everything that was started[/]")
    except (PlatformError, BrokerError, JarError, ProcessError) as error:
        console.print(f"[red]The demo did not start:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("[dim]… Stopped[/]")
        sys.exit(130)
    if not is_right:
        sys.exit(1)


def _stay(endpoints: Endpoints, stop: threading.Event, rate: float | None) -> None:
    """Stay up until Ctrl-C, with or without simulated customers."""
    with suppress(KeyboardInterrupt):
        if rate is None:
            stop.wait()
        else:
            who = "customer" if rate == 1 else "customers"
            console.print(f"\n[bold]{rate:g} {who} a second[/], kitchens and couriers at work")
            day = Simulation(endpoints, rate_per_s=rate)
            asyncio.run(until_stopped(day, console))


def _interrupt(stop: threading.Event) -> None:
    """The first Ctrl-C ends the demo in good order, wherever it is."""
    if stop.is_set():
        return
    stop.set()
    raise KeyboardInterrupt


async def _flows(endpoints: Endpoints) -> bool:
    is_right = True
    for number, flow in enumerate(FLOWS):
        web = endpoints.workers[number % len(endpoints.workers)]
        async with Customer(web, endpoints.stripe) as customer:
            try:
                history, wrong = await play(flow, customer)
            except (TimeoutError, AssertionError) as error:
                history, wrong = [], [str(error)]
            _show_timeline(flow.title, customer.order, history)
        for line in wrong:
            console.print(f"   [red]✗ {escape(line)}[/]")
        if not wrong:
            console.print(
                f"   [green]✓ order {flow.order}, payment {flow.payment}, as expected[/]\n"
            )
        is_right = is_right and not wrong
    return is_right


def _show_timeline(title: str, order: dict[str, Any], history: list[dict[str, Any]]) -> None:
    """Print an order's timeline."""
    console.print(f"[bold]{title}[/]: order {order.get('orderId', '?')}")
    for row in history:
        service = SERVICES.get(row["service"], row["service"])
        head = f"T+{row['tMs']}ms".ljust(9)
        console.print(
            f"{head}│ {escape(service)}: [bold]{escape(row['eventType'])}[/]", soft_wrap=True
        )
        detail = {"eventId": row["eventId"], **row.get("detail", {})}
        if "amount" in detail:
            detail["amount"] = decimal_text(detail["amount"], detail["currency"])
        shown = [(key, detail[key]) for key in ("eventId", *SHOWN) if detail.get(key) is not None]
        line = ", ".join(f"{key}: {value}" for key, value in shown)
        console.print(f"         │ └─ [dim]{escape(line)}[/]", soft_wrap=True)


def _show_topics(bootstrap: str) -> None:
    table = Table(title="Records in Kafka", title_justify="left", box=None, pad_edge=False)
    table.add_column("topic")
    table.add_column("records", justify="right")
    table.add_column("what", style="dim")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "demo-count"})
    known = consumer.list_topics(timeout=10).topics
    for topic in TOPICS.values():
        marks = [
            consumer.get_watermark_offsets(TopicPartition(topic.name, p), timeout=10)
            for p in known[topic.name].partitions
        ]
        count = sum(high - low for low, high in marks)
        table.add_row(topic.name, str(count), topic.about)
    consumer.close()
    console.print(table)


def _show_where_to_look(endpoints: Endpoints) -> None:
    first = endpoints.workers[0]
    console.print("\n[bold]It stays up. Where to look next[/] (Ctrl-C stops everything)")
    for name, where in {
        "Shop": f"{first}/",
        "Staff": f"{first}/login   (kitchens, couriers, operations)",
        "API": f"{first}/api/restaurants   (any worker: {', '.join(endpoints.workers[1:])})",
        "Stripe's stand-in": endpoints.stripe,
        "its control API": endpoints.control,
        "mail and SMS": endpoints.mailbox,
        "Kafka": endpoints.kafka,
        "logs": ".sandbox/logs/",
        "all of these": ".sandbox/endpoints.json",
        "agents, tables": ".venv/bin/faust -A app agents; .venv/bin/faust -A app tables",
        "one order": ".venv/bin/faust -A app order ORDER_ID",
    }.items():
        console.print(f"  {name:18} {where}", soft_wrap=True)


if __name__ == "__main__":
    main()
