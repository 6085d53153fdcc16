"""`faust -A app stripe check | domain`: whether the Stripe account fits, and wallets on our domain."""

import click
from faust.cli import argument, option

from app.cli.command import command, settings
from app.cli.http import JSON_OPTION


@command(
    argument("what", type=click.Choice(["check", "domain"])),
    JSON_OPTION,
    option("--domain", default=None, help="Of the shop; by default that of TIFFIN_PUBLIC_URL."),
    examples=("stripe check", "stripe check --json", "stripe domain --domain eat.example"),
)
async def stripe(what: str, as_json: bool, domain: str | None) -> None:
    """Check the Stripe account (status 1: something is wrong, 2: untold); register a wallet domain."""
    from app.cli import stripe_account  # noqa: PLC0415 -- Stripe's SDK

    if what == "domain":
        await stripe_account.register_wallets(settings(), domain, as_json=as_json)
    else:
        await stripe_account.check_account(settings(), as_json=as_json)
