"""One whole platform for the session: real Kafka, three supervised workers, Stripe's stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from sandbox.platform import Platform
from tests.e2e.shop import Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Topics
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import WITHIN_S


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Running; bank debits and pending refunds settle on request alone.

    A test may kill workers (they come back) but leaves Kafka and the stand-in alone. When all are
    done, everything that they left in Kafka is checked together.
    """
    folder = tmp_path_factory.mktemp("platform")
    settings = IMPATIENT_WITH_STRIPE | {"TIFFIN_PAYMENT_METHODS": "card,us_bank_account"}
    with Platform(folder, settings=settings, settle_delay_s=-1) as running:
        yield running
        topics = Topics(running.bootstrap)
        records = topics.read()
        topics.close()
        kafka_invariants.check(
            [r for r in records if r.key and kafka_invariants.PUT_BY_TEST not in r.headers]
        )


@pytest.fixture(scope="session")
def topics(platform: Platform) -> Iterator[Topics]:
    """What the platform's Kafka holds."""
    topics = Topics(platform.bootstrap)
    yield topics
    topics.close()


@pytest.fixture
async def shop(platform: Platform, topics: Topics) -> AsyncIterator[Shop]:
    """A test's own customers; faults and rules are gone and all workers ready when it ends."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
        shop = Shop(platform, topics, session)
        yield shop
        await shop.stripe.clear()
        await asyncio.to_thread(platform.wait_ready)
