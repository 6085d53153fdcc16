"""Workers that die at the worst moments, or lose their disk: one charge, and the order ends right."""

from __future__ import annotations

import asyncio
import shutil
import signal

import pytest

from sandbox.card_numbers import VISA
from sandbox.processes import MAX_WAIT_S
from tests.e2e.shop import CANCELLED, PAID, REFUNDED, UNPAID, Buyer, Shop
from tests.support.kafka_invariants import payment_events, types
from tests.support.waiting import until


async def kill_owner(shop: Shop, buyer: Buyer) -> int:
    """SIGKILL the worker that owns the order; gives its number."""
    number = await shop.owner(buyer)
    worker = shop.platform.workers[number]
    ended = len(worker.exits)
    worker.kill()
    await asyncio.to_thread(worker.wait_exits, ended + 1, timeout_s=MAX_WAIT_S)
    assert worker.exits[ended] == -signal.SIGKILL
    return number


async def processing(shop: Shop, buyer: Buyer) -> None:
    """Wait until the world knows that the payment is being processed."""

    async def is_told() -> bool:
        return "PAYMENT_PROCESSING" in types(payment_events(await shop.records(buyer)))

    await until(is_told, "PAYMENT_PROCESSING")


@pytest.mark.parametrize(
    "kind", ["timeout_before", "timeout_after", "hold"], ids=["not-done", "done", "done-later"]
)
async def test_owner_dies_while_stripe_confirms(shop: Shop, kind: str) -> None:
    """Between PROCESSING and our record of Stripe's answer, whether Stripe has acted or not."""
    buyer = await shop.buyer().place()
    await shop.stripe.rule("lose", await buyer.intent())  # nothing but ourselves can find it out
    fault = await shop.stripe.fault(kind, f"^confirm:{buyer.payment_id}:")
    paying = asyncio.create_task(buyer.pay(VISA))
    await shop.stripe.met(fault)
    await processing(shop, buyer)
    await kill_owner(shop, buyer)
    if kind == "hold":
        await shop.stripe.release(fault)
    assert (await paying)["status"] == "COMPLETED"
    records = await shop.ends(buyer, PAID)
    told = types(payment_events(records))
    assert told == ["PAYMENT_INITIATED", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED"]


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after"], ids=["not-done", "done"])
@pytest.mark.parametrize("effect", ["pi", "cancel", "refund"])
async def test_owner_dies_during_another_write(shop: Shop, kind: str, effect: str) -> None:
    buyer = shop.buyer()
    names = {"pi": f"^pi:{buyer.expected_id}:", "cancel": f"^cancel:{buyer.payment_id}:"}
    if effect == "pi":
        fault = await shop.stripe.fault(kind, names["pi"])
        placing = asyncio.create_task(buyer.place())
        await shop.stripe.met(fault)
        await kill_owner(shop, buyer)
        await placing
        await shop.ends(buyer, UNPAID)
        return
    await buyer.place()
    if effect == "refund":
        await buyer.pay(VISA)
        await buyer.wait_status("PENDING")
    fault = await shop.stripe.fault(kind, names.get(effect, "^refund:"))
    await buyer.cancel_order()
    await shop.stripe.met(fault)
    await kill_owner(shop, buyer)
    await shop.ends(buyer, REFUNDED if effect == "refund" else CANCELLED)


async def test_worker_loses_its_disk(shop: Shop) -> None:
    """It builds its tables from their changelogs; its orders are there as they were."""
    buyers = await asyncio.gather(*(shop.buyer().place() for _ in range(6)))
    await asyncio.gather(*(buyer.pay(VISA) for buyer in buyers))
    await asyncio.gather(*(shop.ends(buyer, PAID) for buyer in buyers))
    owners = [await shop.owner(buyer) for buyer in buyers]
    number = owners[0]
    before = {buyer.order_id: await buyer.look() for buyer in buyers}
    worker = shop.platform.workers[number]
    worker.kill()
    await asyncio.to_thread(worker.terminate)
    folder = shop.platform.data_dir(number)
    assert any(folder.rglob("*.sst")) or any(folder.rglob("*.log"))
    shutil.rmtree(folder)
    worker.start()
    await asyncio.to_thread(shop.platform.wait_ready)
    # The others go, so that whatever is answered now was built anew.
    others = [n for n in range(len(shop.workers)) if n != number]
    for other in others:
        await asyncio.to_thread(shop.platform.workers[other].terminate)
    try:
        for buyer in buyers:
            buyer.go_to(shop.workers[number])
            view = await buyer.until(buyer.look, "an order at the wiped worker")
            assert view["status"] == before[buyer.order_id]["status"]
            assert view["payment"] == before[buyer.order_id]["payment"]
            assert view["contact"] == before[buyer.order_id]["contact"]
        assert len(await buyers[0].until(buyers[0].timeline, "its timeline")) > 5
    finally:
        for other in others:
            shop.platform.workers[other].start()
        await asyncio.to_thread(shop.platform.wait_ready)


async def test_all_workers_die_at_once(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    fault = await shop.stripe.fault("timeout_after", f"^confirm:{buyer.payment_id}:")
    paying = asyncio.create_task(buyer.pay(VISA))
    await shop.stripe.met(fault)
    for worker in shop.platform.workers:
        worker.kill()
    assert (await paying)["status"] == "COMPLETED"
    await shop.ends(buyer, PAID)
