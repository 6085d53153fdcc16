"""How `faust -A app rehearse` shows what it found to a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.cli.output import console, plain, print_list
from app.rehearsal.compare import DifferenceKind
from app.rehearsal.report import masked, sorted_kinds
from models.money import decimal_text
from models.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.rehearsal.compare import KindKey
    from app.rehearsal.report import Example, RehearsalReport

SHOWN_ORDERS = 3
MAX_VALUE_CHARS = 300


def print_report(
    report: RehearsalReport,
    failing: Sequence[KindKey],
    gone: Sequence[KindKey],
    *,
    with_values: bool,
    is_what_if: bool,
) -> None:
    """Print it. failing: kinds that are not accepted. gone: accepted kinds that were not found."""
    _print_kinds(report, set(failing), with_values=with_values, is_what_if=is_what_if)
    _print_money(report)
    out = console()
    for why, untold in sorted(report.untold.items()):
        orders = counted(untold.orders, "order", "orders")
        first = ", ".join(untold.examples)
        out.print(
            plain(f"Of {orders} nothing can be said: {why}: {first}"),
            style="yellow",
            soft_wrap=True,
        )
    for key in gone:
        out.print(plain(f"Accepted, not found: {_named(key)}"), style="dim", soft_wrap=True)
    decided = counted(report.orders, "order", "orders")
    compared = counted(report.outputs, "output", "outputs")
    inputs = counted(report.inputs, "input", "inputs")
    style = "red" if failing and not is_what_if else "green"
    out.print(
        f"{decided} decided again: {inputs}, {compared} compared; "
        f"{counted(report.differing, 'order differs', 'orders differ')}.",
        style=style, soft_wrap=True,
    )  # fmt: skip


def _print_kinds(
    report: RehearsalReport, failing: Collection[KindKey], *, with_values: bool, is_what_if: bool
) -> None:
    rows = []
    for key, kind in sorted_kinds(report):
        state = "" if key in failing or is_what_if else "accepted"
        lines = [_line(each, key, with_values=with_values) for each in kind.examples[:SHOWN_ORDERS]]
        rows.append((kind.orders, _named(key), state, "\n".join(lines)))
    print_list(("orders", "difference", "", "first: before -> after"), rows)


def _named(key: KindKey) -> str:
    field = f" {key.field}" if key.field else ""
    return f"{key.service}: {key.kind}{field} of {key.type} in {key.topic}"


def _line(each: Example, key: KindKey, *, with_values: bool) -> str:
    name = "eventType" if key.kind is DifferenceKind.TYPE else key.field
    values: list[Any] = [each.before, each.after]
    before, after = (_shown(value if with_values else masked(value, name)) for value in values)
    return f"{each.order_id}: {before} -> {after}"


def _shown(value: Any) -> str:
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"


def _print_money(report: RehearsalReport) -> None:
    if not report.money:
        return
    rows = []
    for currency, (before, after) in sorted(report.money.items()):
        moved = [
            f"{decimal_text(was, currency)} -> {decimal_text(now, currency)}"
            for was, now in zip(before, after, strict=True)
        ]
        rows.append((currency, *moved))
    note = ""
    if report.unanswered:
        orders = counted(report.unanswered, "order", "orders")
        note = f"For {orders} Stripe would have been asked for something else; its answers are not known."
    print_list(("money", "captured", "refunded", "refunds asked for besides"), rows, note)
