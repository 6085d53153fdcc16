"""Prometheus' own checker of metrics and alert rules; tests that need it are skipped where it can't be had."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@cache
def _path() -> str:
    script = ["sh", str(ROOT / "scripts" / "promtool.sh")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def promtool(*arguments: str, given: bytes = b"") -> tuple[int, str]:
    """Exit status and everything that it prints."""
    if not _path():
        pytest.skip("promtool can't be had: scripts/promtool.sh says why")
    done = subprocess.run(
        [_path(), *arguments], input=given, capture_output=True, check=False, cwd=ROOT
    )
    return done.returncode, (done.stdout + done.stderr).decode()
