"""Documents: those that a repository needs are there, and what they name exists."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from faust.cli.faust import cli as faust_cli

from app import cli
from tests.support import currency_table, docs_site, reference_pages
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
    ROOT / "examples/README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
)
MADE: Final = {"build", "dist", "site"}
"""Folders that commands make."""
TOP: Final = tuple(
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and not path.name.startswith(".") and path.name not in MADE
)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
PATH: Final = re.compile(rf"(?<![\w./*:-])((?:{'|'.join(TOP)})/[\w./*{{}},<>-]*[\w*}}>/])(?![\w(])")
"""A path below one of the repository's folders, as prose and code blocks write it."""
MAKE: Final = re.compile(r"^\s*make ([a-z-]+)", re.MULTILINE)
COMMANDS: Final = {*cli.MODULES, *faust_cli.commands}
FAUST: Final = re.compile(r"faust -A app ([a-z-]+)")
MODULE: Final = re.compile(r"python -m ([\w.]+)")
CREATED_BY_THE_READER: Final = {
    page: {block.path for block in blocks_of(ROOT / page) if block.language == "python"}
    for page in ("docs/extend.md", "docs/how-to/add-an-event-or-a-topic.md")
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


def test_no_two_decisions_have_one_number() -> None:
    """Gaps close as branches that took a number are merged."""
    numbers = [int(path.name[:4]) for path in (ROOT / "docs/adr").glob("*.md")]
    assert len(set(numbers)) == len(numbers) >= 15


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(document: Path) -> None:
    """Those of code blocks; tests/e2e/test_extend.py runs the ones of the tutorial and of the how-tos."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = []
    for block in blocks_of(document):
        if block.language != "sh":
            continue
        text = block.text.replace("\\\n", " ")
        unknown += [f"make {name}" for name in MAKE.findall(text) if name not in targets]
        unknown += [name for name in FAUST.findall(text) if name not in COMMANDS]
        unknown += [name for name in MODULE.findall(text) if importlib.util.find_spec(name) is None]
    assert not unknown


def test_the_reference_is_the_code() -> None:
    made = reference_pages.pages()
    assert {path.name for path in reference_pages.FOLDER.iterdir()} == set(made)
    outdated = [
        name for name, text in made.items() if (reference_pages.FOLDER / name).read_text() != text
    ]
    assert not outdated, f"run {reference_pages.COMMAND}"


def test_the_site_is_built_without_a_warning_and_without_the_network(tmp_path: Path) -> None:
    """Strict: a link or an anchor that leads nowhere fails."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    front = (tmp_path / "index.html").read_text()
    for name in ("tutorial", "reference/settings", "guarantees", "adr/0001"):
        assert name in front
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*https?://[^>]*>", page.read_text())
        assert not loaded, f"{page.name} loads from elsewhere"
    assert "guaranteed" in (tmp_path / "search" / "search_index.json").read_text()


def test_every_page_is_in_the_navigation(tmp_path: Path) -> None:
    for name in ("index.md", "tutorial.md", "runbooks/lag.md", "how-to/a.md", "new.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    first, *sections = docs_site.navigation(tmp_path)
    assert first == "index.md"
    assert sections == [
        {"Tutorial": ["tutorial.md"]},
        {"How to": ["how-to/a.md", "runbooks/lag.md"]},
        {"Reference": []},
        {"Explanation": []},
        {"More": ["new.md"]},
    ]


def test_links_out_of_the_documents_are_text_on_the_site() -> None:
    text = "[code](../app/logs.py), [page](money.md)"
    assert docs_site.without_links_to_source(text, "a.md") == "code, [page](money.md)"
    deeper = "[code](../../app/logs.py), [page](../money.md)"
    assert docs_site.without_links_to_source(deeper, "how-to/a.md") == "code, [page](../money.md)"


def test_the_table_of_currencies_is_the_codes() -> None:
    assert currency_table.written() == currency_table.currency_table()
