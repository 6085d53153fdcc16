"""More orders than a platform takes on: some are refused, and none that is taken is lost."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from sandbox.staff import Staff
from tests.support.platforms import PATIENT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 40
"""Customers of a wave: many times what a worker that refuses beyond 20 ms takes on."""
SETTINGS = {
    **PATIENT, "TIFFIN_ADMISSION_MAX_DELAY_S": "0.02", "TIFFIN_STRIPE_RATE_PER_S": "500",
}  # fmt: skip


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("overload")
    with Platform(folder, workers=2, settings=SETTINGS) as running:
        yield running


async def test_a_flood_is_refused_in_part_and_every_order_that_was_taken_is_paid(
    platform: Platform,
) -> None:
    web, stripe = platform.endpoints.workers[0], platform.endpoints.stripe
    statuses: Counter[int] = Counter()
    taken: list[dict[str, Any]] = []
    async with (
        Customer(web, stripe) as visitor,
        Staff(web, "operator", "olga") as operator,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=MAX_WAIT_S)) as http,
        asyncio.timeout(MAX_WAIT_S),
    ):
        basket = await visitor.basket()

        async def order(number: int) -> None:
            worker = platform.endpoints.workers[number % 2]
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            url = f"{worker}/api/payments/create-intent"
            async with http.post(url, json=basket, headers=headers) as response:
                answer = await response.json(content_type=None)
                statuses[response.status] += 1
                if response.status == 201:
                    taken.append(answer)
                    return
                assert (response.status, answer["code"]) == (503, "OVERLOADED"), answer
                assert 1 <= int(response.headers["Retry-After"]) <= 10

        while statuses[503] < AT_ONCE or len(taken) < AT_ONCE:
            wave = asyncio.gather(*map(order, range(AT_ONCE)))
            overview = await operator.get("/api/ops/overview")
            assert overview["workers"], "operators are served meanwhile"
            await wave

        paying = asyncio.Semaphore(4)

        async def pay(order: dict[str, Any]) -> None:
            body = {"orderId": order["orderId"], "paymentMethodId": "pm_card_visa"}
            headers = {"Authorization": f"Bearer {order['orderToken']}"}
            key = str(uuid.uuid4())

            async def paid() -> bool:
                url = f"{web}/api/payments/confirm"
                sent = {**headers, "Idempotency-Key": key}
                async with http.post(url, json=body, headers=sent) as response:
                    answer = await response.json(content_type=None)
                    return response.status == 200 and answer["status"] == "COMPLETED"

            async with paying:
                await until(paid, "the payment")
            url = f"{web}/api/orders/{order['orderId']}"

            async def is_placed() -> bool:
                async with http.get(url, headers=headers) as response:
                    return bool((await response.json())["status"] == "PENDING")

            await until(is_placed, "the order to be paid")

        await asyncio.gather(*map(pay, taken))

        async def webhooks_are_taken() -> bool:
            async with http.get(f"{platform.endpoints.control}/webhooks/undelivered") as response:
                return not await response.json()

        await until(webhooks_are_taken, "every webhook to be taken")
        async with http.get(f"{web}/metrics") as response:
            assert (
                'tiffin_admission_total{result="refused",work="NEW_ORDER"}' in await response.text()
            )
