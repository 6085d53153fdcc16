"""`faust -A app refunds | disputes | report | reconcile`: where the money is, and whether Stripe agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click
from faust.cli import argument, option

from app.cli.errors import CommandError
from app.cli.http import new_key, worker_command
from app.cli.orders import ORDER, money, order_of
from app.cli.output import print_fields, print_incomplete, print_list
from models.graphs import RefundStatus
from models.wording import counted

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

LIMIT: Final = option("--limit", default=100, help="At most so many.")
AGREES: Final = "AGREES"


@worker_command(
    option(
        "--state", default=None, type=click.Choice([*RefundStatus, "BLOCKED"]), help="Of one state."
    ),
    LIMIT,
    watched=True,
    examples=("refunds --state FAILED", "refunds --json"),
)
async def refunds(worker: WorkerClient, out: CommandOutput, state: str | None, limit: int) -> None:
    """List refunds, the latest first; what waits for a dispute stands before all."""
    query = {"limit": str(limit)} | ({"state": state} if state else {})
    await out.show(lambda: worker.get("/api/ops/refunds", query), _show_refunds)


@worker_command(
    option("--state", default=None, type=click.Choice(["OPEN", "CLOSED"]), help="Of one state."),
    LIMIT,
    watched=True,
    examples=("disputes --state OPEN",),
)
async def disputes(worker: WorkerClient, out: CommandOutput, state: str | None, limit: int) -> None:
    """List disputes, those whose evidence is due soonest first."""
    query = {"limit": str(limit)} | ({"state": state} if state else {})
    await out.show(lambda: worker.get("/api/ops/disputes", query), _show_disputes)


@worker_command(
    ORDER,
    argument("dispute_id"),
    examples=("evidence 7K3M-9QXV dp_1Nk2 --json",),
)
async def evidence(worker: WorkerClient, out: CommandOutput, any_id: str, dispute_id: str) -> None:
    """Show the evidence for a dispute: order, payment, delivery and timeline. ORDER: any id of it."""
    order_id = await order_of(worker, any_id)
    path = (
        f"/api/payments/{quote(order_id, safe='')}/disputes/{quote(dispute_id, safe='')}/evidence"
    )
    asked = {"format": "json"}
    await out.show(
        lambda: worker.get(path, asked), lambda found: print_fields(f"Dispute {dispute_id}", found)
    )


@worker_command(
    option(
        "--from",
        "begin",
        default=None,
        help="Begin, included: 2026-11-23, or a time with its zone.",
    ),
    option("--to", "end", default=None, help="End, not included; by default now."),
    option(
        "--by",
        default="hour",
        type=click.Choice(["minute", "hour", "day"]),
        help="How long a row is.",
    ),
    option("--currency", default=None, help="Only this one: INR."),
    option("--restaurant", default=None, help="Only the restaurant with this id."),
    watched=True,
    examples=("report --by day --from 2026-11-01", "report --currency INR --json"),
)
async def report(worker: WorkerClient, out: CommandOutput, **options: str | None) -> None:
    """Show payments by minute, hour or day: attempts, declines, refunds, revenue."""
    names = {"begin": "from", "end": "to"}
    query = {names.get(name, name): value for name, value in options.items() if value}
    query["format"] = "json"
    await out.show(lambda: worker.get("/api/reports/payments", query), _show_report)


@worker_command(
    argument("any_id", metavar="[ORDER]", required=False),
    option("--check", "checks", is_flag=True, help="Status 1 unless our books and Stripe's agree."),
    watched=True,
    examples=("reconcile", "reconcile --check --json", "reconcile 7K3M-9QXV"),
)
async def reconcile(
    worker: WorkerClient, out: CommandOutput, any_id: str | None, checks: bool
) -> None:
    """Show whether our books agree with Stripe's; or ask Stripe about one order's payment again, now."""
    if any_id:
        order_id = await order_of(worker, any_id)
        path = f"/api/payments/{quote(order_id, safe='')}/ask-again"
        answer = await worker.post(path, {}, new_key())

        async def asked() -> Any:
            return answer

        await out.show(asked, lambda found: print_fields("Stripe is asked again", found))
        return
    found = await out.show(lambda: worker.get("/api/ops/reconciliation"), _show_reconciliation)
    if checks and found["verdict"] != AGREES:
        raise CommandError(f"Our books and Stripe's: {found['verdict']}.")


def _show_refunds(found: dict[str, Any]) -> None:
    rows = [
        (
            each["orderId"], each.get("refundId"), each["state"], money(each["amount"]), each["reason"],
            each.get("by"), each.get("requestedAt"), each.get("failureReason"),
            "yes" if each["canRetry"] else "",
        )
        for each in found["refunds"]
    ]  # fmt: skip
    columns = (
        "order",
        "refund",
        "state",
        "amount",
        "reason",
        "by",
        "when",
        "why it failed",
        "retry",
    )
    counts = ", ".join(
        f"{count} {state}" for state, count in sorted(found["counts"].items()) if count
    )
    print_list(columns, rows, counts or "No refunds.")
    print_incomplete(found)


def _show_disputes(found: dict[str, Any]) -> None:
    rows = [
        (
            each["orderId"], each["disputeId"], each["status"], money(each["amount"]), each["reason"],
            each.get("evidenceDueBy"), each.get("openedAt"),
        )
        for each in found["disputes"]
    ]  # fmt: skip
    columns = ("order", "dispute", "state", "amount", "reason", "evidence due by", "opened")
    print_list(columns, rows, "" if rows else "No disputes.")
    print_incomplete(found)


def _show_report(found: dict[str, Any]) -> None:
    rows = [_report_row(each["start"], each) for each in found["buckets"]]
    rows += [_report_row("all", each) for each in found["totals"]]
    columns = ("from", "currency", "initiated", "completed", "declined", "refunds", "captured", "refunded",
               "disputed", "revenue", "p50 to pay")  # fmt: skip
    print_list(
        columns, rows, f"By {found['by']}, {found['from']} to {found['to']} ({found['timeZone']})"
    )
    print_incomplete(found)


def _report_row(begin: str, each: dict[str, Any]) -> tuple[Any, ...]:
    took = each.get("timeToPay")
    amounts = (each[name]["display"] for name in ("captured", "refunded", "disputed", "revenue"))
    return (
        begin, each["currency"], each["initiated"], each["completed"], each["declined"]["count"],
        each["refunds"], *amounts, f"{took['p50Ms'] / 1000:.1f} s" if took else "",
    )  # fmt: skip


def _show_reconciliation(found: dict[str, Any]) -> None:
    run, live = found.get("run"), found["invariants"]
    sides = [
        (day["day"], day["currency"], what, money(day[what]["stripe"]), money(day[what]["tiffin"]),
         money(day[what]["difference"]))
        for day in (run or {}).get("totals", ())
        for what in ("charged", "refunded", "disputed")
    ]  # fmt: skip
    print_list(("day", "currency", "what", "Stripe", "Tiffin", "difference"), sides)
    differing = [
        (each["orderId"], each["kind"], each["id"], money(each.get("stripe")), money(each.get("tiffin")),
         f"{which} since {each['since']}")
        for which, key in (("differs", "differences"), ("settling", "settling"))
        for each in (run or {}).get(key, ())
    ] + [(each["orderId"], each["code"], "", "", "", f"{each['meaning']}, since {each['since']}")
         for each in live["broken"]]  # fmt: skip
    if differing:
        print_list(("order", "kind", "id", "Stripe", "Tiffin", "what"), differing)
    print_list(
        (), (), f"Last run: {run['runAt']}" if run else "There was no run here yet.",
        *(f"Not finished: {each}" for each in (run or {}).get("problems", ())),
        f"Verdict: {found['verdict']}. "
        + counted(live["brokenTotal"], "order breaks", "orders break")
        + " a live check, "
        + counted(live["waitsForOperator"], "waits", "wait")
        + " for an operator.",
    )  # fmt: skip
    print_incomplete(found)
