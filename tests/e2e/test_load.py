"""Many customers at once with a seeded mix of fates, while workers are killed: each order ends right."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from sandbox.customer import DECLINED, VISA
from tests.e2e import outside
from tests.e2e.shop import CANCELLED, FAILED, PAID, REFUNDED, UNPAID, Buyer, Ending, Shop, until

THREE_D_SECURE = "4000000000003220"
INSUFFICIENT_FUNDS = "4000000000009995"
FAULTS = (
    "timeout_before", "timeout_after", "error_500_before", "error_500_after", "rate_limit",
    "drop_before", "drop_after", "latency",
)  # fmt: skip
AT_ONCE = 8


@dataclass(frozen=True)
class Fate:
    """What a customer does after the order is placed, how that ends, and how often it is drawn."""

    play: Callable[[Buyer], Awaitable[None]]
    ending: Ending
    weight: int


async def _leave(_: Buyer) -> None:
    """Close the page without paying."""


async def _pay(buyer: Buyer) -> None:
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"


async def _be_declined(buyer: Buyer) -> None:
    assert (await buyer.pay(INSUFFICIENT_FUNDS))["status"] == "FAILED"


async def _retry(buyer: Buyer) -> None:
    assert (await buyer.pay(DECLINED))["status"] == "FAILED"
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"


async def _cancel(buyer: Buyer) -> None:
    await buyer.cancel_order()


async def _pay_and_cancel(buyer: Buyer) -> None:
    await _pay(buyer)
    await buyer.wait_status("PENDING")
    await buyer.cancel_order()


async def _authenticate(buyer: Buyer) -> None:
    assert (await buyer.pay(THREE_D_SECURE))["status"] == "REQUIRES_ACTION"
    await buyer.control.three_d_secure(await buyer.intent(), "succeed")


async def _abandon_and_pay(buyer: Buyer) -> None:
    await buyer.pay(THREE_D_SECURE)
    await _pay(buyer)


FATES = (
    Fate(_pay, PAID, 6),
    Fate(_retry, PAID, 3),
    Fate(_pay_and_cancel, REFUNDED, 3),
    Fate(_authenticate, PAID, 2),
    Fate(_abandon_and_pay, PAID, 2),
    Fate(_cancel, CANCELLED, 2),
    Fate(_be_declined, FAILED, 1),
    Fate(_leave, UNPAID, 1),
)


async def play(
    shop: Shop, fate: Fate, faults: list[tuple[str, str]], doors: asyncio.Semaphore
) -> Buyer:
    """One customer, from the menu to the end that the fate has."""
    buyer = shop.buyer()
    keys = {"pi": f"^pi:{buyer.expected_id}:", "confirm": f"^confirm:{buyer.payment_id}:"}
    armed = {effect: await shop.stripe.fault(kind, keys[effect]) for kind, effect in faults}
    async with doors:
        await buyer.place()
        await fate.play(buyer)
    for effect, fault in armed.items():
        if effect == "pi" or fate.play not in {_leave, _cancel}:
            assert await shop.stripe.hits(fault) == 1
    return buyer


async def kill_now_and_then(
    shop: Shop, rnd: random.Random, is_over: asyncio.Event, done: list[int]
) -> None:
    """SIGKILL one worker after the other, the next one when all are ready again and have worked."""
    while not is_over.is_set():
        killed = rnd.randrange(len(shop.workers))
        shop.platform.workers[killed].kill()
        done.append(killed)
        await asyncio.to_thread(shop.platform.wait_ready, 120)
        before = len(await asyncio.to_thread(shop.topics.read))

        async def has_worked(before: int = before) -> bool:
            records = await asyncio.to_thread(shop.topics.read)
            return is_over.is_set() or len(records) > before + 200

        await until(has_worked, "the workers to have worked", within_s=300)


@pytest.mark.parametrize(
    ("orders", "seed"),
    [
        pytest.param(60, 1, id="short", marks=pytest.mark.timeout(600)),
        pytest.param(1_500, 2, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
async def test_every_order_ends_right_while_workers_die(shop: Shop, orders: int, seed: int) -> None:
    rnd = random.Random(seed)
    fates = rnd.choices(FATES, [fate.weight for fate in FATES], k=orders)
    faults = [
        [(rnd.choice(FAULTS), rnd.choice(["pi", "confirm"]))] if rnd.random() < 0.3 else []
        for _ in range(orders)
    ]
    doors, is_over, kills = asyncio.Semaphore(AT_ONCE), asyncio.Event(), list[int]()
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kill_now_and_then(shop, rnd, is_over, kills))
        playing = [
            group.create_task(play(shop, fate, each, doors))
            for fate, each in zip(fates, faults, strict=True)
        ]
        buyers = await asyncio.gather(*playing)
        is_over.set()
        await killing
    assert len(kills) > 1, "workers died again and again"
    for buyer, fate in zip(buyers, fates, strict=True):
        await shop.ends(buyer, fate.ending)
    records = await shop.records(*buyers)
    outside.check(records)
    completed = Counter(event["orderId"] for event in outside.events(records, "payment-completed"))
    paid = {b.order_id for b, f in zip(buyers, fates, strict=True) if f.ending.charges}
    assert completed == dict.fromkeys(paid, 1)
