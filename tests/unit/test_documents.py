"""Documents: those that a repository needs are there, and what they name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support import currency_table
from tests.support.tutorial import blocks_of

ROOT: Final = Path(__file__).parents[2]
NEEDED: Final = (
    ".env.example",
    ".github/ISSUE_TEMPLATE/bug.md",
    ".github/ISSUE_TEMPLATE/change.md",
    ".github/pull_request_template.md",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/engine.md",
    "docs/extend.md",
    "docs/money.md",
    "docs/operations.md",
    "docs/pages.md",
    "docs/stripe.md",
)
DOCUMENTS: Final = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
TOP: Final = tuple(
    path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")
)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
PATH: Final = re.compile(rf"(?<![\w./*:-])((?:{'|'.join(TOP)})/[\w./*{{}},<>-]*[\w*}}>/])(?![\w(])")
"""A path below one of the repository's folders, as prose and code blocks write it."""
CREATED_BY_THE_READER: Final = {
    "docs/extend.md": {
        block.path for block in blocks_of(ROOT / "docs/extend.md") if block.language == "python"
    }
}
"""Document -> files that it tells the reader to make."""


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(document.read_text())
    }


def _alternatives(path: str) -> list[str]:
    """`a/{b,c}.py` -> `a/b.py` and `a/c.py`."""
    found = re.search(r"\{([^{}]*)\}", path)
    if found is None:
        return [path]
    return [
        each
        for part in found[1].split(",")
        for each in _alternatives(path[: found.start()] + part + path[found.end() :])
    ]


@pytest.mark.parametrize("path", NEEDED)
def test_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs/adr").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(document.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = document.parent / target if target else document
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_exist(document: Path) -> None:
    name = document.relative_to(ROOT).as_posix()
    if name == "CHANGELOG.md":
        return  # names what was there at the time
    missing = [
        path
        for found in PATH.findall(document.read_text().replace("**", ""))
        for path in _alternatives(found)
        if not {"<", "{"} & set(path) and path not in CREATED_BY_THE_READER.get(name, ())
        if not (any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists())
    ]
    assert not missing


def test_the_table_of_currencies_is_the_codes() -> None:
    assert currency_table.written() == currency_table.currency_table()
