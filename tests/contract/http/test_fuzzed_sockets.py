"""Thousands of requests that are made to hurt, against a worker's HTTP application in a process of its own.

No 500, no unbounded memory, and no request that holds the event loop. The short form runs always; the
long one, and schemathesis in each role, with `make soak`, which prints the figures.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from tests.contract.http.hostile_requests import Attacker, HostileRequest
from tests.contract.http.openapi_cases import CASES, CHECKS, OPERATIONS, call

ROOT = Path(__file__).resolve().parents[3]
AT_ONCE = 8
ANSWER_WITHIN_S = 60
STREAM_FOR_S = 0.05
HELD_MS = 250
"""How long one callback may take here: CPU time that depends on the machine, of what should be 50 ms at
most. What bounds it is asserted in test_costs.py and tests/unit/web/http/test_decoding.py."""
GROWTH_KB = 150_000


@dataclass
class Attacked:
    """A served application. figures: what it measured, once it has ended."""

    told: dict[str, Any]
    statuses: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, bytes]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.told['port']}"

    async def attack(self, seed: int, requests: int) -> None:
        attacker = Attacker(Random(seed), self.told)

        async def one_after_the_other(count: int) -> None:
            for _ in range(count):
                await self._send(attacker.next())

        await asyncio.gather(*(one_after_the_other(requests // AT_ONCE) for _ in range(AT_ONCE)))

    async def _send(self, sent: HostileRequest) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.told["port"])
        answer = b""
        with suppress(ConnectionError, *([] if sent.owes else [TimeoutError])):
            for part in sent.parts:
                writer.write(part)
            if not sent.owes:
                writer.write_eof()
            async with asyncio.timeout(ANSWER_WITHIN_S if sent.owes else STREAM_FOR_S):
                answer = await reader.read(64) if sent.owes else await reader.readline()
        writer.close()
        nothing = "none" if sent.owes else "not waited for"
        status = answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else nothing
        self.statuses[status] += 1
        if status == "500":
            self.failed.append((sent.name, b"".join(sent.parts)[:2000]))


@contextmanager
def served() -> Iterator[Attacked]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.http.measured_server"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        attacked = Attacked(orjson.loads(process.stdout.readline()))
        yield attacked
        process.stdin.close()
        attacked.figures = orjson.loads(process.stdout.readline())
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def check(attacked: Attacked) -> None:
    figures = attacked.figures
    assert not attacked.failed
    # Also of those whose connection was reset before the answer could be read, which a 400 of the parser
    # does to a client that goes on sending.
    assert not figures["failures"]
    assert max(took_ms for took_ms, _ in figures["longest_ms"] or [(0, "")]) < HELD_MS, figures
    assert figures["peak_kb"] - figures["begun_kb"] < GROWTH_KB, figures


async def test_no_request_hurts() -> None:
    with served() as attacked:
        await attacked.attack(seed=1, requests=400)
    check(attacked)
    assert attacked.statuses["200"] > 10, attacked.statuses
    assert {"200", "400", "401", "403", "415"} <= attacked.statuses.keys()


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_no_request_hurts_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    began_s = time.monotonic()
    with served() as attacked:
        for seed in range(20):
            await attacked.attack(seed=100 + seed, requests=400)
    show(capsys, "raw requests", attacked, began_s)
    check(attacked)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["nobody", "customer", "kitchen", "courier", "operator"])
def test_what_the_description_allows_in_each_role(
    who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    began_s = time.monotonic()
    with served() as attacked:
        tokens = {**attacked.told, "customer": attacked.told["order"]["orderToken"]}
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who in tokens else {}
        for name, mode in CASES:
            generate(attacked, name, mode, headers)
    show(capsys, f"schemathesis as {who}", attacked, began_s)
    check(attacked)


def generate(attacked: Attacked, name: str, mode: GenerationMode, headers: dict[str, str]) -> None:
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    @settings(
        max_examples=60, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def send(case: Case[Any]) -> None:
        if "order_id" in case.path_parameters and len(str(case.path_parameters["order_id"])) % 2:
            case.path_parameters["order_id"] = attacked.told["order"]["orderId"]
        answer = call(case, attacked.base, headers)
        if answer is not None:
            attacked.statuses[str(answer.status_code)] += 1
            case.validate_response(answer, checks=CHECKS)

    send()


def show(capsys: pytest.CaptureFixture[str], name: str, attacked: Attacked, began_s: float) -> None:
    with capsys.disabled():
        took_s = time.monotonic() - began_s
        sys.stdout.write(
            f"\n{name}: {attacked.statuses.total()} sent in {took_s:.0f} s\n"
            f"  statuses {dict(sorted(attacked.statuses.items()))}\n  {attacked.figures}\n"
        )
