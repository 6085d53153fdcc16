"""Whose a sampled stack is, and the table that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.platform import PROFILE, write_table
from bench.report import mark
from bench.subsystems import REST, shares, subsystem

MARK = mark(PROFILE)
LOOP = "Worker.execute_from_commandline (mode/worker.py:275)"


@pytest.mark.parametrize(
    ("frames", "whose"),
    [
        ([LOOP], REST),
        ([LOOP, "Fetcher._fetcher (faust/transport/consumer.py:1)"], "Faust"),
        ([LOOP, "transitions (tables/a.py:1)", "decide (agents/x.py:2)", "f (models/y.py:3)"], "decisions"),
        ([LOOP, "g (app/stripe/gateway.py:2)", "f (aiohttp/client.py:3)"], "Stripe"),
        ([LOOP, "start (aiohttp/web_protocol.py:1)"], "HTTP"),
        ([LOOP, "dispatch (web/http/dispatch.py:1)", "send (aiokafka/conn.py:2)"], "Kafka client"),
    ],
)  # fmt: skip
def test_a_stack_is_its_innermost_known_files(frames: list[str], whose: str) -> None:
    assert subsystem(frames) == whose


def test_samples_are_summed() -> None:
    lines = [f"{LOOP};decide (agents/x.py:1) 3", f"{LOOP} 2", f"{LOOP};decide (agents/z.py:1) 1"]
    assert shares(lines) == {"decisions": 4, REST: 2}


def test_the_table_keeps_what_was_before(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"above\n{MARK}| | before | now |\n|---|---|---|\n| HTTP | 9.0 | 8.0 |\n"
                    f"| **together** | 9.0 | 8.0 |\n{MARK}below\n")  # fmt: skip
    write_table(page, {"HTTP": 3.0, "Stripe": 1.0})
    assert page.read_text() == (
        f"above\n{MARK}| | before | now |\n|---|---|---|\n| HTTP | 9.0 | 3.0 |\n| Stripe | 0.0 | 1.0 |\n"
        f"| **together** | 9.0 | 4.0 |\n{MARK}below\n"
    )
