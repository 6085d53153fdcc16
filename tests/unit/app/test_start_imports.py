"""What a start imports: a command that asks a worker knows nothing of Stripe, tables or pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = ("--url", "http://127.0.0.1:1")
"""No worker listens there: the command runs to its end, which says so."""

NEVER_FOR_COMMANDS = {
    "aiosmtplib", "babel", "confluent_kafka", "faust.app.base", "httpx", "jinja2", "jwt",
    "prometheus_client", "pydantic", "pydantic_settings", "requests", "rocksdict", "stripe", "structlog",
    "urllib3",
    "agents", "app.factory", "app.settings", "models.commands", "models.events", "tables", "web",
}  # fmt: skip
"""What only workers need; each takes as long to import as most commands take to run."""
MAX_MODULES = 100
"""Of a command beside Faust's 570: 74 in 2026, of which rich, that prints tables, is 40."""
MAX_MODULES_OF_HELP = 60
NEVER_FOR_LISTS = {
    "aiosmtplib",
    "app.factory",
    "httpx",
    "jinja2",
    "stripe",
    "structlog",
    "web.routes",
}
"""Faust's own commands need the declared services, and nothing of what runs beside them."""


def imported(*arguments: str) -> set[str]:
    """The modules that `faust -A app` with these arguments has imported when it ends."""
    found = modules_of("-m", "faust", "-A", "app", *arguments)
    assert "app.entry" in found
    return found


def modules_of(*python: str) -> set[str]:
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("TIFFIN_")
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *python],
        env={**environment, "TIFFIN_SANDBOX": "1"},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    assert found, done.stderr[-2000:]
    return set(found)


@pytest.mark.parametrize(
    "arguments",
    [
        ("order", "order_00000000000000000000000000", *NOBODY),
        ("dead-letters", *NOBODY),
        ("overview", *NOBODY),
        ("refund", "order_00000000000000000000000000", "--yes", *NOBODY),
        ("table", "orders", *NOBODY),
        ("audit", *NOBODY),
        ("notifications", *NOBODY),
        ("skip", "order-events", "0", "1", "--dry-run", *NOBODY),
        ("refunds", *NOBODY),
        ("completion", "bash"),
        ("--help",),
        ("topics", "--help"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_asks_a_worker_imports_what_it_uses(
    arguments: tuple[str, ...], of_faust: set[str]
) -> None:
    """One of each module of app/cli, and what shows help alone: that imports no more than Faust does."""
    found = imported(*arguments)
    assert found & NEVER_FOR_COMMANDS == set()
    most = MAX_MODULES if NOBODY[0] in arguments else MAX_MODULES_OF_HELP
    assert len(found - of_faust) <= most, sorted(found - of_faust)


@pytest.fixture(scope="module")
def of_faust() -> set[str]:
    """What Faust's own command line imports, whatever one asks of it."""
    return modules_of("-m", "faust", "--version")


@pytest.mark.parametrize("command", ["agents", "tables"])
def test_a_list_of_what_is_declared_imports_nothing_that_runs_beside_it(command: str) -> None:
    found = imported(command)
    assert found & NEVER_FOR_LISTS == set()
    assert "agents" in found
