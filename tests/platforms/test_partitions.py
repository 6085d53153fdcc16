"""More partitions on a whole platform that is being used, with the command killed again and again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from app.partitions.state import read_states
from app.settings import Settings
from models.generations import RaiseState, base_topic
from sandbox.platform import ROOT, Platform
from sandbox.staff import Staff
from tests.e2e.shop import PAID, REFUNDED, UNPAID, Buyer, Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record, Topics
from tests.support.platforms import PATIENT
from tests.support.waiting import WITHIN_S, until

BEFORE, AFTER = 3, 5


class TopicsOfNow(Topics):
    """What the generation that serves holds, by the topics' own names."""

    suffix = ""

    def read(self) -> list[Record]:
        return [
            record._replace(topic=base_topic(record.topic))
            for record in super().read()
            if (record.topic.endswith(self.suffix) if self.suffix else ".g" not in record.topic)
        ]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    settings = {**PATIENT, "TIFFIN_PARTITIONS": str(BEFORE)}
    with Platform(tmp_path_factory.mktemp("partitions"), workers=2, settings=settings) as running:
        yield running


@pytest.fixture
async def shop(platform: Platform) -> AsyncIterator[Shop]:
    topics = TopicsOfNow(platform.bootstrap)
    async with aiohttp.ClientSession() as session:
        yield Shop(platform, topics, session)
    topics.close()


def begin_raise(platform: Platform, count: int = AFTER) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    argv = [sys.executable, "-m", "faust", "-A", "app", "partitions", "raise", str(count), "--yes"]
    return subprocess.Popen(
        [*argv, "--json"], env=platform.environment(), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


async def kill_at(platform: Platform, state: RaiseState, after_s: float = 0.0) -> None:
    """Begin a raise, and kill it once it has said that it is there."""
    settings = Settings(kafka_bootstrap=platform.bootstrap, sandbox=True)
    known = len(await asyncio.to_thread(read_states, settings))
    process = begin_raise(platform)

    async def is_there() -> bool:
        assert process.poll() is None, process.communicate()
        states = await asyncio.to_thread(read_states, settings)
        return any(told.state is state for told in states[known:])

    try:
        await until(is_there, f"a raise that is {state}")
        await asyncio.sleep(after_s)
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def keep_ordering(shop: Shop, placed: list[Buyer], is_over: asyncio.Event) -> None:
    """A customer after the other, whatever the platform answers meanwhile."""
    while not is_over.is_set():
        buyer = await shop.buyer().place()
        await buyer.pay()
        placed.append(buyer)


async def test_a_raise_is_undone(platform: Platform, shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await buyer.pay()
    dry = await asyncio.to_thread(
        platform.run_cli, "partitions", "raise", "5", "--dry-run", "--json"
    )
    rows = json.loads(dry)["rows"]
    assert rows["order-events"] >= 1
    assert rows["tiffin-orders-changelog"] >= 1
    none = await asyncio.to_thread(platform.try_cli, "partitions", "abandon", "--yes")
    assert (none.returncode, "Nothing is under way" in none.stderr) == (1, True)
    await kill_at(platform, RaiseState.PAUSED)
    shown = json.loads(await asyncio.to_thread(platform.run_cli, "partitions", "show", "--json"))
    assert shown["underWay"] == {"generation": 2, "partitions": AFTER, "state": "PAUSED"}
    refused = await asyncio.to_thread(platform.try_cli, "partitions", "raise", "7", "--yes")
    assert refused.returncode == 1
    assert "raise to 5 is under way" in refused.stderr
    basket, key = await buyer.basket(), str(uuid.uuid4())
    headers = {"Idempotency-Key": key}
    url = f"{shop.workers[0]}/api/payments/create-intent"
    answer = await shop.request("POST", url, json=basket, **headers)
    assert (answer.status, answer.body["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await buyer.look())["status"] == "PENDING", "reads go on"
    await asyncio.to_thread(platform.run_cli, "partitions", "abandon", "--yes")
    await shop.ends(await shop.buyer().place(), UNPAID)
    names = {record.topic for record in await asyncio.to_thread(Topics(platform.bootstrap).read)}
    assert not [name for name in names if ".g2" in name]
    shown = json.loads(await asyncio.to_thread(platform.run_cli, "partitions", "show", "--json"))
    assert (shown["generation"], shown["partitions"], shown["underWay"]) == (1, BEFORE, None)


async def test_a_raise_is_killed_and_gone_on_with_under_traffic(
    platform: Platform, shop: Shop
) -> None:
    unpaid, paid, ended, cooked = [await shop.buyer().place() for _ in range(4)]
    for buyer in (paid, ended, cooked):
        await buyer.pay()
    await ended.cancel_order()
    async with Staff(shop.workers[0], "kitchen", "k", await restaurant_of(cooked)) as kitchen:
        await kitchen.kitchen(cooked.order_id, "accept")
    key = str(uuid.uuid4())
    first = await paid.cancel(key)
    for buyer, ending in ((unpaid, UNPAID), (paid, REFUNDED), (ended, REFUNDED)):
        await shop.ends(buyer, ending)
    placed: list[Buyer] = []
    is_over = asyncio.Event()
    traffic = asyncio.create_task(keep_ordering(shop, placed, is_over))
    await kill_at(platform, RaiseState.COPYING)
    platform.workers[0].kill()
    await kill_at(platform, RaiseState.COPYING, 0.5)
    await kill_at(platform, RaiseState.PAUSED)
    platform.workers[1].kill()
    await kill_at(platform, RaiseState.PAUSED, 2.5)
    process = begin_raise(platform)
    said, shown = await asyncio.to_thread(process.communicate, None, WITHIN_S)
    # The kills may have come too late: then the platform has gone over already.
    assert process.returncode == 0 or "only more than that" in shown, shown
    await asyncio.to_thread(platform.wait_ready)
    now = json.loads(await asyncio.to_thread(platform.run_cli, "partitions", "show", "--json"))
    assert (now["partitions"], now["underWay"]) == (AFTER, None), said
    print(said)  # noqa: T201 -- the pause, shown with -rP
    is_over.set()
    await traffic
    assert placed
    shop.topics.suffix = f".g{now['generation']}"  # type: ignore[attr-defined]
    repeated = await paid.cancel(key)
    assert (repeated["orderId"], repeated["status"]) == (first["orderId"], "REFUNDED"), (
        "nothing happens"
    )
    for buyer, ending in ((unpaid, UNPAID), (paid, REFUNDED), (ended, REFUNDED)):
        await shop.ends(buyer, ending)
    await unpaid.pay()
    await shop.ends(unpaid, PAID)
    async with Staff(shop.workers[1], "kitchen", "k", await restaurant_of(cooked)) as kitchen:
        await kitchen.kitchen(cooked.order_id, "start-preparing")
        await kitchen.kitchen(cooked.order_id, "ready")
    async with Staff(shop.workers[1], "courier", "c1") as courier:
        for step in ("assign", "pick-up", "deliver"):
            await courier.deliver(cooked.order_id, step)
    await cooked.wait_status("DELIVERED")
    for buyer in placed:
        await shop.ends(buyer, PAID)
    old = placed[0]
    await old.cancel_order()
    await shop.ends(old, REFUNDED)
    await check_all(platform, shop, placed)
    assert now["generation"] >= 3, "the first one was undone"


async def check_all(platform: Platform, shop: Shop, placed: list[Buyer]) -> None:
    """All records, the tables against the events, this build against what was decided, and the money."""
    records = await asyncio.to_thread(shop.topics.read)
    kafka_invariants.check([r for r in records if r.key and ".g" not in r.topic])
    proof = await asyncio.to_thread(platform.run_cli, "audit", "rebuild", "--json")
    assert json.loads(proof)["differences"] == []
    told = json.loads(await asyncio.to_thread(platform.run_cli, "rehearse", "--json"))
    assert told["differing"] == 0, told
    at_stripe = await shop.stripe.ledger()
    assert all(len(at_stripe[buyer.order_id]) == 1 for buyer in placed)


async def restaurant_of(buyer: Buyer) -> str:
    """The restaurant that an order is from."""
    return str((await buyer.look())["restaurant"]["id"])
