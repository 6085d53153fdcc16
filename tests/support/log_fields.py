"""The fields of log lines: those that docs/logs.md tells of, and those that the code gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.alias_generators import to_camel

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
LOGGERS = {"log", "LOG", "access_log", "log_it", "tell"}
NOT_FIELDS = {"extra", "exc_info"}


def documented() -> set[str]:
    """First columns of the page's tables."""
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def given() -> dict[str, str]:
    """Field -> a place in the code that gives it."""
    found: dict[str, str] = {}
    for folder in ("app", "web", "tables"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _logs(node):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found |= {to_camel(name): place for name in _fields(node)}
    return found


def _logs(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return name in LOGGERS and attribute in LEVELS
        case ast.Name(id=name):
            return name in LOGGERS
    return False


def _fields(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg and keyword.arg not in NOT_FIELDS:
            yield keyword.arg
        elif isinstance(keyword.value, ast.Dict):
            yield from (key.value for key in keyword.value.keys if isinstance(key, ast.Constant))
