"""MkDocs' hook for the documentation's site: its navigation, and links out of docs/ to the source.

The files in docs/ are read on GitHub too, where a link to a source file leads somewhere. On the site the file's
name stays and the link goes; that the file exists is held by `tests/unit/test_documents.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

SECTIONS: Final = {
    "Tutorial": ("tutorial.md",),
    "How to": ("stripe.md", "how-to/*.md", "extend.md", "operations.md", "tracing.md", "runbooks/*.md"),
    "Reference": (
        "cli.md", "reference/*.md", "metrics.md", "logs.md", "tracing.md", "stripe-events.md",
        "stripe-facts.md", "money.md", "schemas/README.md",
    ),
    "Explanation": (
        "guarantees.md", "architecture.md", "engine.md", "pages.md", "scaling.md", "performance.md",
        "simulation.md", "upgrades.md", "adr/*.md",
    ),
}  # fmt: skip
"""Section -> its pages in order, as patterns; pages that are not there are left out."""
FIRST: Final = "index.md"
REST: Final = "More"
OUTSIDE: Final = re.compile(r"\[([^\[\]]+)\]\((?:\.\./)+[^)\s]+\)")


def navigation(folder: Path) -> list[Any]:
    """MkDocs' `nav` of the pages that a folder holds; those of no section are in the last one."""
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")} - {FIRST}
    nav: list[Any] = [FIRST]
    for title, patterns in SECTIONS.items():
        found: list[str] = []
        for pattern in patterns:
            found += sorted(
                page
                for page in pages
                if Path(page).match(pattern) and page.count("/") == pattern.count("/")
            )
        pages -= set(found)
        nav.append({title: found})
    return [*nav, {REST: sorted(pages)}] if pages else nav


def without_links_to_source(markdown: str, page: str) -> str:
    """The page with links that leave docs/ as plain text. page: its path below docs/."""

    def text(link: re.Match[str]) -> str:
        target = link[0].rpartition("](")[2]
        is_outside = target.count("../") > page.count("/")
        return link[1] if is_outside else link[0]

    return OUTSIDE.sub(text, markdown)


def on_config(config: Any) -> Any:
    """Called by MkDocs when it has read its settings."""
    config.nav = navigation(Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return without_links_to_source(markdown, page.file.src_uri)
