"""A release to come, with services, topics, an event type, a field and a level of its own, beside this build.

Rolled forward, back and forward again under load and SIGKILLs; then its level begins.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.levels import LATEST
from sandbox.card_numbers import VISA
from sandbox.platform import ROOT
from sandbox.processes import MAX_WAIT_S, run_to_end
from tests.e2e.crowd import run_crowd
from tests.e2e.shop import Buyer, Shop, open_shop
from tests.support import kafka_invariants
from tests.support.builds import MixedPlatform, next_release
from tests.support.kafka_invariants import DEAD_LETTERS
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import until

WRONG_KAFKA = 78
FINISH = ("level", "finish", "--yes", "--reason", "a test")
NEW_TYPE, NEW_FIELD = b"PAYMENT_THANKED", b'"thanks":'


@pytest.fixture(scope="module")
def to_come(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next_release(tmp_path_factory.mktemp("to_come"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedPlatform]:
    settings = IMPATIENT_WITH_STRIPE | {"TIFFIN_STANDBY_REPLICAS": "1"}
    folder = tmp_path_factory.mktemp("next")
    platform = MixedPlatform(folder, settings=settings, settle_delay_s=-1)
    platform.builds = [ROOT] * 3
    with platform:
        yield platform


@pytest.fixture
async def shop(platform: MixedPlatform) -> AsyncIterator[Shop]:
    async with open_shop(platform) as shop:
        yield shop


def succeeds(platform: MixedPlatform, build: Path, *words: str) -> bool:
    """Run `faust -A app` of a build; whether its status is 0."""
    argv = [sys.executable, "-m", "faust", "-A", "app", *words]
    done = run_to_end(argv, env=platform.environment(), cwd=build, timeout=MAX_WAIT_S)
    return done.returncode == 0


async def new_records(shop: Shop) -> list[bytes]:
    """What this build would not know, of all topics; no record of any is a dead letter."""
    records = await asyncio.to_thread(shop.topics.read)
    assert [record for record in records if record.topic == DEAD_LETTERS] == []
    values = [record.value or b"" for record in records]
    return [value for value in values if NEW_TYPE in value or NEW_FIELD in value]


async def wait_points(buyer: Buyer, amount: int) -> None:
    """Wait until the service that came with the next release counts the buyer's order."""

    async def has_points() -> bool:
        status, answer = await buyer.call("GET", f"/api/orders/{buyer.order_id}/points")
        return status == 200 and answer["points"] == amount // 100

    await until(has_points, "the order's points", within_s=MAX_WAIT_S)


def test_without_its_topics_it_does_not_start(platform: MixedPlatform, to_come: Path) -> None:
    """It says so before it joins the group, and the others go on."""
    worker = platform.workers[0]
    platform.replace(0, to_come)
    known = len(worker.exits)
    worker.wait_exits(known + 1, timeout_s=MAX_WAIT_S)
    assert worker.exits[known] == WRONG_KAFKA
    assert "Kafka has no topic loyalty-points: run `faust -A app topics`" in worker.log_tail(8)
    assert succeeds(platform, to_come, "topics")
    platform.wait_ready()


async def test_it_is_rolled_out_and_back_and_begins_with_its_level(
    platform: MixedPlatform, shop: Shop, to_come: Path
) -> None:
    rnd = random.Random(3)
    early = await shop.buyer().place()
    amount: dict[str, Any] = (await early.pay(VISA))["amount"]

    async def roll(_: asyncio.Event, done: list[int]) -> None:
        for build in (to_come, ROOT, to_come):
            for number in rnd.sample(range(3), 3):
                is_killed = len(done) % 2 == 0
                await asyncio.to_thread(platform.replace, number, build, is_killed=is_killed)
                await asyncio.to_thread(platform.wait_ready)
                done.append(number)

    await run_crowd(shop, 24, rnd, roll)
    assert await new_records(shop) == []
    records = await asyncio.to_thread(shop.topics.read)
    kafka_invariants.check(
        [each for each in records if each.key and each.topic != "loyalty-points"]
    )
    await wait_points(early, amount["amount"])

    await until(
        lambda: asyncio.to_thread(succeeds, platform, to_come, *FINISH),
        "all workers to be of the next release",
        within_s=MAX_WAIT_S,
    )

    async def is_thanked() -> bool:
        late = await shop.buyer().place()
        assert (await late.pay(VISA))["status"] == "COMPLETED"
        await late.wait_status("PENDING")
        return bool(await new_records(shop))

    await until(is_thanked, "the level to begin", within_s=MAX_WAIT_S)
    found = await new_records(shop)
    assert any(NEW_TYPE in value for value in found)
    assert any(NEW_FIELD in value for value in found)

    worker = platform.workers[0]
    platform.replace(0, ROOT)
    known = len(worker.exits)
    await asyncio.to_thread(worker.wait_exits, known + 1, timeout_s=MAX_WAIT_S)
    assert worker.exits[known] == WRONG_KAFKA
    assert f"this platform is at level {LATEST + 1}" in worker.log_tail(8)
    platform.replace(0, to_come)
    await asyncio.to_thread(platform.wait_ready)
