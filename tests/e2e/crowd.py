"""Many customers at once with a seeded mix of fates, while something is killed: each order ends right."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sandbox.card_numbers import DECLINED, INSUFFICIENT_FUNDS, THREE_D_SECURE, VISA
from tests.e2e.shop import CANCELLED, FAILED, PAID, REFUNDED, UNPAID, Buyer, Ending, Shop
from tests.support import kafka_invariants

FAULTS = (
    "timeout_before", "timeout_after", "error_500_before", "error_500_after", "rate_limit",
    "drop_before", "drop_after", "latency",
)  # fmt: skip
AT_ONCE = 8


@dataclass(frozen=True)
class CustomerPlan:
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


CUSTOMER_PLANS = (
    CustomerPlan(_pay, PAID, 6),
    CustomerPlan(_retry, PAID, 3),
    CustomerPlan(_pay_and_cancel, REFUNDED, 3),
    CustomerPlan(_authenticate, PAID, 2),
    CustomerPlan(_abandon_and_pay, PAID, 2),
    CustomerPlan(_cancel, CANCELLED, 2),
    CustomerPlan(_be_declined, FAILED, 1),
    CustomerPlan(_leave, UNPAID, 1),
)


async def _play(
    shop: Shop, fate: CustomerPlan, faults: list[tuple[str, str]], doors: asyncio.Semaphore
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


Killer = Callable[[asyncio.Event, list[int]], Coroutine[Any, Any, None]]
"""Kills until the event is set, and notes what."""


async def run_crowd(shop: Shop, orders: int, rnd: random.Random, kill: Killer) -> None:
    """Have so many customers play their fates meanwhile; then look at each order, from outside."""
    fates = rnd.choices(CUSTOMER_PLANS, [fate.weight for fate in CUSTOMER_PLANS], k=orders)
    faults = [
        [(rnd.choice(FAULTS), rnd.choice(["pi", "confirm"]))] if rnd.random() < 0.3 else []
        for _ in range(orders)
    ]
    doors, is_over, kills = asyncio.Semaphore(AT_ONCE), asyncio.Event(), list[int]()
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kill(is_over, kills))
        playing = [
            group.create_task(_play(shop, fate, each, doors))
            for fate, each in zip(fates, faults, strict=True)
        ]
        buyers = await asyncio.gather(*playing)
        is_over.set()
        await killing
    assert len(kills) > 1, "they died again and again"
    for buyer, fate in zip(buyers, fates, strict=True):
        await shop.ends(buyer, fate.ending)
    records = await shop.records(*buyers)
    kafka_invariants.check(records)
    completed = Counter(
        event["orderId"] for event in kafka_invariants.events(records, "payment-completed")
    )
    paid = {b.order_id for b, f in zip(buyers, fates, strict=True) if f.ending.charges}
    assert completed == dict.fromkeys(paid, 1)
