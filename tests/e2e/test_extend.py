"""docs/extend.md, followed to the letter: each block applied, each command run, on a real Kafka."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from sandbox.processes import MAX_WAIT_S
from tests.support.tutorial import ROOT, Block, apply, blocks_of, copy_tree

PAGE: Final = ROOT / "docs/extend.md"
MAX_FILES, MAX_ADDED_LINES = 5, 60


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return blocks_of(PAGE)


@pytest.fixture(scope="module")
def extended(blocks: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, changed as the page says."""
    folder = tmp_path_factory.mktemp("extended")
    copy_tree(folder)
    for block in blocks:
        if block.path:
            apply(block, folder)
    return folder


@pytest.fixture(scope="module")
def demo(extended: Path) -> Iterator[subprocess.Popen[str]]:
    """`make demo`, up and running."""
    with (extended / "demo.log").open("w") as log:
        running = subprocess.Popen(
            ["make", "demo"],
            cwd=extended,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            began = time.monotonic()
            while not (extended / ".sandbox/endpoints.json").exists():
                assert running.poll() is None, (extended / "demo.log").read_text()
                assert time.monotonic() - began < MAX_WAIT_S, (extended / "demo.log").read_text()
                time.sleep(0.2)
            yield running
        finally:
            os.killpg(running.pid, signal.SIGINT)
            running.wait(MAX_WAIT_S)


def run(block: Block, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, capture_output=True, text=True,
        timeout=MAX_WAIT_S * 3, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_service_is_few_files_and_lines(blocks: list[Block]) -> None:
    changed = [block for block in blocks if block.path]
    assert len({block.path for block in changed}) <= MAX_FILES
    assert sum(block.added_lines for block in changed) <= MAX_ADDED_LINES


def test_its_checks_pass(blocks: list[Block], extended: Path) -> None:
    checks, _ = (block for block in blocks if block.language == "sh")
    run(checks, extended)


@pytest.mark.usefixtures("demo")
def test_an_order_earns_points(blocks: list[Block], extended: Path) -> None:
    _, commands = (block for block in blocks if block.language == "sh")
    said = run(commands, extended)
    assert "@loyalty.payment-events" in said
    assert "loyalty" in said
    *_, last = said.splitlines()
    paid, points = int(last.split()[0]), int(last.split()[-2])
    assert points == paid // 100 > 0
