"""A crowd of customers while workers are killed."""

from __future__ import annotations

import asyncio
import random

import pytest

from sandbox.processes import MAX_WAIT_S
from tests.e2e.crowd import run_crowd
from tests.e2e.shop import Shop
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("orders", "seed"),
    [
        pytest.param(40, 1, id="short"),
        pytest.param(1_500, 2, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
async def test_every_order_ends_right_while_workers_die(shop: Shop, orders: int, seed: int) -> None:
    rnd = random.Random(seed)

    async def kill(is_over: asyncio.Event, done: list[int]) -> None:
        """SIGKILL one worker after the other, the next when all are ready again and have worked."""
        while not is_over.is_set():
            killed = rnd.randrange(len(shop.workers))
            shop.platform.workers[killed].kill()
            done.append(killed)
            await asyncio.to_thread(shop.platform.wait_ready)
            before = len(await asyncio.to_thread(shop.topics.read))

            async def has_worked(before: int = before) -> bool:
                records = await asyncio.to_thread(shop.topics.read)
                return is_over.is_set() or len(records) > before + 200

            await until(has_worked, "the workers to have worked", within_s=MAX_WAIT_S)

    await run_crowd(shop, orders, rnd, kill)
