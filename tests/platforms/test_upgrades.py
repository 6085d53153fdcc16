"""Workers of release 0.1.0 and of this checkout, mixed, rolled forward and back under load and SIGKILLs.

The older build is the release's own wheel. Then the upgrade is finished, and the older build can't come back.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from models.levels import LATEST, OLDEST
from sandbox.card_numbers import VISA
from sandbox.platform import ROOT
from sandbox.processes import MAX_WAIT_S
from tests.e2e.crowd import run_crowd
from tests.e2e.shop import PAID, Shop, open_shop
from tests.support import kafka_invariants
from tests.support.builds import MixedPlatform, installed
from tests.support.kafka_invariants import AUDIT, DEAD_LETTERS
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import until

WRONG_KAFKA = 78


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed("0.1.0", tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def platform(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedPlatform]:
    """Three workers of 0.1.0; what they and others left in Kafka is checked together at the end."""
    settings = IMPATIENT_WITH_STRIPE | {"TIFFIN_PAYMENT_METHODS": "card,us_bank_account"}
    folder = tmp_path_factory.mktemp("upgraded")
    platform = MixedPlatform(folder, settings=settings, settle_delay_s=-1)
    platform.builds = [release] * 3
    with platform:
        yield platform


@pytest.fixture
async def shop(platform: MixedPlatform) -> AsyncIterator[Shop]:
    async with open_shop(platform) as shop:
        yield shop


def level(platform: MixedPlatform, *words: str) -> tuple[int, dict[str, Any]]:
    done = platform.try_cli("level", *words, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def check_kafka(shop: Shop) -> None:
    """No dead letter, and every invariant of what all workers wrote together."""
    records = shop.topics.read()
    assert [record for record in records if record.topic == DEAD_LETTERS] == []
    kafka_invariants.check([record for record in records if record.key])


@pytest.mark.parametrize(
    ("orders", "rounds"),
    [
        pytest.param(24, 1, id="short"),
        pytest.param(1_000, 8, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
async def test_rolled_forward_and_back_under_load(
    platform: MixedPlatform, shop: Shop, release: Path, orders: int, rounds: int
) -> None:
    rnd = random.Random(orders)

    async def roll(_: asyncio.Event, done: list[int]) -> None:
        """Forward, back and forward again, one worker after the other, every second by SIGKILL."""
        for build in [ROOT, release] * rounds + [ROOT]:
            for number in rnd.sample(range(3), 3):
                is_killed = len(done) % 2 == 0
                await asyncio.to_thread(platform.replace, number, build, is_killed=is_killed)
                await asyncio.to_thread(platform.wait_ready)
                done.append(number)

    await run_crowd(shop, orders, rnd, roll)
    await asyncio.to_thread(check_kafka, shop)


async def test_an_upgrade_is_finished_once_no_older_build_runs(
    platform: MixedPlatform, shop: Shop, release: Path
) -> None:
    await asyncio.to_thread(platform.replace, 1, release)
    await asyncio.to_thread(platform.wait_ready)
    status, shown = await asyncio.to_thread(level, platform, "check")
    assert (status, shown["level"], shown["latest"]) == (1, OLDEST, LATEST)
    assert sorted(each["understands"] for each in shown["workers"]) == [OLDEST, LATEST, LATEST]
    status, told = await asyncio.to_thread(level, platform, "finish", "--yes", "--reason", "r")
    assert (status, "can't be finished" in told["said"]) == (1, True)

    await asyncio.to_thread(platform.replace, 1, ROOT)
    await asyncio.to_thread(platform.wait_ready)

    async def is_ready() -> bool:
        return (await asyncio.to_thread(level, platform, "check"))[0] == 0

    await until(is_ready, "all workers to be of this build", within_s=MAX_WAIT_S)
    status, told = await asyncio.to_thread(level, platform, "finish", "--yes", "--reason", "r")
    assert (status, told["finished"]) == (0, True)

    async def has_begun() -> bool:
        return (await asyncio.to_thread(level, platform))[1]["level"] == LATEST

    await until(has_begun, "the level to begin", within_s=MAX_WAIT_S)
    buyer = await shop.buyer().place()
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    await shop.ends(buyer, PAID)
    (act,) = [
        json.loads(record.value or b"")
        for record in await asyncio.to_thread(shop.topics.read)
        if record.topic == AUDIT and b"UPGRADE_FINISHED" in (record.value or b"")
    ]
    assert (act["data"]["level"], act["data"]["by"]) == (LATEST, "operator:cli")
    await asyncio.to_thread(check_kafka, shop)


async def test_the_older_build_can_not_come_back_then(
    platform: MixedPlatform, shop: Shop, release: Path
) -> None:
    """It ends with status 78 and says why; the others go on, and it too once it is of this build again."""
    worker = platform.workers[2]
    platform.replace(2, release)
    known = len(worker.exits)
    await asyncio.to_thread(worker.wait_exits, known + 1, timeout_s=MAX_WAIT_S)
    assert worker.exits[known] == WRONG_KAFKA
    assert f"at level {LATEST:d}, which needs a newer build" in worker.log_tail(5)
    platform.replace(2, ROOT)
    await asyncio.to_thread(platform.wait_ready)
    buyer = await shop.buyer().place()
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    await shop.ends(buyer, PAID)
    await asyncio.to_thread(check_kafka, shop)


def test_a_level_of_a_build_to_come_ends_every_worker(platform: MixedPlatform) -> None:
    """Those that run, and at their start those that are started."""
    at = "2026-11-27T00:00:00.000Z"
    value = {"platformId": "platform_x", "createdAt": at, "level": LATEST + 1, "by": "operator:t"}
    producer = Producer({"bootstrap.servers": platform.bootstrap, "log_level": 0})
    producer.produce("platform-identity", json.dumps(value).encode(), key=b"level")
    assert producer.flush(MAX_WAIT_S) == 0
    known = [len(worker.exits) for worker in platform.workers]
    for worker, before in zip(platform.workers, known, strict=True):
        worker.wait_exits(before + 2, timeout_s=MAX_WAIT_S)
        assert worker.exits[before : before + 2] == [WRONG_KAFKA, WRONG_KAFKA]
        assert f"this platform is at level {LATEST + 1}" in worker.log_tail(8)
