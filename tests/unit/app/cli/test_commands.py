"""Every command: its help has examples that are accepted, its values are the platform's, docs/cli.md has it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from app.cli import GROUP, MODULES, load, platform
from app.cli.completion import script
from app.cli.errors import MEANINGS, ExitStatus
from app.cli.reference import reference
from models.cancel_reasons import CancelReason, RefundReason
from models.graphs import RefundStatus
from models.index_entries import BLOCKED
from models.stuck import Actor

ROOT = Path(__file__).parents[4]
SHOWS_WITHOUT_JSON = {"completion"}
"""Its output is a shell's."""
CHANGES = {"refund", "cancel"}


def test_the_page_of_all_commands_is_up_to_date() -> None:
    """Else: python -m app.cli.reference >docs/cli.md."""
    assert (ROOT / "docs/cli.md").read_text() == reference()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_command_are_accepted(name: str) -> None:
    load(name)
    command = GROUP.commands[name]
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    examples = [
        line.removeprefix("faust -A app ") for line in lines if line.startswith("faust -A app ")
    ]
    assert examples, name
    for example in examples:
        first, *words = shlex.split(example)
        assert first == name
        command.make_context(name, words)  # raises for what it does not take


@pytest.mark.parametrize("name", sorted(set(MODULES) - SHOWS_WITHOUT_JSON))
def test_every_command_has_json(name: str) -> None:
    load(name)
    assert "--json" in options_of(name)


def test_what_changes_something_asks_and_has_a_key() -> None:
    for name in CHANGES:
        load(name)
        assert {"--yes", "--key"} <= options_of(name)


def options_of(name: str) -> set[str]:
    return {word for parameter in GROUP.commands[name].params for word in parameter.opts}


def test_values_are_those_of_the_platform() -> None:
    load(None)
    assert choices_of("refund", "reason") == list(get_args(RefundReason))
    assert choices_of("cancel", "reason") == list(get_args(CancelReason))
    assert tuple(Actor) == platform.ACTORS
    assert choices_of("refunds", "state") == [*RefundStatus, BLOCKED]


def choices_of(command: str, parameter: str) -> list[str]:
    (found,) = [each for each in GROUP.commands[command].params if each.name == parameter]
    kind: Any = found.type
    assert isinstance(kind, click.Choice)
    return list(map(str, kind.choices))


def test_every_exit_status_is_explained() -> None:
    assert set(MEANINGS) == set(ExitStatus)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command_and_its_values(shell: str) -> None:
    load(None)
    text = script(GROUP, shell)
    for name in MODULES:
        assert f"{name})" in text
    for word in ("--watch", "rebuild", "ITEM_MISSING", "OPERATOR"):
        assert word in text, word
