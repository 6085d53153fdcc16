"""What `faust -A app` is given: a whole worker, its declared services, or no app where a command needs none.

Each imports only what it uses: a command that asks a worker over HTTP knows nothing of Stripe, of tables or
of pages (`tests/integration/test_start_imports.py` holds it).
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import click

from app import cli

WORKER: Final = "worker"


class NoApp:
    """Stands where Faust looks for its app, for commands that need none."""

    def __init__(self) -> None:
        self.conf = SimpleNamespace(_origin="app", autodiscover=False)

    def finalize(self) -> None:
        """Called by Faust for every command."""

    def worker_init(self) -> None:
        """Called by Faust for every command."""

    def worker_init_post_autodiscover(self) -> None:
        """Called by Faust for every command."""


def app_for(argv: Sequence[str]) -> Any:
    """The app that the command line of this process needs; a worker's where it is not Faust's.

    Wrong settings or a wrong catalogue end the process, named.
    """
    if not _is_faust(argv[0]):
        return _worker()
    command = _command(argv)
    if command == WORKER:
        return _worker()
    if cli.load(command):
        return NoApp()
    return _declared()


def _is_faust(program: str) -> bool:
    """Whether it is the `faust` script or `python -m faust`."""
    path = Path(program)
    return path.stem == "faust" or (path.stem == "__main__" and path.parent.name == "faust")


def _command(argv: Sequence[str]) -> str | None:
    """The command's name, as Faust's own parser finds it; None where there is none, as with --help."""
    context = click.Context(cli.GROUP, resilient_parsing=True)
    _, rest, _ = cli.GROUP.make_parser(context).parse_args(list(argv[1:]))
    return rest[0] if rest else None


@cache
def _worker() -> Any:
    from app.factory import create_app  # noqa: PLC0415 -- a worker alone needs all of it
    from app.partitions.state import current_generation  # noqa: PLC0415

    return _made(lambda settings: create_app(settings, current_generation(settings)))


@cache
def _declared() -> Any:
    from app.declaration import declare  # noqa: PLC0415 -- other commands know nothing of services

    return _made(lambda settings: declare(settings).app)


def _made(make: Callable[[Any], Any]) -> Any:
    from app.settings import SettingsError, load_settings  # noqa: PLC0415
    from web.catalogue import CatalogueError  # noqa: PLC0415

    try:
        return make(load_settings())
    except (SettingsError, CatalogueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 -- before there are logs
        sys.exit(SettingsError.exit_status)
