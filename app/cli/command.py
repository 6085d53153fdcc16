"""How our commands become commands of `faust -A app`: without Faust's worker, and with settings when they run.

A command that Faust makes runs inside a worker of Faust's, which sleeps a second when all is done.
"""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import click
from faust.cli.base import cli

GROUP: Final[click.Group] = cli
"""All commands of the `faust` script."""

Decorator = Callable[[Any], Any]


def settings() -> Any:
    """The worker's settings; wrong ones end the process, named."""
    from app.settings import SettingsError, load_settings  # noqa: PLC0415 -- takes longer than --help

    try:
        return load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- before there are logs
        sys.exit(SettingsError.exit_status)


def command(*parameters: Decorator) -> Callable[[Callable[..., Awaitable[None]]], Any]:
    """Add a coroutine function, by its name and docstring, to the command line.

    parameters: `argument(...)` and `option(...)` of faust.cli. The function gets the settings, then these.
    """

    def add(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        @functools.wraps(run)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            asyncio.run(run(settings(), *args, **kwargs))  # type: ignore[arg-type]

        made: Any = wrapper
        for parameter in reversed(parameters):  # as decorators, the last one first
            made = parameter(made)
        GROUP.command(help=run.__doc__)(made)
        return run

    return add
