"""Asking before something is done that can't be taken back."""

import sys
from typing import Final

import click
from faust.cli import option

from app.cli.errors import CommandError, ExitStatus
from app.cli.output import plain

YES: Final = option(
    "--yes", "is_sure", is_flag=True, help="Don't ask; needed where there is no terminal."
)


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask at a terminal. Raises CommandError where the answer is no, and where nobody can be asked."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Nothing was done: say --yes.", ExitStatus.UNTOLD)
    if not click.confirm(plain(question), err=True):
        raise CommandError("Nothing was done.")
