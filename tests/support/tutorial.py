"""Follows a page of docs/ to the letter: its code blocks, applied to a copy of the repository.

A block with a comment `<!-- not run: why -->` before it needs what a test has not.
A block of Python belongs to the new file that the paragraph before it begins with, a block of diff to
the file that it changes; a block of sh is for the reader's terminal.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = (
    "agents", "app", "bench", "docs", "models", "sandbox", "tables", "tests", "web",
    "Makefile", "pyproject.toml", "uv.lock",
)  # fmt: skip
LINKED: Final = (".venv", ".sandbox/jars")
"""What is made by installing: used, not copied."""
CACHES: Final = (".mypy_cache", ".import_linter_cache")
"""Of checks that have run on the checkout: copied where they are, for a check from nothing takes a minute."""
BLOCK: Final = re.compile(
    r"(^ *<!-- not run: .+? -->\n)?^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)
FILE: Final = re.compile(r"^`([\w./]+)`", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One code block. path: of the file that it makes or changes; "" for the terminal's.

    is_run: whether tests run it.
    """

    language: str
    text: str
    path: str = ""
    is_run: bool = True

    @property
    def added_lines(self) -> int:
        lines = self.text.splitlines()
        return (
            sum(line.startswith("+") for line in lines) if self.language == "diff" else len(lines)
        )


def blocks_of(page: Path) -> list[Block]:
    """Give the page's blocks in order."""
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        language = match[3]
        files = FILE.findall(text[: match.start()]) if language in {"python", "diff"} else []
        found.append(
            Block(
                language, textwrap.dedent(match[4]), files[-1] if files else "",
                is_run=match[1] is None,
            )
        )  # fmt: skip
    return found


def copy_tree(folder: Path) -> None:
    """Copy what a checkout has to a folder, with the bytecode and the checks' caches that it has."""
    for name in (*COPIED, *CACHES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        elif (ROOT / name).is_file():
            shutil.copy2(ROOT / name, folder / name)
    for name in LINKED:
        (ROOT / name).mkdir(parents=True, exist_ok=True)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)


def apply(block: Block, folder: Path) -> None:
    """Write the new file, or change the file where the diff's kept and removed lines stand."""
    path = folder / block.path
    if block.language == "diff":
        lines = block.text.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text()
        assert text.count(before) == 1, (
            f"{block.path} has this {text.count(before)} times:\n{before}"
        )
        path.write_text(text.replace(before, after))
    else:
        assert not path.exists(), f"{block.path} is there already"
        path.write_text(block.text)
