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
    "aiosmtplib", "babel", "confluent_kafka", "faust.app.base",
    "httpx", "jinja2", "prometheus_client", "requests", "rocksdict", "stripe", "structlog", "urllib3",
    "agents", "app.factory", "models.commands", "models.events", "tables", "web.pages", "web.routes",
}  # fmt: skip
"""What only workers need; each takes as long to import as most commands take to run."""
NEVER_FOR_LISTS = {"aiosmtplib", "app.factory", "httpx", "jinja2", "stripe", "web.routes"}
"""Faust's own commands need the declared services, and nothing of what runs beside them."""


def imported(*arguments: str) -> set[str]:
    """The modules that `faust -A app` with these arguments has imported when it ends."""
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("TIFFIN_")
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "faust", "-A", "app", *arguments],
        env={**environment, "TIFFIN_SANDBOX": "1"},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))
    assert "app.entry" in found, done.stderr[-2000:]
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("order", "order_00000000000000000000000000", *NOBODY),
        ("orders", *NOBODY),
        ("payment", "pi_1", *NOBODY),
        ("dead-letters", *NOBODY),
        ("notifications", *NOBODY),
        ("skip", "order-events", "0", "1", "--dry-run", *NOBODY),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_asks_a_worker_imports_what_it_uses(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) & NEVER_FOR_COMMANDS == set()


@pytest.mark.parametrize("command", ["agents", "tables"])
def test_a_list_of_what_is_declared_imports_nothing_that_runs_beside_it(command: str) -> None:
    found = imported(command)
    assert found & NEVER_FOR_LISTS == set()
    assert "agents" in found
