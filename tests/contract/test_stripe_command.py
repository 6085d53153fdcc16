"""`faust -A app stripe check` and `stripe domain`, as an operator runs them, against Stripe's stand-in."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.stripe_events import ENDPOINT_EVENT_TYPES
from sandbox.processes import MAX_WAIT_S
from sandbox.stripe import StripeSandbox
from sandbox.stripe.state import API_VERSION

ROOT = Path(__file__).parents[2]
KEY = "sk_test_never_to_be_printed"
URL = "https://eat.example/webhooks/stripe"


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running


async def command(
    sandbox: StripeSandbox, tmp_path: Path, *arguments: str, **settings: str
) -> tuple[int, str, str]:
    """Exit status, what it printed, and what it said went wrong."""
    environment = {name: value for name, value in os.environ.items() if "TIFFIN" not in name}
    environment |= {
        "TIFFIN_SANDBOX": "1", "TIFFIN_STRIPE_SECRET_KEY": KEY, "PYTHONPATH": str(ROOT),
        "TIFFIN_STRIPE_API_URL": sandbox.base_url, "TIFFIN_PUBLIC_URL": "https://eat.example",
    } | settings  # fmt: skip
    faust = Path(sys.executable).with_name("faust")
    process = await asyncio.create_subprocess_exec(
        str(faust), "-A", "app", "stripe", *arguments, cwd=tmp_path, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(MAX_WAIT_S):
        printed, said = await process.communicate()
    assert KEY not in printed.decode() + said.decode()
    return process.returncode or 0, printed.decode(), said.decode()


def endpoint(**fields: Any) -> dict[str, Any]:
    sent = {"url": URL, "enabled_events": list(ENDPOINT_EVENT_TYPES), "api_version": API_VERSION}
    return sent | fields


async def test_check(sandbox: StripeSandbox, tmp_path: Path) -> None:
    sandbox.webhooks.create(endpoint())
    status, printed, said = await command(sandbox, tmp_path, "check", "--json")
    assert (status, said) == (0, "")
    checks = {each["name"]: each for each in json.loads(printed)["checks"]}
    assert {each["state"] for each in checks.values()} == {"OK"}
    assert {"key", "mode", "endpoint", "types", "version", "clock", "mark"} <= checks.keys()

    sandbox.state.webhook_endpoints.clear()
    sandbox.webhooks.create(endpoint(api_version="2020-08-27", enabled_events=["refund.created"]))
    status, printed, _ = await command(sandbox, tmp_path, "check")
    assert status == 1
    assert "2020-08-27" in printed
    assert "payment_intent.succeeded" in printed
    assert "2 WRONG" in printed

    away = {"TIFFIN_STRIPE_API_URL": "http://127.0.0.1:9"}
    status, printed, _ = await command(sandbox, tmp_path, "check", **away)
    assert (status, "1 UNKNOWN" in printed) == (2, True)


async def test_domain(sandbox: StripeSandbox, tmp_path: Path) -> None:
    sandbox.state.domain_errors["apple_pay"] = "the association file can't be read"
    status, printed, _ = await command(sandbox, tmp_path, "domain")
    assert status == 1
    assert "the association file can't be read" in printed
    sandbox.state.domain_errors.clear()
    status, printed, _ = await command(sandbox, tmp_path, "domain", "--json")
    told = json.loads(printed)
    assert (status, told["domain"], told["done"]) == (0, "eat.example", "validated")
    assert [each["state"] for each in told["checks"]] == ["OK", "OK", "OK"]
    assert len(sandbox.state.payment_method_domains) == 1

    local = {"TIFFIN_PUBLIC_URL": "http://127.0.0.1:6066"}
    status, _, said = await command(sandbox, tmp_path, "domain", **local)
    assert (status, "--domain" in said) == (1, True)
    status, printed, _ = await command(
        sandbox, tmp_path, "domain", "--domain", "shop.example", **local
    )
    assert (status, "shop.example" in printed) == (0, True)
