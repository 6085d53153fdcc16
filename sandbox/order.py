"""`python -m sandbox.order`: order and pay at the running demo, and print the order's id."""

from __future__ import annotations

import asyncio

import click

from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.endpoints import Endpoints
from sandbox.simulate import read_endpoints


@click.command(help="Order and pay at the running demo; prints the order's id.")
@click.option("--card", default=VISA, show_default=True, help="One of Stripe's test cards.")
def main(card: str) -> None:
    """The id goes to stdout, the payment's result to stderr."""
    order, result = asyncio.run(_order(read_endpoints(), card))
    click.echo(result, err=True)
    click.echo(order)


async def _order(endpoints: Endpoints, card: str) -> tuple[str, str]:
    async with Customer(endpoints.workers[0], endpoints.stripe) as customer:
        await customer.open_payment()
        answer = await customer.pay(card)
    return customer.order_id, str(answer["status"])


if __name__ == "__main__":
    main()
