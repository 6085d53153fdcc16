"""docs/extend.md, the tutorial and the how-tos, followed to the letter: each command run at a running demo."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from sandbox.processes import MAX_WAIT_S, wait_until
from tests.e2e import page_steps
from tests.support.tutorial import ROOT, Block, apply, blocks_of, copy_tree

PAGE: Final = ROOT / "docs/extend.md"
TUTORIAL: Final = ROOT / "docs/tutorial.md"
HOW_TOS: Final = sorted((ROOT / "docs/how-to").glob("*.md"))
USUAL_WEB, USUAL_STRIPE = "http://127.0.0.1:8000", "http://127.0.0.1:8010"
SHOWN_LAST: Final = "Look around"
AMOUNT: Final = 26_500
"""Of the sandbox's usual order, in minor units."""
MAX_FILES, MAX_ADDED_LINES = 6, 110

expect.set_options(timeout=MAX_WAIT_S * 1000)


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return blocks_of(PAGE)


def changed_copy(folder: Path, pages: Iterable[Path]) -> Path:
    """A copy of the repository, changed as pages say."""
    copy_tree(folder)
    for page in pages:
        for block in blocks_of(page):
            if block.path:
                apply(block, folder)
    return folder


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo runs: with the page's service, and with what the how-tos add."""
    return changed_copy(tmp_path_factory.mktemp("extended"), [PAGE, *HOW_TOS])


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
            while SHOWN_LAST not in (extended / "demo.log").read_text():
                assert running.poll() is None, (extended / "demo.log").read_text()
                assert time.monotonic() - began < MAX_WAIT_S, (extended / "demo.log").read_text()
                time.sleep(0.2)
            yield running
        finally:
            with suppress(ProcessLookupError):  # the last test has killed it
                os.killpg(running.pid, signal.SIGINT)
            running.wait(MAX_WAIT_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    done = subprocess.run(
        [ROOT / "scripts" / "chromium.sh"], capture_output=True, text=True, check=True
    )
    with sync_playwright() as playwright:
        path = done.stdout.strip()
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def children(pid: int) -> set[int]:
    """Ids of a process's own processes, as the kernel lists them."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(block: Block, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, capture_output=True, text=True,
        timeout=MAX_WAIT_S * 3, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_addresses(text: str, folder: Path) -> str:
    """Commands with the addresses of the demo: where the usual ports are taken it says which others it uses."""
    found = json.loads((folder / ".sandbox/endpoints.json").read_text())
    addresses = {USUAL_WEB: found["web"][0], USUAL_STRIPE: found["stripe"]}
    return re.sub("|".join(addresses), lambda usual: addresses[usual[0]], text)


def is_check(block: Block) -> bool:
    """Whether it runs tests, which need no demo."""
    return block.language == "sh" and "-m pytest" in block.text


def has_checks(page: Path) -> bool:
    return any(map(is_check, blocks_of(page)))


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
    assert "@points.payment-events" in said
    assert "@loyalty.loyalty-points" in said
    *_, last = said.splitlines()
    paid, points = int(last.split()[0]), int(last.split()[-2])
    assert points == paid // 100 > 0


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_succeed(page: Path, extended: Path) -> None:
    for block in blocks_of(page):
        if block.language == "sh" and block.is_run and not is_check(block):
            run(Block("sh", with_addresses(block.text, extended)), extended)


@pytest.mark.parametrize("page", list(filter(has_checks, HOW_TOS)), ids=lambda page: page.stem)
def test_the_checks_of_a_how_to_pass(page: Path, tmp_path: Path) -> None:
    """Of what it adds alone, as its reader has it: in a copy of its own."""
    folder = changed_copy(tmp_path / "copy", [page])
    for block in filter(is_check, blocks_of(page)):
        run(block, folder)


@pytest.mark.usefixtures("demo")
def test_the_tutorial_is_followed_word_for_word(extended: Path, browser: Browser) -> None:
    """In one shell, as a reader has it; then what it says of the pages, in a browser."""
    start, *rest = (block for block in blocks_of(TUTORIAL) if block.language == "sh")
    assert start.text == "make demo\n"
    assert all(block.is_run for block in rest)
    text = with_addresses("".join(block.text for block in rest), extended)
    said = run(Block("sh", text), extended)
    assert len(re.findall(r"refund_[0-9a-z]{26}", said)) >= 2
    assert len(set(re.findall(r"refund_[0-9a-z]{26}", said))) == 1
    (totals,) = (line for line in said.splitlines() if "'refunded':" in line)
    # One of the demo's own orders and the tutorial's.
    assert [each["refunded"] for each in ast.literal_eval(totals).values()] == [2 * AMOUNT]
    assert "REFUNDED" in said
    (order_id,) = re.findall(r"^order_\w{26}$", said, re.MULTILINE)
    steps = with_addresses(TUTORIAL.read_text().split("## 3.")[1].split("## 4.")[0], extended)
    page = browser.new_page()
    page.set_default_timeout(MAX_WAIT_S * 1000)
    assert page_steps.take(page, steps, order_id) == 10


@pytest.mark.usefixtures("demo")
def test_the_demo_charged_every_customer_once(extended: Path) -> None:
    """Beside the new service, which reads the same payments."""
    said = (extended / "demo.log").read_text()
    assert "is killed with SIGKILL" in said
    assert "Every customer was charged once" in said
    assert "✗" not in said
    shown = said[said.index("Ready after") :].splitlines()
    assert len(shown) <= 45
    assert max(map(len, shown)) <= 100


def test_a_killed_demo_leaves_no_process(demo: subprocess.Popen[str]) -> None:
    (python,) = children(demo.pid)
    started = children(python)
    assert len(started) >= 6  # three workers, Kafka, Stripe's stand-in, the mailbox
    os.kill(python, signal.SIGKILL)
    demo.wait(MAX_WAIT_S)
    wait_until(
        lambda: not any(map(lives, {python, *started})), "the demo's end", timeout_s=MAX_WAIT_S
    )
