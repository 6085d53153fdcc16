"""The wheel has all that a worker needs, and runs away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from web.pages.ops.runbooks import documents

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("agents", "app", "models", "tables", "web")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_has_the_files_of_the_packages_and_no_others(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"web/{path.relative_to(ROOT)}" for path in documents().values()}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("tiffin-")}
    assert names == wanted
    assert {"web/templates/base.html", "agents/dictionaries/orders.1.txt"} <= names


def test_its_command_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    (script,) = installed.glob("tiffin-*.data/scripts/tiffin")
    done = subprocess.run(
        [sys.executable, "-P", str(script), "agents"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed), "TIFFIN_SANDBOX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "payments" in done.stdout
