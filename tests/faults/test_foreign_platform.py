"""Producers that are not ours write into every topic of the whole platform, and orders are paid."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aiokafka.partitioner import murmur2

from agents import services
from agents.service import topic_uses
from models.topics import DEAD_LETTERS, RECONCILIATION
from sandbox.api_client import ApiClient
from sandbox.card_numbers import VISA
from sandbox.platform import Platform
from sandbox.processes import wait_until
from sandbox.staff import Staff
from tests.e2e.expected_topics import PARTITIONS, READERS, SERVICES
from tests.e2e.shop import Buyer, Shop
from tests.foreign.attack import Attack
from tests.foreign.kinds import STOPPING
from tests.support.platforms import IMPATIENT_WITH_STRIPE
from tests.support.waiting import WITHIN_S, until

APP = "tiffin"
NAMED_WITHIN_S = 240
PAGES = ["/ops", "/ops/dead-letters", "/ops/lag", "/ops/reconciliation", "/ops/audit"]
READS = [
    "/api/ops/overview", "/api/ops/stuck", "/api/ops/dead-letters", "/api/ops/lag",
    "/api/ops/reconciliation", "/api/ops/audit", "/api/reports/payments",
]  # fmt: skip

LENGTHS = [
    pytest.param(False, id="short"),
    pytest.param(True, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]
"""Whether every kind goes into every topic, or each into one."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Of this file's own, for it is left with what no client reads in its topics."""
    folder = tmp_path_factory.mktemp("foreign")
    with (
        pytest.MonkeyPatch.context() as patch,
        Platform(folder, workers=2, settings=IMPATIENT_WITH_STRIPE, settle_delay_s=-1) as running,
    ):
        patch.setattr(ApiClient, "max_wait_s", WITHIN_S)
        for worker in running.workers:
            worker.exits.clear()  # of a start that a busy machine made it repeat
        yield running


@pytest.fixture(scope="module")
def attack(platform: Platform) -> Attack:
    assert {use.topic.name for use in topic_uses(services()) if use.read_by} == set(READERS)
    changelogs = {f"{APP}-{service}-changelog": PARTITIONS for service in SERVICES}
    attack = Attack(
        platform.bootstrap, READERS, changelogs | {DEAD_LETTERS: 1, RECONCILIATION: 1},
        partitions=PARTITIONS, dead_letters=DEAD_LETTERS,
    )  # fmt: skip
    attack.take_any_time()
    return attack


@pytest.fixture
async def shop(platform: Platform) -> AsyncIterator[Shop]:
    """Without the outside reader of topics: it would not get past what is put there."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
        topics: Any = None
        yield Shop(platform, topics, session)


def partition_of(buyer: Buyer) -> int:
    return int((murmur2(buyer.expected_id.encode()) & 0x7FFFFFFF) % PARTITIONS)


def buyers(shop: Shop, among: set[int]) -> list[Buyer]:
    """Customers whose orders lie in each of these partitions."""
    found: dict[int, Buyer] = {}
    while found.keys() != among:
        buyer = shop.buyer()
        if partition_of(buyer) in among:
            found[partition_of(buyer)] = buyer
    return list(found.values())


async def orders_are_paid(shop: Shop, among: set[int]) -> Buyer:
    """One in each of these partitions; gives one of their customers."""

    async def pay(buyer: Buyer) -> None:
        await buyer.place()
        assert (await buyer.pay(VISA))["status"] == "COMPLETED"
        await buyer.wait_status("PENDING")

    paying = buyers(shop, among)
    await asyncio.gather(*map(pay, paying))
    return paying[0]


async def paid_until(shop: Shop, is_over: asyncio.Event) -> int:
    """Have orders paid in all partitions until something is over; gives how often."""
    for times in itertools.count():
        if is_over.is_set() and times:
            return times
        await orders_are_paid(shop, set(range(PARTITIONS)))
    raise AssertionError


def pids(platform: Platform) -> list[int | None]:
    return [worker.pid for worker in platform.workers]


def stay(platform: Platform) -> None:
    """No worker has ended; else say what it said last."""
    for worker in platform.workers:
        assert not worker.exits, f"{worker.name} ended with {worker.exits}\n{worker.log_tail(80)}"


def put_foreign(attack: Attack, platform: Platform, everything: bool) -> None:
    """Write into all inputs, and wait until each record is named by each of its readers."""
    attack.put_into_all(everything=everything)
    attack.put_into_own(everything=everything)
    stay(platform)
    attack.send_junk()
    deadline = time.monotonic() + NAMED_WITHIN_S
    while unnamed := attack.unnamed():
        stay(platform)
        assert time.monotonic() < deadline, (
            f"{len(unnamed)} are named by no dead letter, as {sorted(unnamed.items())[:5]}: "
            f"{set(unnamed.values())}"
        )
        time.sleep(0.5)
    assert not attack.invented()


async def operators_see(shop: Shop, buyer: Buyer) -> None:
    """Every page and read of Operations answers, at every worker; a busy one may say "not yet" at first."""
    paths = (*READS, f"/api/orders/{buyer.order_id}/timeline", *PAGES)
    left = {(url, path) for url in shop.workers for path in paths}
    said: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        tokens = {}
        for url in shop.workers:
            operator = await stack.enter_async_context(Staff(url, "operator", "olga"))
            tokens[url] = f"Bearer {operator.token}"

        async def see() -> bool:
            for url, path in sorted(left):
                answer = await shop.request("GET", url + path, Authorization=tokens[url])
                assert answer.status in {200, 303, 503, 504}, f"{path}: {answer}"
                if answer.status < 400:
                    left.discard((url, path))
                else:
                    said[path] = answer.body
            return not left

        try:
            await until(see, "Operations")
        except TimeoutError:
            raise AssertionError({path: said[path] for _, path in left}) from None


@pytest.mark.parametrize("everything", LENGTHS)
async def test_what_others_send_ends_no_worker_and_stops_no_order(
    platform: Platform, shop: Shop, attack: Attack, everything: bool
) -> None:
    before = pids(platform)
    await orders_are_paid(shop, set(range(PARTITIONS)))
    is_over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        paying = group.create_task(paid_until(shop, is_over))
        await asyncio.to_thread(put_foreign, attack, platform, everything)
        is_over.set()
    assert paying.result() > 0
    last = await orders_are_paid(shop, set(range(PARTITIONS)))
    await operators_see(shop, last)
    stay(platform)
    assert pids(platform) == before


@pytest.mark.parametrize("everything", LENGTHS)
async def test_a_worker_that_starts_anew_reads_its_tables_in_spite_of_it(
    platform: Platform, shop: Shop, attack: Attack, everything: bool
) -> None:
    await asyncio.to_thread(attack.put_into_own, everything=everything)
    victim, *others = platform.workers
    victim.exits.clear()  # of the same test in its short form
    shutil.rmtree(platform.data_dir(0))
    victim.kill()
    await asyncio.to_thread(victim.wait_exits, 1, timeout_s=30)
    await asyncio.to_thread(platform.wait_ready, WITHIN_S)
    last = await orders_are_paid(shop, set(range(PARTITIONS)))
    await operators_see(shop, last)
    assert len(victim.exits) == 1
    assert not any(worker.exits for worker in others)


async def test_a_batch_that_nobody_can_read_stops_one_partition_until_it_is_skipped(
    platform: Platform, shop: Shop, attack: Attack
) -> None:
    before = pids(platform)
    name, batch = next(iter(STOPPING.items()))
    offset = attack.put("payment-commands", 1, name, batch)
    place = ("payment-commands", "1", str(offset))

    def told() -> list[str]:
        answers = [_readyz(url) for url in shop.workers]
        return [text for text in answers if all(part in text for part in place)]

    await asyncio.to_thread(wait_until, lambda: bool(told()), f"{place} on /readyz", timeout_s=60)
    await orders_are_paid(shop, {0, 2})
    waiting = asyncio.create_task(orders_are_paid(shop, {1}))
    skip = ("skip", *place, "--reason", "cannot be read", "--yes")
    await asyncio.to_thread(platform.run_cli, *skip, "--dry-run")
    assert told()
    await asyncio.to_thread(platform.run_cli, *skip)
    await waiting
    await asyncio.to_thread(platform.wait_ready, WITHIN_S)
    assert not told()
    assert pids(platform) == before


def _readyz(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as answer:
        return answer.read().decode()
