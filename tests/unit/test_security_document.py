"""docs/security.md has a row for each requirement of OWASP ASVS 5.0.0, levels 1 and 2, and none is blank."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([12]) \| ([^|]*) \| ([^|]*) \| (.*) \|$", re.MULTILINE)
STATES = ("met", "not applicable", "**not met**")
PATH = re.compile(r"`((?:app|web|models|tables|agents|tests|docs|deploy|scripts)/[\w./-]+)`")


def requirements() -> list[tuple[str, str]]:
    lines = (ROOT / "tests/support/asvs_5_0_0.txt").read_text().splitlines()
    return [(number, level) for number, level in (line.split() for line in lines[1:])]


def test_each_requirement_has_one_row_in_order() -> None:
    assert [(number, level) for number, level, *_ in ROW.findall(TEXT)] == requirements()
    assert len(requirements()) == 253


def test_no_row_is_blank() -> None:
    for number, _, section, state, reason in ROW.findall(TEXT):
        assert section.strip(), number
        assert state in STATES, number
        assert len(reason.strip()) > 5, number


def test_the_sum_is_right() -> None:
    found = Counter(state for _, _, _, state, _ in ROW.findall(TEXT))
    met, none, not_met = (found[state] for state in STATES)
    told = f"Of {found.total()} rows {met} are met, {none} not applicable, {not_met} not met."
    assert told in TEXT


def test_what_is_named_is_there() -> None:
    named = set(PATH.findall(TEXT))
    assert len(named) > 60
    assert {path for path in named if not (ROOT / path).exists()} == set()
