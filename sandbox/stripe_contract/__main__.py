"""`python -m sandbox.stripe_contract`: what the stand-in does otherwise than Stripe's test mode.

The key comes from STRIPE_TEST_SECRET_KEY, is sent to Stripe alone, and is neither printed nor kept.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click

from models.wording import counted
from sandbox.stripe import StripeSandbox
from sandbox.stripe_contract.differences import differences
from sandbox.stripe_contract.player import NotATestKeyError, StripePlayer
from sandbox.stripe_contract.recording import Recording
from sandbox.stripe_contract.scenarios import play

KEY_VARIABLE = "STRIPE_TEST_SECRET_KEY"
STRIPE = "https://api.stripe.com"
STAND_IN_KEY = "sk_test_stand_in"


@click.command(
    help="Compare the stand-in with Stripe's test mode; the key is in STRIPE_TEST_SECRET_KEY."
)
@click.option(
    "--url", default=STRIPE, show_default=True, help="The API to compare the stand-in with."
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Keep what that API answered: statuses, codes and shapes, no ids.",
)
@click.option("--against", type=click.Path(exists=True, path_type=Path), default=None,
              help="Compare with such a file instead; needs no key.")  # fmt: skip
def main(url: str, save: Path | None, against: Path | None) -> None:
    """Status 1 when something differs; without a key nothing is compared, and that is said."""
    key = os.environ.get(KEY_VARIABLE, "")
    if against is None and not key:
        click.echo(f"Skipped: {KEY_VARIABLE} is not set. Nothing was compared with Stripe.")
        return
    try:
        theirs = _read(against) if against else asyncio.run(_recorded(url, key))
    except NotATestKeyError as error:
        raise SystemExit(f"{KEY_VARIABLE}: {error}") from None
    except (OSError, TimeoutError) as error:
        raise SystemExit(f"{url} can't be reached: {type(error).__name__}") from None
    if save:
        save.write_text(json.dumps(theirs.as_json(), indent=1) + "\n")
    found = differences(asyncio.run(_stand_in()), theirs)
    for each in found:
        click.echo(str(each))
    compared = counted(len(theirs.answers), "request", "requests")
    click.echo(f"{compared}, {counted(len(found), 'difference', 'differences')}")
    if found:
        raise SystemExit(1)


def _read(file: Path) -> Recording:
    return Recording.from_json(json.loads(file.read_text()))


async def _recorded(url: str, key: str) -> Recording:
    async with StripePlayer(url, key) as player:
        await play(player)
    return player.recording


async def _stand_in() -> Recording:
    async with StripeSandbox(settle_delay_s=None) as sandbox:
        return await _recorded(sandbox.base_url, STAND_IN_KEY)


if __name__ == "__main__":
    main()
