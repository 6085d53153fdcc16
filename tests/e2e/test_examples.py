"""The programs of examples/, run as their READMEs say, at the platform of three workers.

Those of the typed clients with what `make clients` writes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.e2e.shop import Shop
from tests.support.tutorial import ROOT

EXAMPLES: Final = ROOT / "examples"
RESTAURANT: Final = "hinode-kyoto"
NO_NODE: Final = "no Node on this machine"
CONSUMERS: Final = ("paid-orders-python", "paid-orders-node")


def run(*command: str, folder: Path, **environment: str) -> str:
    """Give what a command prints; it has to succeed."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=3 * MAX_WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def consumer_of(example: str, folder: Path) -> list[str]:
    """The command of an example, with what it needs; skips where that can't be had."""
    if example == "paid-orders-python":
        return [sys.executable, str(EXAMPLES / example / "consumer.py")]
    if shutil.which("npm") is None:
        pytest.skip(NO_NODE)
    copy = folder / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("node_modules"))
    run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", folder=copy)
    return ["node", str(copy / "consumer.mjs")]


async def paid(platform: Platform, restaurant: str | None = None) -> Customer:
    """A customer who has paid."""
    endpoints = platform.endpoints
    async with Customer(endpoints.workers[0], endpoints.stripe) as customer:
        await customer.open_payment(await customer.basket(restaurant))
        assert (await customer.pay())["status"] == "COMPLETED"
    return customer


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    """A program that goes on until it is stopped as at a terminal, and ends well then."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(MAX_WAIT_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def lines_about(customer: Customer, log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if customer.order_id in line]


def wait_printed(log: Path, customer: Customer) -> str:
    """The first line about the customer's order, once it is there."""
    try:
        wait_until(lambda: bool(lines_about(customer, log)), "the line", timeout_s=MAX_WAIT_S)
    except TimeoutError:
        pytest.fail(log.read_text()[-2000:])
    return lines_about(customer, log)[0]


@pytest.mark.parametrize("example", CONSUMERS)
def test_a_consumer_prints_paid_orders_and_keeps_its_place(
    platform: Platform, tmp_path: Path, example: str
) -> None:
    command = consumer_of(example, tmp_path)
    first, log = asyncio.run(paid(platform)), tmp_path / "first.log"
    with running(command, log, KAFKA=platform.bootstrap):
        line = wait_printed(log, first)
    amount = first.order["amount"]
    assert line.split()[1:3] == [str(amount["amount"]), amount["currency"]]

    second, log = asyncio.run(paid(platform)), tmp_path / "second.log"
    with running(command, log, KAFKA=platform.bootstrap):
        wait_printed(log, second)
    assert not lines_about(first, log)


def test_a_tablet_accepts_and_finishes_orders(platform: Platform, tmp_path: Path) -> None:
    customer, log = asyncio.run(paid(platform, RESTAURANT)), tmp_path / "tablet.log"
    command = [sys.executable, str(EXAMPLES / "restaurant-tablet/tablet.py"), RESTAURANT]
    with running(command, log, TIFFIN=platform.endpoints.workers[1]):
        wait_until(
            lambda: any("ready: " in line for line in lines_about(customer, log)),
            "the last step",
            timeout_s=MAX_WAIT_S,
        )
    # A list may be older than the step before: the step is asked for again, and has the same answer.
    steps = list(dict.fromkeys(" ".join(line.split()[2:]) for line in lines_about(customer, log)))
    assert steps == ["accept: CONFIRMED", "start-preparing: PREPARING", "ready: READY_FOR_PICKUP"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both clients; that of TypeScript where Node is."""
    folder = tmp_path_factory.mktemp("clients")
    run("sh", "scripts/clients.sh", str(folder), folder=ROOT)
    return folder


def order_of(said: str) -> str:
    """The id of the order that an example says it has paid; a slow machine hears of it later."""
    order_id, status = said.split()
    assert status in {"COMPLETED", "PROCESSING"}
    return order_id


async def test_the_python_client_buys_an_order(
    platform: Platform, shop: Shop, clients: Path
) -> None:
    worker, *_ = platform.endpoints.workers
    package = {"PYTHONPATH": str(clients / "python")}
    said = run(
        sys.executable,
        str(EXAMPLES / "python-client/order.py"),
        folder=clients,
        TIFFIN=worker,
        **package,
    )
    assert await shop.stripe.requests(f"pi:{order_of(said)}:")


@pytest.mark.skipif(shutil.which("npm") is None, reason=NO_NODE)
async def test_the_typescript_client_buys_an_order(
    platform: Platform, shop: Shop, clients: Path
) -> None:
    """Checked by the compiler first."""
    folder, (_, worker, *_) = clients / "typescript", platform.endpoints.workers
    run("npx", "--no-install", "tsc", folder=folder)
    said = run("node", "dist/order.js", folder=folder, TIFFIN=worker)
    assert await shop.stripe.requests(f"pi:{order_of(said)}:")
