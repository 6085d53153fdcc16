"""Writes the tables of currencies into docs/money.md: `python -m tests.support.currency_table`."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from models.money import CURRENCIES, decimal_text
from tests.support.source_tree import ROOT

DOCUMENT: Final = ROOT / "docs/money.md"
MARK: Final = "<!-- python -m tests.support.currency_table -->\n"


def currency_table() -> str:
    """Which currency is which: a row for all that Stripe counts alike; then the minimums."""
    alike: defaultdict[tuple[int, int, int, int, str], list[str]] = defaultdict(list)
    for code, rules in CURRENCIES.items():
        alike[rules.decimals, 10**rules.exponent, rules.step, rules.maximum, rules.note].append(
            code
        )
    rows = [
        f"| {' '.join(codes)} | {decimals} | {unit} | {step} | {most:,} | {note} |\n"
        for (decimals, unit, step, most, note), codes in alike.items()
    ]
    minimums = ", ".join(
        f"{decimal_text(rules.minimum, code)} {code}"
        for code, rules in sorted(CURRENCIES.items())
        if rules.minimum is not None
    )
    return (
        "| currencies | decimals that people see | one unit in minor units | step | maximum | special |\n"
        f"|---|---|---|---|---|---|\n{''.join(rows)}\nMinimums that Stripe names: {minimums}.\n"
    )


def written() -> str:
    """What stands between the two marks of the document."""
    return DOCUMENT.read_text().split(MARK)[1]


def write() -> None:
    """Replace what stands there."""
    head, _, tail = DOCUMENT.read_text().split(MARK)
    DOCUMENT.write_text(f"{head}{MARK}{currency_table()}{MARK}{tail}")


if __name__ == "__main__":
    write()
