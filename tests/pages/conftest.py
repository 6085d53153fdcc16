"""A real platform and Debian's Chromium for the tests of the pages."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from sandbox.platform import ROOT
from sandbox.processes import MAX_WAIT_S
from tests.pages.visitor import Visitor
from tests.support.platforms import BreakablePlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = {
    # What Stripe leaves open is asked about soon: no test waits for the defaults of production.
    "TIFFIN_RECONCILE_AFTER_S": "1",
    "TIFFIN_RECONCILE_INTERVAL_S": "1",
    "TIFFIN_CONFIRM_WAIT_S": "2",
    "TIFFIN_COURIER_LIMIT": "50",
    # A message that can't be sent waits for an operator soon.
    "TIFFIN_NOTIFICATION_TRIES": "2",
    "TIFFIN_NOTIFICATION_FIRST_PAUSE_S": "0.1",
}

expect.set_options(timeout=MAX_WAIT_S * 1000)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakablePlatform]:
    """Kafka, Stripe's stand-in and two workers, for all tests of the pages."""
    running = BreakablePlatform(tmp_path_factory.mktemp("pages"), workers=2, settings=SETTINGS)
    running.break_at({})
    with running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium, installed if that is possible here."""
    done = subprocess.run(
        [ROOT / "scripts" / "chromium.sh"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium a file: playwright's own event loop must have ended when other files' begin."""
    with sync_playwright() as playwright:
        # Root, as in containers, has no sandbox for processes. The shell isolates sites only when it is told
        # to, as browsers of customers do by themselves.
        flags = ["--no-sandbox", "--site-per-process"]
        running = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser, platform: BreakablePlatform) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors, each with a browser profile of its own; none may have seen an error."""
    visitors: list[Visitor] = []

    def make(**options: object) -> Visitor:
        visitor = Visitor(browser, platform, **options)
        visitors.append(visitor)
        return visitor

    yield make
    for visitor in visitors:
        visitor.leave()
