"""Counts in words: one order, two orders, in every text that people read."""

from __future__ import annotations

import re
from pathlib import Path

from models.wording import counted

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for folder in ("agents", "app", "models", "sandbox", "tables", "web")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".html", ".js"} and "vendor" not in path.parts
]
COUNT = re.compile(
    r"(?P<count>\{\{[^{}]*\}\}|(?<![{$])\{(?![A-Z_]+\})[^{}\"]*\}|\$\{[^{}]*\})"  # not a constant
    r"(?:</span>)?(?:<span[^>]*>)? ?(?P<word>(?<=[ >])[a-z]{3,}s)\b"
)
NUMBERED = re.compile(r'ngettext\(\s*("[^"]*",\s*){2}')
"""Both forms stand in the catalogues of translations."""
NO_PLURALS = {
    "asks", "does", "was", "has", "begins", "belongs", "bytes", "exceeds", "ends", "takes", "goes", "runs",
    "says", "sends", "less", "times",
}  # fmt: skip
"""Words with an s that follow names; sizes; and how often something died, told from twice on."""
KNOWN = {
    "{ms} ms", "{digits} decimals", "{MAX_BUCKETS[by]} buckets", "{width} pixels",
    "{len(jars)} jars", "{len(record.headers)} headers", "{count} headers", "{count} records",
    "{path} exists", "{left} rows", "{verb} this", "{most_chars} characters", "{len(key)} bytes",
    "{len(list(folder.glob('*.png')))} pictures", "{len(found)} platforms",
    "{len(ENDPOINT_EVENT_TYPES)} types",
}  # fmt: skip
"""Numbers that are never one, and what is no number."""


def test_counted() -> None:
    assert [counted(n, "order", "orders") for n in (0, 1, 2)] == ["0 orders", "1 order", "2 orders"]
    assert counted(1, "rule is", "rules are") == "1 rule is"
    assert counted(12345, "order", "orders") == "12345 orders"


def test_no_text_puts_a_plural_behind_a_number() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in SOURCES
        for number, line in enumerate(NUMBERED.sub("", path.read_text()).splitlines(), 1)
        for match in COUNT.finditer(line)
        if match["word"] not in NO_PLURALS and match[0] not in KNOWN
    ]
    assert not found, found
