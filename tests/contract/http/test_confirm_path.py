"""The files on the way of a confirm, as docs/architecture.md lists them, are those whose code runs."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from tests.support.http_api import Api
from tests.support.source_tree import PRODUCT, ROOT

MAX_STEPS: Final = 15
ROW: Final = re.compile(r"^\| (\d+) \| \[[^]]+\]\(\.\./([\w./]+)\)", re.MULTILINE)
BESIDE_MEMORY: Final = frozenset({"app", "tables"})
"""Folders that a worker in memory has stand-ins for."""


def listed_files() -> list[str]:
    rows = ROW.findall((ROOT / "docs/architecture.md").read_text())
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    return [path for _, path in rows]


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count, by file of the product, the functions that this thread enters."""
    calls: Counter[str] = Counter()
    root = f"{ROOT}/"

    def profile(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(root):
            path = path.removeprefix(root)
            if path.split("/", 1)[0] in PRODUCT:
                calls[path] += 1

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_the_way_is_short_and_exists() -> None:
    files = listed_files()
    assert 0 < len(files) <= MAX_STEPS
    assert [path for path in files if not (ROOT / path).is_file()] == []


async def test_a_confirm_runs_the_files_that_are_listed(api: Api) -> None:
    order = await api.order()
    with counted_calls() as calls:
        status, answer = await api.confirm(order)
    assert (status, answer["status"]) == (200, "COMPLETED")
    print(f"{len(calls)} files of the product ran")  # noqa: T201 -- for docs/architecture.md
    expected = {path for path in listed_files() if path.split("/", 1)[0] not in BESIDE_MEMORY}
    assert expected - calls.keys() - {"web/routes.py"} == set(), "listed, but no code of it ran"
