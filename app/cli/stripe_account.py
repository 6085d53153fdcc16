"""What `faust -A app stripe check | domain` does, and all that it needs: whether the Stripe account fits."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from app.cli.errors import CommandError, ExitStatus
from app.cli.output import console, plain, print_json, table
from app.settings import Settings
from app.stripe.account import AccountClient, PermissionDeniedError
from app.stripe.account_checks import AccountChecks
from app.stripe.account_settings import account_client, expected_account
from app.stripe.check import Check, CheckState
from app.stripe.errors import GatewayError
from app.stripe.wallet_domains import register_domain
from web.catalogue import FOLDER, CatalogueError, load_catalogue

COLORS: Final = {
    CheckState.OK: "green", CheckState.WARNING: "yellow", CheckState.WRONG: "red",
    CheckState.UNKNOWN: "yellow",
}  # fmt: skip


async def check_account(settings: Settings, *, as_json: bool) -> None:
    """Print whether the account fits. Raises CommandError: FAILED if something is wrong, UNTOLD if untold."""
    async with account_client(settings) as client:
        expected = expected_account(settings, _currencies(settings), now_s=time.time)
        checks = [each async for each in AccountChecks(client, expected).run()]
    _show(checks, {}, as_json=as_json)
    states = {each.state for each in checks}
    if CheckState.WRONG in states:
        raise CommandError("Something is wrong with the Stripe account.")
    if CheckState.UNKNOWN in states:
        raise CommandError("Not everything could be checked.", ExitStatus.UNTOLD)


async def register_wallets(settings: Settings, domain: str | None, *, as_json: bool) -> None:
    """Register a domain of the shop for wallets. Raises CommandError."""
    async with account_client(settings) as client:
        await _register(client, domain or _host_of(settings.public_url), as_json)


def _currencies(settings: Settings) -> frozenset[str]:
    """Of the menus."""
    try:
        return load_catalogue(settings.catalogue_dir or FOLDER).currencies
    except CatalogueError as error:
        raise CommandError(str(error), ExitStatus.UNTOLD) from None


def _host_of(url: str | None) -> str:
    host = urlsplit(url or "").hostname or ""
    if "." not in host or host.replace(".", "").isdigit():
        raise CommandError("Wallets need a domain of the Internet: TIFFIN_PUBLIC_URL or --domain.")
    return host


async def _register(client: AccountClient, domain: str, as_json: bool) -> None:
    try:
        found = await register_domain(client, domain)
    except PermissionDeniedError as error:
        raise CommandError(
            f"The key lacks {error}: grant it, or run this with another key."
        ) from None
    except GatewayError as error:
        raise CommandError(f"Stripe did not do it: {error}") from None
    told = {"domain": found.name, "id": found.id, "done": found.done}
    _show(found.wallets, told, as_json=as_json)
    if not as_json:
        console().print(plain(f"{found.name} ({found.id}): {found.done or 'was registered'}"))
    if not found.is_complete:
        raise CommandError("A wallet is not ready on this domain yet.")


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
