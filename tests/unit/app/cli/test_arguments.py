"""The words of our commands come in the order in which they are declared."""

from __future__ import annotations

import click
import pytest

from app.cli import GROUP, MODULES, load


@pytest.mark.parametrize("name", MODULES)
def test_an_action_comes_before_what_it_is_done_to(name: str) -> None:
    load(name)
    words = [each.name for each in GROUP.commands[name].params if isinstance(each, click.Argument)]
    assert "action" not in words[1:]
    if name in {"dead-letters", "notifications"}:
        assert words == ["action", "name"]
