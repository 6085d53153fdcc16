"""How our commands become commands of `faust -A app`: without Faust's worker, and with settings when they run.

A command that Faust makes runs inside a worker of Faust's, which sleeps a second when all is done.
"""

import asyncio
import functools
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import click
from faust.cli.faust import cli  # with its own commands: one of ours replaces one of them

from app.cli.errors import CommandError, ExitStatus

GROUP: Final[click.Group] = cli
"""All commands of the `faust` script."""

Decorator = Callable[[Any], Any]
Run = Callable[..., Awaitable[None]]


def settings() -> Any:
    """The worker's settings. Raises CommandError, which names wrong ones."""
    from app.settings import SettingsError, load_settings  # noqa: PLC0415 -- takes longer than --help

    try:
        return load_settings()
    except SettingsError as error:
        raise CommandError(str(error), ExitStatus.UNTOLD) from None


def command(*parameters: Decorator, examples: Iterable[str] = ()) -> Callable[[Run], Run]:
    """Add a coroutine function, by its name and docstring, to the command line.

    parameters: `argument(...)` and `option(...)` of faust.cli, which the function is given. examples: command
    lines behind `faust -A app`, which end its help.
    """

    def add(run: Run) -> Run:
        @functools.wraps(run)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            _end(run, *args, **kwargs)

        made: Any = wrapper
        for parameter in reversed(parameters):  # as decorators, the last one first
            made = parameter(made)
        lines = "\n".join(f"  faust -A app {line}" for line in examples)
        epilog = f"\b\nExamples:\n{lines}" if lines else None
        GROUP.command(help=run.__doc__, short_help=_short(run.__doc__ or ""), epilog=epilog)(made)
        return run

    return add


def _short(text: str) -> str:
    """A command's line in the list of all: its help up to the first stop."""
    return re.split(r"[.;:(]", text, maxsplit=1)[0].strip()


def _end(run: Run, *args: Any, **kwargs: Any) -> None:
    """Run a command to its end; says what went wrong in a line, with the exit status for it."""
    try:
        asyncio.run(run(*args, **kwargs))  # type: ignore[arg-type]
    except CommandError as error:
        from app.cli.output import print_error  # noqa: PLC0415 -- rarely needed

        print_error(error.message)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)
    except BrokenPipeError:  # `... | head` has seen enough
        sys.stdout = None
        sys.exit(ExitStatus.OK)
