"""How our commands print: text as it is, whoever wrote it.

What customers, operators and foreign producers entered stands in these tables. rich would take "[/x]" for
markup and ":cat:" for a picture, and a terminal obeys control characters.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL_CHARACTERS: Final = {
    number: f"\\x{number:02x}"
    for number in (*range(32), *range(127, 160))
    if chr(number) not in "\n\t"
} | {number: f"\\u{number:04x}" for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Control characters, and those that turn the direction of what follows -> what is printed instead."""


def plain(value: Any) -> str:
    """A value as text that a terminal shows and does not obey."""
    return str(value).translate(_CONTROL_CHARACTERS)


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where commands print; no text is taken for markup."""
    return Console(width=width, stderr=stderr, markup=False, emoji=False, highlight=False)


def table(
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]],
    *,
    overflow: Literal["fold", "crop"] = "fold",
) -> Table:
    """A table without lines. overflow: what becomes of a cell that is too long."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow=overflow)
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def print_json(value: Any) -> None:
    """For machines; ASCII alone, so a terminal obeys none of it."""
    print(json.dumps(value, indent=2))  # noqa: T201 -- a command's output
