"""A crowd of customers while brokers of a cluster of three are killed, one after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sandbox.kafka import KafkaCluster
from sandbox.kafka.broker import BOOTSTRAP_ENV
from sandbox.platform import Platform
from tests.e2e.crowd import run_crowd
from tests.e2e.shop import Shop, open_shop
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import until


@pytest.fixture
def platform(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    monkeypatch.setenv(BOOTSTRAP_ENV, cluster.bootstrap)
    settings = IMPATIENT_WITH_STRIPE | {"TIFFIN_REPLICATION_FACTOR": str(len(cluster.brokers))}
    with Platform(tmp_path / "platform", settings=settings, settle_delay_s=-1) as running:
        yield running


@pytest.fixture
async def shop(platform: Platform) -> AsyncIterator[Shop]:
    async with open_shop(platform) as shop:
        yield shop


@pytest.mark.parametrize(
    ("orders", "kills"),
    [
        pytest.param(12, 2, id="short"),
        pytest.param(500, 3, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
async def test_every_order_ends_right_while_brokers_die(
    shop: Shop, cluster: KafkaCluster, orders: int, kills: int
) -> None:
    async def is_in_sync() -> bool:
        return await asyncio.to_thread(cluster.is_in_sync)

    async def kill(is_over: asyncio.Event, done: list[int]) -> None:
        while not is_over.is_set() or len(done) < kills:
            await until(is_in_sync, "all copies to be whole")
            killed = len(done) % len(cluster.brokers)
            await asyncio.to_thread(cluster.brokers[killed].kill)
            done.append(killed)
            await asyncio.to_thread(cluster.brokers[killed].start)

    await run_crowd(shop, orders, random.Random(3), kill)
