"""`faust -A app stripe check | domain`: whether the Stripe account fits, and wallets on our domain."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

import click
from faust.cli import argument, option

from app.cli.command import command
from app.cli.http import EXIT_FAILED, exit_with
from app.cli.output import console, plain, print_json, table
from app.settings import Settings
from app.stripe.account import AccountClient, PermissionDeniedError
from app.stripe.account_checks import AccountChecks
from app.stripe.account_settings import account_client, expected_account
from app.stripe.check import Check, CheckState
from app.stripe.errors import GatewayError
from app.stripe.wallet_domains import register_domain
from web.catalogue import FOLDER, CatalogueError, load_catalogue

EXIT_UNTOLD: Final = 2
"""Exit status when nothing is wrong, and not everything could be checked."""
COLORS: Final = {
    CheckState.OK: "green", CheckState.WARNING: "yellow", CheckState.WRONG: "red",
    CheckState.UNKNOWN: "yellow",
}  # fmt: skip


@command(
    argument("what", type=click.Choice(["check", "domain"])),
    option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    option("--domain", default=None, help="Of the shop; by default that of TIFFIN_PUBLIC_URL."),
)
async def stripe(settings: Settings, what: str, as_json: bool, domain: str | None) -> None:
    """Check the Stripe account (status 1: something is wrong, 2: untold); register a wallet domain."""
    async with account_client(settings) as client:
        if what == "domain":
            sys.exit(await _register(client, domain or _host_of(settings.public_url), as_json))
        expected = expected_account(settings, _currencies(settings), now_s=time.time)
        checks = [each async for each in AccountChecks(client, expected).run()]
    _show(checks, {}, as_json=as_json)
    states = {each.state for each in checks}
    if CheckState.WRONG in states:
        sys.exit(EXIT_FAILED)
    if CheckState.UNKNOWN in states:
        sys.exit(EXIT_UNTOLD)


def _currencies(settings: Settings) -> frozenset[str]:
    """Of the menus."""
    try:
        return load_catalogue(settings.catalogue_dir or FOLDER).currencies
    except CatalogueError as error:
        raise exit_with(str(error), EXIT_UNTOLD) from None


def _host_of(url: str | None) -> str:
    host = urlsplit(url or "").hostname or ""
    if "." not in host or host.replace(".", "").isdigit():
        raise exit_with("Wallets need a domain of the Internet: TIFFIN_PUBLIC_URL or --domain.")
    return host


async def _register(client: AccountClient, domain: str, as_json: bool) -> int:
    """The exit status."""
    try:
        found = await register_domain(client, domain)
    except PermissionDeniedError as error:
        raise exit_with(f"The key lacks {error}: grant it, or run this with another key.") from None
    except GatewayError as error:
        raise exit_with(f"Stripe did not do it: {error}") from None
    told = {"domain": found.name, "id": found.id, "done": found.done}
    _show(found.wallets, told, as_json=as_json)
    if not as_json:
        console().print(plain(f"{found.name} ({found.id}): {found.done or 'was registered'}"))
    return 0 if found.is_complete else EXIT_FAILED


def _show(checks: Sequence[Check], told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({**told, "checks": [asdict(each) for each in checks]})
        return
    out = console(160)
    rows = [(each.name, each.state, each.detail, each.todo) for each in checks]
    out.print(table(("check", "state", "what is so", "what to do"), rows))
    counts = {state: sum(each.state is state for each in checks) for state in CheckState}
    for state, count in counts.items():
        if count:
            out.print(f"{count} {state}", style=COLORS[state])
