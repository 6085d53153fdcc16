"""What is measured as a table: shown in the terminal, and put into docs/performance.md between markers."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from collections.abc import Sequence

console = Console(highlight=False, width=130)
DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


class MissingMarkersError(RuntimeError):
    """The document has no place for a table."""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures as text. The first column names what they are of."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        shown = RichTable(box=None, pad_edge=False)
        for number, column in enumerate(self.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)

    def markdown(self) -> str:
        """As the document has it."""
        rule = ["---", *("---:" for _ in self.columns[1:])]
        rows = [self.columns, rule, *self.rows]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def mark(name: str) -> str:
    """What a section that a command writes begins and ends with."""
    return f"<!-- {name} -->\n"


def section(document: Path, name: str) -> str:
    """What stands between the two markers. Raises MissingMarkersError."""
    parts = document.read_text().split(mark(name))
    if len(parts) != 3:
        raise MissingMarkersError(f"{document.name} has not two lines {mark(name).strip()}")
    return parts[1]


def write_section(document: Path, name: str, text: str) -> None:
    """Put a text between the two markers. Raises MissingMarkersError."""
    section(document, name)
    head, _, tail = document.read_text().split(mark(name))
    document.write_text(mark(name).join([head, text, tail]))


def tell(about: str, table: Table, name: str = "") -> None:
    """Print what was measured and how; with a section's name, write it into the document too."""
    console.print(f"\n{about}\n")
    table.show()
    if name:
        write_section(DOCUMENT, name, f"\n{about}\n\n{table.markdown()}\n")


def machine() -> str:
    """The machine in a sentence."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {memory:.0f} GiB, Linux, Python {platform.python_version()}"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Least and most."""
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"
