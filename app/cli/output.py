"""How our commands print: text as it is, whoever wrote it.

What customers, operators and foreign producers entered stands in these tables. rich would take "[/x]" for
markup and ":cat:" for a picture, and a terminal obeys control characters.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL_CHARACTERS: Final = {
    number: f"\\x{number:02x}" for number in (*range(9), *range(11, 32), *range(127, 160))
} | {number: f"\\u{number:04x}" for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Control characters, and those that turn the direction of what follows -> what is printed instead."""


def plain(value: Any) -> str:
    """A value as text that a terminal shows and does not obey."""
    return str(value).translate(_CONTROL_CHARACTERS)


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where commands print; no text is taken for markup."""
    return Console(width=width, stderr=stderr, markup=False, emoji=False, highlight=False)


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table without lines; a cell that is too long is folded."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def print_json(value: Any) -> None:
    """For machines; ASCII alone, so a terminal obeys none of it."""
    print(json.dumps(value, indent=2))  # noqa: T201 -- a command's output


def print_page(shown: Table, width: int, answer: Mapping[str, Any], total: str) -> None:
    """A page of a list that all workers have answered, or some have not, and how to get the next one."""
    out = console(width)
    out.print(shown)
    out.print(f"{len(shown.rows)} of {total}", style="dim")
    if "next" in answer:
        out.print(f"Older ones: --before {answer['next']}", style="dim")
    if answer["incomplete"]:
        out.print(f"Incomplete: partitions {answer['incomplete']} did not answer.", style="red")
