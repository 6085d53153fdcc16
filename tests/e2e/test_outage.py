"""Kafka that is away, and, last, Kafka that was wiped under kept tables."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.card_numbers import THREE_D_SECURE, VISA
from sandbox.platform import Platform
from tests.e2e.shop import PAID, UNPAID, Shop, open_shop
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import WITHIN_S, until

EXIT_FOREIGN = 78


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One worker, and a Kafka that these tests may treat as they like."""
    folder = tmp_path_factory.mktemp("outage")
    with Platform(folder, workers=1, settings=IMPATIENT_WITH_STRIPE, settle_delay_s=-1) as running:
        yield running


@pytest.fixture
async def shop(alone: Platform) -> AsyncIterator[Shop]:
    async with open_shop(alone) as shop:
        yield shop


async def test_kafka_is_away(alone: Platform, shop: Shop) -> None:
    """POSTs are refused with 503, webhooks too; afterwards both get through, with the same key."""
    assert alone.broker, "this test stops Kafka"
    waiting = await shop.buyer().place()
    assert (await waiting.pay(THREE_D_SECURE))["status"] == "REQUIRES_ACTION"
    buyer = shop.buyer()
    basket = await buyer.basket()
    alone.broker.kill()

    url = f"{alone.endpoints.workers[0]}/api/payments/create-intent"
    answer = await shop.request("POST", url, json=basket, Idempotency_Key=buyer.key)
    assert (answer.status, answer.body["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    await shop.stripe.three_d_secure(await shop_intent(shop, waiting.order_id), "succeed")

    async def refused() -> bool:
        tried = [each for each in await shop.stripe.undelivered() if each["attempts"]]
        return any(each["type"] == "payment_intent.succeeded" for each in tried)

    await until(refused, "a webhook to be refused")
    alone.broker.start()
    await buyer.place()
    await shop.ends(buyer, UNPAID)
    await shop.ends(waiting, PAID)

    async def delivered() -> bool:
        return not await shop.stripe.undelivered()

    await until(delivered, "all webhooks to be taken")


async def shop_intent(shop: Shop, order: str) -> str:
    """The order's payment intent, as Stripe knows it."""
    return str((await shop.stripe.ledger())[order][0]["id"])


async def test_kafka_was_wiped_under_kept_tables(alone: Platform, shop: Shop) -> None:
    """The worker refuses to go on, says why and what to do, and ends with a status of its own.

    The file's last test: its worker stays down.
    """
    assert alone.broker, "this test wipes Kafka"
    buyer = await shop.buyer().place()
    await buyer.pay(VISA)
    await shop.ends(buyer, PAID)
    await asyncio.to_thread(alone.workers[0].terminate)
    tables = list(alone.data_dir(0).rglob("*.db")) or list(alone.data_dir(0).rglob("CURRENT"))
    assert tables, "the worker kept its tables"
    alone.broker.stop()
    shutil.rmtree(alone.broker.data_dir)
    alone.broker.start()
    alone.run_cli("topics")
    worker = alone.workers[0]
    ended = len(worker.exits)
    worker.start()
    await asyncio.to_thread(worker.wait_exits, ended + 1, timeout_s=WITHIN_S)
    assert worker.exits[ended] == EXIT_FOREIGN
    said = worker.log_tail(200)
    assert "is not of this Kafka" in said
    assert "remove this worker's data folder" in said
