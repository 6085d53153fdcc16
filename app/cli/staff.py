"""`faust -A app staff list | revoke`: tokens of staff that no worker takes any more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click
from faust.cli import argument, option

from app.cli.confirm import confirm
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import worker_command
from app.cli.output import print_list

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

PATH: Final = "/api/ops/staff"
WHAT: Final = ("list", "revoke")


@worker_command(
    argument("what", type=click.Choice(WHAT), default="list"),
    argument("subject", required=False),
    option("--token-from-stdin", is_flag=True, help="revoke: only the token that standard input holds."),
    option("--reason", default="", help="revoke: why; kept in the audit."),
    option("--yes", "is_sure", is_flag=True, help="revoke: don't ask; needed without a terminal."),
    examples=(
        "staff list", "staff revoke olga --reason 'laptop stolen' --yes",
        "staff revoke --token-from-stdin --reason 'token in a log' --yes <token.txt",
    ),
)  # fmt: skip
async def staff(
    worker: WorkerClient,
    out: CommandOutput,
    what: str,
    subject: str | None,
    is_sure: bool,
    **options: Any,
) -> None:
    """Show which tokens of staff are revoked; or revoke them.

    SUBJECT is `sub` of the person's tokens: what stands behind the colon in the audit. All tokens and sessions
    that the person has are refused by every worker within seconds, and stay so when workers are restarted. It
    does not keep the person from signing in again: disable the account at the identity provider first.
    """
    if what == "list":
        await out.show(lambda: worker.get(f"{PATH}/revocations"), _show)
        return
    if (subject is None) != options["token_from_stdin"]:
        raise CommandError("Say whose: SUBJECT; or --token-from-stdin", ExitStatus.UNTOLD)
    if not options["reason"]:
        raise CommandError("Say why: --reason '...'", ExitStatus.UNTOLD)
    whose: dict[str, str] = {"subject": subject} if subject else {"token": sys.stdin.read().strip()}
    named = f"All tokens of {subject}" if subject else "This token"
    confirm(f"{named} will be refused at once. Revoke?", is_sure=is_sure)
    body = {**whose, "reason": options["reason"]}

    async def revoke() -> Any:
        return {"revocations": [await worker.post(f"{PATH}/revoke", body)]}

    await out.show(revoke, _show)


def _show(found: dict[str, Any]) -> None:
    rows = [
        (
            each["subject"], "one token" if each["single"] else f"issued until {each['issuedBefore']}",
            each["until"], each["by"], each["reason"],
        )
        for each in found["revocations"]
    ]  # fmt: skip
    print_list(("person", "revoked", "kept until", "by", "reason"), rows)
