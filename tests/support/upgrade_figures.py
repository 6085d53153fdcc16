"""What rolls of workers under load came to, for docs/upgrades.md, which `UPGRADE_FIGURES=1` has them write."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from tests.support.tutorial import ROOT

PAGE: Final = ROOT / "docs/upgrades.md"
MARK: Final = "<!-- UPGRADE_FIGURES=1 pytest tests/platforms/test_upgrades.py -->\n"
HEAD: Final = (
    "| builds | workers replaced | SIGKILLs | orders | records in Kafka | longest until all were ready, s |\n"
    "|---|---|---|---|---|---|\n"
)


class Rolled(NamedTuple):
    """One roll.

    orders: that customers placed meanwhile. longest_s: from a worker's end until all were ready.
    """

    steps: int
    kills: int
    orders: int
    records: int
    longest_s: float


def note(builds: str, rolled: Rolled) -> None:
    """Write a roll's figures into the page, in the place of those of the same builds and as many steps."""
    if os.environ.get("UPGRADE_FIGURES") != "1":
        return
    before, table, after = PAGE.read_text().split(MARK)
    begin = f"| {builds} | {rolled.steps} |"
    rows = [row for row in table.removeprefix(HEAD).splitlines() if not row.startswith(begin)]
    *counts, longest_s = rolled[1:]
    rows.append(f"{begin} {' | '.join(f'{count:,}' for count in counts)} | {longest_s:.0f} |")
    PAGE.write_text(MARK.join((before, HEAD + "\n".join(sorted(rows)) + "\n", after)))
