"""The files in docs/schemas are as the code makes them, whole, and of JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app import schema_files
from models.commands import COMMANDS
from models.events import EVENTS

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"
FILES = schema_files.texts()
REMAKE = f"not as the code makes it: {schema_files.COMMAND}"


def test_there_is_a_file_of_each_type_and_no_other() -> None:
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*.json")}
    assert found == FILES.keys(), REMAKE
    types = {f"events/{kind}.json" for kind in EVENTS}
    types |= {f"commands/{kind}.json" for kind in COMMANDS}
    assert types < FILES.keys()


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_as_the_code_makes_it(path: str) -> None:
    assert (FOLDER / path).read_text(encoding="utf-8") == FILES[path], REMAKE


@pytest.mark.parametrize("path", FILES)
def test_a_schema_stands_by_itself(path: str) -> None:
    """It says what it is of, and whatever it refers to is in the same file."""
    schema = json.loads(FILES[path])
    Draft202012Validator.check_schema(schema)
    folder, _, name = path.removesuffix(".json").partition("/")
    assert schema["$id"] == f"urn:tiffin:{folder}:{name}:1"
    assert schema["title"] == name
    assert schema["description"]
    for reference in _references(schema):
        place, _, definition = reference.rpartition("/")
        assert place == "#/$defs"
        assert definition in schema["$defs"]


def test_writing_leaves_nothing_of_a_type_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "GONE.json").write_text("{}")
    (tmp_path / "README.md").write_text("by hand")
    schema_files.write(tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == {*FILES, "README.md"}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)
