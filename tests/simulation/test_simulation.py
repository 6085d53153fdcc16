"""Whole histories from seeds: the same each time, without a violation, and each seeded violation is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 200
SOAK_SEEDS = 10_000
PARALLEL = os.cpu_count() or 1


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """In processes of their own: the simulation puts its clocks in the place of Python's."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_seed_gives_the_same_history_every_time() -> None:
    """Every record, request and step: in one process again, in another one, and after other histories."""
    runs = [
        simulate("--seeds", "20-25", "--jobs", "1", "--digests"),
        simulate("--seeds", "20-25", "--jobs", "1", "--digests", hash_seed="random"),
        simulate("--seeds", "18-25", "--jobs", "1", "--digests"),
    ]
    digests = [{line for line in run.stdout.splitlines() if line[0].isdecimal()} for run in runs]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 6
    assert digests[0] <= digests[2]


def test_no_history_breaks_a_promise() -> None:
    run = simulate("--seeds", f"0-{SEEDS - 1}")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_no_history_of_many_breaks_a_promise() -> None:
    run = simulate("--seeds", f"0-{SOAK_SEEDS - 1}")
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_seeded_violation_is_seen() -> None:
    """The checker sees what breaks a promise, and what replays it is told."""
    listed = simulate("--list-violations").stdout.split()
    assert len(listed) >= 20
    with ThreadPoolExecutor(PARALLEL) as pool:
        runs = list(
            pool.map(lambda names: simulate("--violations", ",".join(names)), _parts(listed))
        )
    told = "".join(run.stdout + run.stderr for run in runs)
    assert all(run.returncode == 0 for run in runs), told
    for name in listed:
        assert f"{name}: seen" in told


def _parts(names: list[str]) -> list[list[str]]:
    return [names[start::PARALLEL] for start in range(PARALLEL)]


def test_a_history_that_fails_is_made_smaller() -> None:
    """Its command names what is left, and fails in the same way."""
    run = simulate("--seeds", "0-0", "--jobs", "1", "--violation", "output-lost")
    assert run.returncode == 1
    [line] = [line for line in run.stdout.splitlines() if "made smaller" in line]
    command = line.partition("python -m tests.simulation ")[2].split()
    assert "--orders" in command
    again = simulate(*command, "--violation", "output-lost", "--quiet")
    assert again.returncode == 1, again.stdout
