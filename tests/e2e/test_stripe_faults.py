"""Stripe that is slow, silent, broken or overloaded, before and after the effect: the truth, once."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.card_numbers import DECLINED, VISA
from tests.e2e.shop import CANCELLED, FAILED, PAID, REFUNDED, UNPAID, Buyer, Shop
from tests.support.kafka_invariants import payment_events

KINDS = (
    "timeout_before", "timeout_after", "error_500_before", "error_500_after", "rate_limit",
    "drop_before", "drop_after",
)  # fmt: skip


async def meet(shop: Shop, buyer: Buyer, kind: str, effect: str) -> str:
    """Set a fault for the first request of an effect of this customer's order."""
    key = f"^pi:{buyer.expected_id}:" if effect == "pi" else f"^{effect}:{buyer.payment_id}:"
    return await shop.stripe.fault(kind, key)


async def create(shop: Shop, kind: str) -> None:
    buyer = shop.buyer()
    fault = await meet(shop, buyer, kind, "pi")
    await buyer.place()
    await shop.ends(buyer, UNPAID)
    assert await shop.stripe.hits(fault) == 1


async def confirm(shop: Shop, kind: str) -> None:
    buyer = await shop.buyer().place()
    fault = await meet(shop, buyer, kind, "confirm")
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    await shop.ends(buyer, PAID)
    assert await shop.stripe.hits(fault) == 1


async def decline(shop: Shop, kind: str) -> None:
    buyer = await shop.buyer().place()
    fault = await meet(shop, buyer, kind, "confirm")
    assert (await buyer.pay(DECLINED))["status"] == "FAILED"
    records = await shop.ends(buyer, FAILED)
    reasons = [e["data"].get("failureReason") for e in payment_events(records)]
    assert reasons[-1] == "generic_decline"
    assert (await shop.stripe.ledger())[buyer.order_id][0]["charges"]["failed"] == 1
    assert await shop.stripe.hits(fault) == 1


async def cancel(shop: Shop, kind: str) -> None:
    buyer = await shop.buyer().place()
    fault = await meet(shop, buyer, kind, "cancel")
    await buyer.cancel_order()
    await shop.ends(buyer, CANCELLED)
    assert await shop.stripe.hits(fault) == 1


@pytest.mark.parametrize("operation", [create, confirm, decline, cancel], ids=lambda f: f.__name__)
async def test_every_fault_of_a_write(shop: Shop, operation: object) -> None:
    """All faults side by side, each met by an order of its own."""
    assert callable(operation)
    await asyncio.gather(*(operation(shop, kind) for kind in KINDS))


async def test_every_fault_of_a_refund(shop: Shop) -> None:
    """A refund's key does not name its order: so many orders, so many faults, each met by one of them."""
    buyers = await asyncio.gather(*(_paid(shop) for _ in KINDS))
    faults = [await shop.stripe.fault(kind, "^refund:") for kind in KINDS]
    await asyncio.gather(*(buyer.cancel_order() for buyer in buyers))
    await asyncio.gather(*(shop.ends(buyer, REFUNDED) for buyer in buyers))
    assert [await shop.stripe.hits(fault) for fault in faults] == [1] * len(faults)


async def _paid(shop: Shop) -> Buyer:
    buyer = await shop.buyer().place()
    await buyer.pay(VISA)
    await buyer.wait_status("PENDING")
    return buyer


async def test_a_confirm_that_fails_again_and_again(shop: Shop) -> None:
    """Each way to fail once, one after the other, for the same attempt."""
    buyer = await shop.buyer().place()
    faults = [await meet(shop, buyer, kind, "confirm") for kind in KINDS if "after" not in kind]
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    await shop.ends(buyer, PAID)
    assert [await shop.stripe.hits(fault) for fault in faults] == [1] * len(faults)
    sent = await shop.stripe.requests(f"confirm:{buyer.payment_id}:1:")
    assert {entry["idempotency_key"].rsplit(":", 1)[1] for entry in sent} == {"1", "2"}
