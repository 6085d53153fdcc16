"""How our commands print: JSON or tables, once or again and again, and text as it is, whoever wrote it.

What customers, operators and foreign producers entered stands in these tables. rich would take "[/x]" for
markup and ":cat:" for a picture, and a terminal obeys control characters.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.cli.errors import CommandError, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from rich.console import Console
    from rich.table import Table

WATCH_EVERY_S: Final = 2.0
WIDE: Final = 180
"""Characters of a table that is not a terminal's, so that no cell is cut in a file."""
_CONTROL_CHARACTERS: Final = {
    number: f"\\x{number:02x}" for number in (*range(9), *range(11, 32), *range(127, 160))
} | {number: f"\\u{number:04x}" for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Control characters, and those that turn the direction of what follows -> what is printed instead."""


def plain(value: Any) -> str:
    """A value as text that a terminal shows and does not obey."""
    return str(value).translate(_CONTROL_CHARACTERS)


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where commands print; no text is taken for markup."""
    from rich.console import Console  # noqa: PLC0415 -- JSON needs none

    return Console(width=width, stderr=stderr, markup=False, emoji=False, highlight=False)


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table without lines; a cell that is too long is folded."""
    from rich.table import Table  # noqa: PLC0415 -- JSON needs none
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain("" if cell is None else cell)) for cell in row))
    return made


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """For machines; ASCII alone, so a terminal obeys none of it. indent: None for one line."""
    print(json.dumps(value, indent=indent), flush=True)  # noqa: T201 -- a command's output


def print_error(message: str) -> None:
    """Say what went wrong, apart from what was asked for."""
    console(stderr=True).print(plain(message), style="red", soft_wrap=True)


def print_fields(title: str, value: Any) -> None:
    """One thing with all of its fields, a line each."""
    from rich.text import Text  # noqa: PLC0415 -- JSON needs none

    shown = table(("", ""), _lines(value))
    shown.title, shown.title_justify, shown.show_header = Text(plain(title)), "left", False
    shown.columns[0].style = "bold"
    console().print(shown)


def print_list(columns: Iterable[str], rows: Iterable[Iterable[Any]], *ends: str) -> None:
    """A list; ends: lines below it, empty ones left out."""
    out = console(WIDE if not sys.stdout.isatty() else None)
    shown = table(columns, rows)
    if shown.rows:
        out.print(shown)
    for end in filter(None, ends):
        out.print(plain(end), style="dim")


def print_incomplete(answer: Mapping[str, Any]) -> None:
    """Name the partitions that are missing in what all workers were asked for."""
    if answer.get("incomplete"):
        told = ", ".join(map(str, answer["incomplete"]))
        console().print(f"Incomplete: partitions {told} did not answer.", style="red")


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """How one command was asked to print. is_watched: again and again, until Ctrl-C."""

    as_json: bool = False
    is_watched: bool = False

    async def show(self, ask: Callable[[], Awaitable[Any]], render: Callable[[Any], None]) -> Any:
        """Print what `ask` gives, as JSON or by `render`; gives the last answer.

        While it is watched, JSON is a line for each answer, and a worker that does not answer is told, not the
        end. Raises CommandError.
        """
        while True:
            try:
                answer = await ask()
            except CommandError as error:
                if not self.is_watched or error.status is not ExitStatus.UNAVAILABLE:
                    raise
                print_error(error.message)
            else:
                self._print(answer, render)
                if not self.is_watched:
                    return answer
            await asyncio.sleep(WATCH_EVERY_S)

    def _print(self, answer: Any, render: Callable[[Any], None]) -> None:
        if self.as_json:
            print_json(answer, indent=None if self.is_watched else 2)
            return
        if self.is_watched:
            console().clear()
        render(answer)


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Flatten JSON into dotted names and texts; empty things are left out."""
    if isinstance(value, dict):
        inner = [(f"{name}.{key}" if name else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{name}[{at}]", item) for at, item in enumerate(value)]
    else:
        if value is not None:
            yield name, str(value)
        return
    for key, item in inner:
        yield from _lines(item, key)
