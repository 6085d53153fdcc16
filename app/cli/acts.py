"""`faust -A app refund | cancel`: what moves money or ends an order, asked once before it is done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click
from faust.cli import option

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import new_key, worker_command
from app.cli.orders import ORDER, money, order_of
from app.cli.output import plain, print_fields
from models.ids import reference
from models.money import minor_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

REFUND_REASONS: Final = (
    "OPERATOR_REQUEST", "ITEM_MISSING", "QUALITY", "LATE", "duplicate", "fraudulent",
    "requested_by_customer",
)  # fmt: skip
"""What RefundBody (web/api/schemas.py) accepts; CANCEL_REASONS: CancelReason."""
CANCEL_REASONS: Final = (
    "OPERATOR_REQUEST", "CUSTOMER_REQUEST", "CHANGED_MIND", "ORDERED_BY_MISTAKE", "TOO_SLOW",
)  # fmt: skip
ACT_OPTIONS: Final = (
    option("--yes", "is_sure", is_flag=True, help="Don't ask; needed where there is no terminal."),
    option(
        "--key",
        default=None,
        help="Idempotency-Key; the one of a try that was cut off repeats it safely.",
    ),
)


@worker_command(
    ORDER,
    option("--amount", default=None, help="10.50, in the payment's currency; by default all that is left."),
    option("--reason", default="OPERATOR_REQUEST", type=click.Choice(REFUND_REASONS), help="Why."),
    option("--retry", "refund_id", default=None, help="Repeat this refund, which failed."),
    *ACT_OPTIONS,
    examples=(
        "refund 7K3M-9QXV", "refund 7K3M-9QXV --amount 10.50 --reason ITEM_MISSING --yes",
        "refund 7K3M-9QXV --retry refund_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ),
)  # fmt: skip
async def refund(
    worker: WorkerClient,
    out: CommandOutput,
    any_id: str,
    is_sure: bool,
    key: str | None,
    **options: Any,
) -> None:
    """Give a customer's money back, all or a part; Stripe's word on it comes later. ORDER: any id of it."""
    order_id = await order_of(worker, any_id)
    paid = await worker.get(f"/api/payments/{quote(order_id, safe='')}")
    if options["refund_id"] and options["amount"]:
        raise CommandError(
            "--retry repeats a refund's own amount: leave --amount out.", ExitStatus.UNTOLD
        )
    path, body = f"/api/payments/{quote(order_id, safe='')}/refunds", dict[str, Any]()
    if options["refund_id"]:
        path += f"/{quote(options['refund_id'], safe='')}/retry"
        question = f"Try refund {options['refund_id']} of order {reference(order_id)} again?"
    else:
        body, shown = _refund_body(paid, options)
        question = f"Refund {shown} of order {reference(order_id)} ({_paid(paid)})?"
    confirm(question, is_sure=is_sure)
    answer = await worker.post(path, body, key or new_key())
    await _tell(out, answer, f"Refund of order {reference(order_id)}")


@worker_command(
    ORDER,
    option("--payment", "is_payment", is_flag=True, help="Its payment alone."),
    option("--reason", default="OPERATOR_REQUEST", type=click.Choice(CANCEL_REASONS), help="Why."),
    *ACT_OPTIONS,
    examples=("cancel 7K3M-9QXV", "cancel 7K3M-9QXV --reason CUSTOMER_REQUEST --yes --json"),
)
async def cancel(
    worker: WorkerClient,
    out: CommandOutput,
    any_id: str,
    is_sure: bool,
    key: str | None,
    **options: Any,
) -> None:
    """Cancel an order; money that it has taken goes back. ORDER: any id of it.

    --payment closes its payment alone, where Stripe does not know it (`stuck` says UNKNOWN_AT_STRIPE).
    """
    order_id = await order_of(worker, any_id)
    path = f"/api/orders/{quote(order_id, safe='')}"
    known = await worker.get(path)
    paid = known.get("payment")
    told = f"{known['status']}, {_paid(paid) if paid else 'not paid'}"
    what, where, body = (
        f"Order {reference(order_id)}",
        f"{path}/cancel",
        {"reason": options["reason"]},
    )
    if options["is_payment"]:
        what, where = f"Payment of order {reference(order_id)}", "/api/payments/cancel"
        body["orderId"] = order_id
    confirm(f"Cancel: {what} ({told})?", is_sure=is_sure)
    await _tell(out, await worker.post(where, body, key or new_key()), what)


def _refund_body(paid: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What is sent, and how it is said. Raises CommandError for what is no amount."""
    body: dict[str, Any] = {"reason": options["reason"]}
    if options["amount"] is None:
        return body, f"all that is left, {money(paid['refundable'])},"
    currency = paid["amount"]["currency"]
    try:
        body["amount"] = minor_units(options["amount"], currency)
    except ValueError as error:
        raise CommandError(f"--amount: {error}", ExitStatus.UNTOLD) from None
    return body, f"{options['amount']} {currency}"


def _paid(paid: Mapping[str, Any]) -> str:
    return f"paid {money(paid['captured'])}, refunded {money(paid['refunded'])}"


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask at a terminal. Raises CommandError where the answer is no, and where nobody can be asked."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Nothing was done: say --yes.", ExitStatus.UNTOLD)
    if not click.confirm(plain(question), err=True):
        raise CommandError("Nothing was done.")


async def _tell(out: CommandOutput, answer: Any, title: str) -> None:
    async def answered() -> Any:
        return answer

    await out.show(answered, lambda found: print_fields(title, found))
