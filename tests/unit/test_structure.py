"""What CONTRIBUTING.md promises about the shape of the source tree."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

import pytest

from tests.support.source_tree import SourceTree

TREE: Final = SourceTree()
MAX_LINES: Final = 350

LONGER_FILES: Final[Mapping[str, str]] = {
    "models/commands.py": "every command type and its data, as one table",
    "models/events.py": "every event type and its data, as one table",
    "tables/processor.py": "the hot path: decide a commit batch in memory",
}
"""Files above MAX_LINES -> why each is one file."""

REPEATED_CLASSES: Final[Mapping[str, str]] = {
    "Service": "what tables/ asks of a service, and the one way in which agents/ declares it",
}
"""Class names defined more than once -> why."""


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert TREE.circles() == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    assert TREE.folder_circles() == []


def test_a_class_name_is_defined_once() -> None:
    repeated = {name: paths for name, paths in TREE.class_definitions().items() if len(paths) > 1}
    assert {name: repeated[name] for name in repeated if name not in REPEATED_CLASSES} == {}


def test_files_are_short() -> None:
    longer = {path: TREE.lines_of(path) for path in TREE.sources if TREE.lines_of(path) > MAX_LINES}
    assert {path: lines for path, lines in longer.items() if path not in LONGER_FILES} == {}
    assert set(LONGER_FILES) <= set(longer), "listed, but short enough by now"


@pytest.mark.parametrize("path", TREE.sources)
def test_every_file_says_what_it_is_for(path: str) -> None:
    assert ast.get_docstring(TREE.trees[path]), "the first line of a file says what it is for"


def test_every_folder_is_a_package() -> None:
    folders = {path.rpartition("/")[0] for path in TREE.sources}
    assert {folder for folder in folders if f"{folder}/__init__.py" not in TREE.sources} == set()


def test_nobody_asks_for_a_groups_offsets_as_an_administrator() -> None:
    """It ends the process where a group is new: `ClusterReader.committed` says how."""
    asking = {path for path, text in TREE.sources.items() if ".list_consumer_group_offsets" in text}
    assert asking == set()
