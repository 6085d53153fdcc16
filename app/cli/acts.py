"""`faust -A app refund | cancel`: what moves money or ends an order, asked once before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import quote

import click
from faust.cli import option

from app.cli.confirm import YES, confirm
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import new_key, worker_command
from app.cli.orders import ORDER, money, order_of
from app.cli.output import print_fields
from models.cancel_reasons import CancelReason, RefundReason
from models.ids import reference
from models.money import minor_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.cli.command import Decorator, Run
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

KEY: Final = option(
    "--key",
    default=None,
    help="Idempotency-Key; the one of a try that was cut off repeats it safely.",
)


@dataclass(frozen=True)
class OrderAct:
    """An act on one order that is about to be done. key: the Idempotency-Key that was given, if any."""

    worker: WorkerClient
    out: CommandOutput
    order_id: str
    is_sure: bool
    key: str | None

    async def perform(self, question: str, path: str, body: dict[str, Any], title: str) -> None:
        """Ask, send it, and show the answer. Raises CommandError where it is not wanted."""
        confirm(question, is_sure=self.is_sure)
        answer = await self.worker.post(path, body, self.key or new_key())

        async def answered() -> Any:
            return answer

        await self.out.show(answered, lambda found: print_fields(title, found))


def _act_command(*options: Any, examples: tuple[str, ...]) -> Decorator:
    """Makes a command of a function of an act and its own options."""

    def decorate(run: Run) -> Any:
        async def invoke(
            worker: WorkerClient, out: CommandOutput, any_id: str, is_sure: bool, key: str | None,
            **given: Any,
        ) -> None:  # fmt: skip
            order_id = await order_of(worker, any_id)
            await run(OrderAct(worker, out, order_id, is_sure, key), **given)

        invoke.__name__, invoke.__doc__ = run.__name__, run.__doc__
        return worker_command(ORDER, *options, YES, KEY, examples=examples)(invoke)

    return decorate


@_act_command(
    option("--amount", default=None, help="10.50, in the payment's currency; by default all that is left."),
    option("--reason", default="OPERATOR_REQUEST", type=click.Choice(get_args(RefundReason)), help="Why."),
    option("--retry", "refund_id", default=None, help="Repeat this refund, which failed."),
    examples=(
        "refund 7K3M-9QXV", "refund 7K3M-9QXV --amount 10.50 --reason ITEM_MISSING --yes",
        "refund 7K3M-9QXV --retry refund_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ),
)  # fmt: skip
async def refund(act: OrderAct, **options: Any) -> None:
    """Give a customer's money back, all or a part; Stripe's word on it comes later. ORDER: any id of it."""
    order_id, worker = act.order_id, act.worker
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
    await act.perform(question, path, body, f"Refund of order {reference(order_id)}")


@_act_command(
    option("--payment", "is_payment", is_flag=True, help="Its payment alone."),
    option(
        "--reason",
        default="OPERATOR_REQUEST",
        type=click.Choice(get_args(CancelReason)),
        help="Why.",
    ),
    examples=("cancel 7K3M-9QXV", "cancel 7K3M-9QXV --reason CUSTOMER_REQUEST --yes --json"),
)
async def cancel(act: OrderAct, **options: Any) -> None:
    """Cancel an order; money that it has taken goes back. ORDER: any id of it.

    --payment closes its payment alone, where Stripe does not know it (`stuck` says UNKNOWN_AT_STRIPE).
    """
    order_id = act.order_id
    path = f"/api/orders/{quote(order_id, safe='')}"
    known = await act.worker.get(path)
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
    await act.perform(f"Cancel: {what} ({told})?", where, body, what)


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
