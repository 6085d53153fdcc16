"""A restaurant's takings on the kitchen's page are what Stripe's ledger says, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from datetime import datetime
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from app.settings import SANDBOX_TOKEN_KEY
from sandbox.card_numbers import VISA
from sandbox.processes import MAX_WAIT_S
from tests.e2e.shop import PAID, REFUNDED, Buyer, Shop
from tests.support.waiting import until
from web.http.tokens import DevelopmentStaff, Role
from web.pages.formats import money_text

RESTAURANT, CURRENCY, ZONE = "petra-amman", "JOD", ZoneInfo("Asia/Amman")
"""Of no other test here."""
TOPIC = "restaurant-takings"


async def shown(shop: Shop, worker: int, page: str = "takings") -> tuple[str, ...]:
    """Paid orders, taken, refunded and net of today as the page has them; () while they are not known."""
    staff = DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True)
    token = staff.issue(Role.KITCHEN, "k", RESTAURANT)
    url = f"{shop.workers[worker]}/kitchen/{page}"
    answer = await shop.request("GET", url, Authorization=f"Bearer {token}", Accept="text/html")
    assert answer.status == 200, answer.body
    return tuple(re.findall(r'<dd class="num[^"]*">([^<]*)</dd>', unescape(answer.body.decode())))


async def test_the_figures_equal_stripes_ledger_through_crashes(shop: Shop) -> None:
    day = datetime.now(ZONE).date()
    buyers = [shop.buyer(restaurant=RESTAURANT) for _ in range(6)]

    async def buy(buyer: Buyer) -> None:
        await buyer.place()
        assert (await buyer.pay(VISA))["status"] == "COMPLETED"

    await asyncio.gather(*map(buy, buyers[:3]))
    await buyers[0].wait_status("PENDING")
    await buyers[0].cancel_order()
    for number in (0, 1):
        worker = shop.platform.workers[number]
        ended = len(worker.exits)
        worker.kill()
        await asyncio.to_thread(worker.wait_exits, ended + 1, timeout_s=MAX_WAIT_S)
        await asyncio.gather(*map(buy, buyers[3 + number : 4 + number]))
        await asyncio.to_thread(shop.platform.wait_ready)
    await buy(buyers[5])
    await buyers[4].wait_status("PENDING")
    await buyers[4].cancel_order()
    for buyer in buyers:
        await shop.ends(buyer, REFUNDED if buyer in {buyers[0], buyers[4]} else PAID)

    ledger = await shop.stripe.ledger()
    at_stripe = [ledger[buyer.order_id][0] for buyer in buyers]
    gross = sum(each["captured"] for each in at_stripe)
    refunded = sum(each["refunded"] for each in at_stripe)
    amounts = (money_text(amount, CURRENCY) for amount in (gross, refunded, gross - refunded))
    expected = ("6", *amounts)
    if datetime.now(ZONE).date() != day:
        pytest.skip("it has become midnight in Amman: what was taken is on two pages")
    for at in range(len(shop.workers)):

        async def is_shown(number: int = at) -> bool:
            return await shown(shop, number) == expected

        await until(is_shown, f"{expected} at worker {at}")
        assert await shown(shop, at, "history") == expected

    told = defaultdict(set)
    for record in await asyncio.to_thread(shop.topics.read):
        if record.topic == TOPIC and record.key == RESTAURANT:
            told[record.body["orderId"]].add(record.headers["tiffin-source"])
    assert {order: len(sources) for order, sources in told.items()} == {
        buyer.order_id: 1 + (buyer in {buyers[0], buyers[4]}) for buyer in buyers
    }, "one record of an order that is paid, and one of its refund"
