"""What `make demo` prints: a picture of the flow, a line an order, the count, and where to look next."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.money import decimal_text
from models.topics import TOPICS
from sandbox.demo_flows import Flow
from sandbox.endpoints import Endpoints
from sandbox.outside_count import OrderCount

MIN_WIDTH, MAX_WIDTH = 100, 140
PICTURE: Final = """\
 customer ── HTTP ──> worker ── command ──> Kafka ──> payments ── charge, refund ──> Stripe
    ^                (any of 3)              │  ^         │                            │
    │                                        │  └─ events ┴───────── webhook <─────────┘
    └──── page, mail, SMS <── orders <───────┘     state: RocksDB, kept safe by Kafka"""
SERVICES: Final = {
    "payments": "Payment Service",
    "orders": "Order Service",
    "deliveries": "Delivery Service",
    "notifications": "Notification Service",
}
DETAILS: Final = (
    "paymentId", "attempt", "amount", "currency", "stripeIntentId", "stripeChargeId", "receiptUrl",
    "failureReason", "cancelReason", "reason", "refundId", "status", "kind", "result",
    "about", "channel", "idempotencyKey", "stripeEventType", "effect", "code",
)  # fmt: skip
STEPS: Final = {
    "PAYMENT_FAILED": "declined",
    "PAYMENT_COMPLETED": "paid",
    "ORDER_CREATED": "to the kitchen",
    "ORDER_CANCELLED": "cancelled",
    "PAYMENT_REFUNDED": "refunded",
}
"""Event type -> the word for it in an order's line; other events are left out of it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must have been counted of an order."""

    charges: int = 1
    refunds: int = 0
    webhooks: int = 1


def is_as_expected(count: OrderCount, expected: Expected) -> bool:
    """Whether money moved as often as it should, and Stripe and Kafka agree about it."""
    found = Expected(count.charges, count.refunds, count.webhooks)
    return count.agrees and found == expected


class Screen:
    """Prints to a terminal in colour, and to anything else as plain text."""

    def __init__(self) -> None:
        """At least 100 columns wide, at most 140; NO_COLOR is heeded."""
        width = max(MIN_WIDTH, min(shutil.get_terminal_size().columns, MAX_WIDTH))
        self.console = Console(highlight=False, width=width)

    def doing(self, what: str) -> None:
        """Say what is waited for."""
        self.console.print(f"[dim]… {escape(what)}[/]")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is waited for, in a terminal with something that moves until it is over."""
        if not self.console.is_terminal or os.environ.get("TERM") == "dumb":
            self.doing(what)
            yield
            return
        with self.console.status(f"[dim]{escape(what)}[/]"):
            yield

    def head(self, text: str) -> None:
        """A part's headline, after an empty line."""
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def step(self, text: str) -> None:
        """One thing that happened."""
        self.console.print(f"  • {escape(text)}")

    def wrong(self, text: str) -> None:
        """One thing that is not as it should be."""
        self.console.print(f"  [red]✗ {escape(text)}[/]")

    def ready(self, took_s: float) -> None:
        """Everything runs."""
        self.console.print(f"[green]Ready[/] after {took_s:.1f} s.\n\n{PICTURE}")

    def order(self, flow: Flow, order: dict[str, Any], history: list[dict[str, Any]]) -> None:
        """One order in a line: what it was, what it cost, what happened, how long it took."""
        money = order["payment"]["amount"]
        amount = f"{decimal_text(money['amount'], money['currency'])} {money['currency']}"
        rows = [row for row in history if row["eventType"] in STEPS]
        steps = " → ".join(STEPS[row["eventType"]] for row in rows)
        took_s = rows[-1]["tMs"] / 1000
        self.console.print(
            f"  [green]✓[/] {flow.title:28}  {amount}  [dim]{steps}, {took_s:.1f} s[/]",
            soft_wrap=True,
        )

    def timeline(self, order: dict[str, Any], history: list[dict[str, Any]]) -> None:
        """All of an order's events, each with its fields."""
        self.console.print(f"    order {order.get('orderId', '?')}")
        for row in history:
            service = SERVICES.get(row["service"], row["service"])
            head = f"T+{row['tMs']}ms".ljust(9)
            self.console.print(
                f"    {head}│ {escape(service)}: [bold]{escape(row['eventType'])}[/]",
                soft_wrap=True,
            )
            detail = {"eventId": row["eventId"], **row.get("detail", {})}
            if "amount" in detail:
                detail["amount"] = decimal_text(detail["amount"], detail["currency"])
            shown = [(key, detail[key]) for key in ("eventId", *DETAILS) if detail.get(key)]
            line = ", ".join(f"{key}: {value}" for key, value in shown)
            self.console.print(f"             │ └─ [dim]{escape(line)}[/]", soft_wrap=True)

    def counts(self, counts: dict[str, OrderCount], expected: dict[str, Expected]) -> bool:
        """Show what Stripe and Kafka hold of each order; True if it is what it must be."""
        self.head("Counted from outside, in Stripe's own ledger and in the raw records of Kafka")
        table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
        table.add_column("")
        for column in ('webhooks "paid"', "charges", "in Kafka", "refunds", "in Kafka", ""):
            table.add_column(column, justify="right")
        right = {title: is_as_expected(count, expected[title]) for title, count in counts.items()}
        for title, count in counts.items():
            numbers = (
                count.webhooks, count.charges, count.completed, count.refunds, count.refunded,
            )  # fmt: skip
            mark = "[green]✓[/]" if right[title] else "[red]✗[/]"
            table.add_row(f"  {title}", *map(str, numbers), mark)
        self.console.print(table)
        if all(right.values()):
            self.console.print("[green]Every customer was charged once[/], whatever happened.")
        else:
            self.console.print("[red]Not every order is as it must be.[/]")
        return all(right.values())

    def topics(self, bootstrap: str) -> None:
        """How many records each topic holds."""
        table = Table(title="\nRecords in Kafka", title_justify="left", box=None, pad_edge=False)
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
        self.console.print(table)

    def links(self, endpoints: Endpoints, *, has_its_ports: bool) -> None:
        """Where to look next; has_its_ports: they are the usual ones."""
        first = endpoints.workers[0]
        self.head("Look around (Ctrl-C ends everything)")
        if not has_its_ports:
            self.console.print("  [dim]The usual ports are taken, so these are others.[/]")
        for name, where in {
            "shop": f"{first}/",
            "kitchen": f"{first}/kitchen",
            "courier": f"{first}/courier",
            "operations": f"{first}/ops",
            "mail and SMS": f"{endpoints.mailbox}/",
            "in a terminal": ".venv/bin/faust -A app orders",
            "logs, addresses": ".sandbox/logs/, .sandbox/endpoints.json",
            "more": "make demo RATE=2 (customers a second), DETAILS=1 (every event)",
        }.items():
            self.console.print(f"  {name:16} {where}", soft_wrap=True)
