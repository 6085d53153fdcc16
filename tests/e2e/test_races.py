"""Confirms, cancels and webhooks that overtake each other: the truth wins, once."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.card_numbers import DECLINED, REFUND_PENDING, THREE_D_SECURE, VISA
from tests.e2e.shop import CANCELLED, FAILED, PAID, REFUNDED, Buyer, Ending, Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record, payment_events, types
from tests.support.waiting import until

BANK = {"paymentMethodId": "pm_usBankAccount_success"}
DOLLARS = "blue-door-brooklyn"
ONE_ATTEMPT = ["PAYMENT_INITIATED", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED"]
TWO_ATTEMPTS = [*ONE_ATTEMPT[:2], "PAYMENT_FAILED", *ONE_ATTEMPT[1:]]
PAID_AND_REFUNDED = [*ONE_ATTEMPT, "PAYMENT_REFUNDED"]


def told(records: list[Record]) -> list[str]:
    """Types of the payment's events, first occurrences."""
    return types(payment_events(records))


async def applied(shop: Shop, buyer: Buyer, event_type: str, times: int = 1) -> None:
    """Wait until payments has decided so many Stripe events of a type about the order."""

    async def are_noted() -> bool:
        audit = kafka_invariants.events(await shop.records(buyer), kafka_invariants.AUDIT)
        noted = [e["data"] for e in audit if e["eventType"] == "WEBHOOK_RECEIVED"]
        return sum(each["stripeEventType"] == event_type for each in noted) >= times

    await until(are_noted, f"{event_type} to be decided")


async def happened(shop: Shop, buyer: Buyer, event: str) -> None:
    """Wait until payment-events has an event of the order."""

    async def has_it() -> bool:
        return event in told(await shop.records(buyer))

    await until(has_it, event)


@pytest.mark.parametrize(
    ("card", "ending", "events"),
    [(VISA, PAID, ONE_ATTEMPT), (DECLINED, FAILED, TWO_ATTEMPTS[:3])],
    ids=["success", "decline"],
)
async def test_webhook_overtakes_the_answer_of_its_confirm(
    shop: Shop, card: str, ending: Ending, events: list[str]
) -> None:
    """Stripe acts at once but its answer never comes; the webhook is there long before we give up."""
    buyer = await shop.buyer().place()
    await shop.stripe.rule("duplicate", await buyer.intent(), copies=3)
    fault = await shop.stripe.fault("timeout_after", f"^confirm:{buyer.payment_id}:")
    answer = await buyer.pay(card)
    assert answer["status"] == ending.payment
    assert told(await shop.ends(buyer, ending)) == events
    assert await shop.stripe.hits(fault) == 1


async def test_cancel_overtakes_the_confirm(shop: Shop) -> None:
    """The cancel reaches Stripe first: nothing is charged."""
    buyer = await shop.buyer().place()
    fault = await shop.stripe.fault("hold", f"^confirm:{buyer.payment_id}:")
    paying = asyncio.create_task(buyer.pay())
    await shop.stripe.met(fault)
    await buyer.cancel_order()
    await shop_cancelled_at_stripe(shop, buyer)
    await shop.stripe.release(fault)
    await shop.ends(buyer, CANCELLED)
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)


async def shop_cancelled_at_stripe(shop: Shop, buyer: Buyer) -> None:
    """Wait until Stripe has cancelled the payment intent."""

    async def is_cancelled() -> bool:
        return (await shop.stripe.ledger())[buyer.order_id][0]["status"] == "canceled"

    await until(is_cancelled, "Stripe's cancel")


async def test_confirm_overtakes_the_cancel(shop: Shop) -> None:
    """The order is cancelled while the confirm is on its way; the money comes and goes back."""
    buyer = await shop.buyer().place()
    confirm = await shop.stripe.fault("hold", f"^confirm:{buyer.payment_id}:")
    cancel = await shop.stripe.fault("hold", f"^cancel:{buyer.payment_id}:")
    paying = asyncio.create_task(buyer.pay())
    await shop.stripe.met(confirm)
    assert (await buyer.cancel_order())["status"] == "CANCELLED"
    await shop.stripe.met(cancel)
    await shop.stripe.release(confirm)
    await happened(shop, buyer, "PAYMENT_COMPLETED")
    await shop.stripe.release(cancel)
    assert told(await shop.ends(buyer, REFUNDED)) == PAID_AND_REFUNDED
    assert (await paying)["status"] in {"COMPLETED", "REFUNDED"}


async def test_bank_debit_succeeds_long_after_the_cancel(shop: Shop) -> None:
    """Stripe can't cancel what the bank is doing: the late success is refunded."""
    buyer = await shop.buyer(restaurant=DOLLARS).place()
    body = {"orderId": buyer.order_id, **BANK}
    intent = await buyer.intent()
    paying = asyncio.create_task(
        buyer.call("POST", "/api/payments/confirm", body, "the-key-of-a-bank-debit")
    )
    await happened(shop, buyer, "PAYMENT_PROCESSING")
    await applied(shop, buyer, "payment_intent.processing")
    assert (await buyer.cancel_order())["status"] == "CANCELLED"

    async def refused() -> bool:
        audit = kafka_invariants.events(await shop.records(buyer), kafka_invariants.AUDIT)
        ended = [e["data"] for e in audit if e["eventType"] == "EFFECT_FINISHED"]
        return any(each["kind"] == "CANCEL" and each["result"] == "CONFLICT" for each in ended)

    await until(refused, "Stripe to refuse the cancel")
    await shop.stripe.settle("succeed", payment_intent=intent)
    await happened(shop, buyer, "PAYMENT_COMPLETED")

    async def refund() -> str | None:
        found = (await shop.stripe.ledger())[buyer.order_id][0]["refund_ids"]
        return found[0] if found else None

    await shop.stripe.settle("succeed", refund=await until(refund, "the refund at Stripe"))
    assert told(await shop.ends(buyer, REFUNDED)) == PAID_AND_REFUNDED
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)


async def test_first_attempts_failure_arrives_during_the_second(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await shop.stripe.rule("hold", await buyer.intent(), events=r"\.payment_failed$")
    assert (await buyer.pay(DECLINED))["status"] == "FAILED"
    second = await shop.stripe.fault("hold", f"^confirm:{buyer.payment_id}:2:")
    paying = asyncio.create_task(buyer.pay(VISA))
    await shop.stripe.met(second)
    assert await shop.stripe.deliver_held() == 1
    await applied(shop, buyer, "payment_intent.payment_failed")
    assert told(await shop.records(buyer)) == TWO_ATTEMPTS[:-1], "the second attempt goes on"
    await shop.stripe.release(second)
    assert (await paying)["status"] == "COMPLETED"
    assert told(await shop.ends(buyer, PAID)) == TWO_ATTEMPTS


async def test_first_attempts_failure_arrives_after_the_success(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await shop.stripe.rule("hold", await buyer.intent(), events=r"\.payment_failed$")
    await buyer.pay(DECLINED)
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    assert await shop.stripe.deliver_held() == 1
    await applied(shop, buyer, "payment_intent.payment_failed")
    assert told(await shop.ends(buyer, PAID)) == TWO_ATTEMPTS


@pytest.mark.parametrize("is_lost", [False, True], ids=["told", "webhooks-lost"])
async def test_3d_secure_succeeds(shop: Shop, is_lost: bool) -> None:
    """Without webhooks the reconciler brings Stripe's word."""
    buyer = await shop.buyer().place()
    intent = await buyer.intent()
    if is_lost:
        await shop.stripe.rule("lose", intent)
    answer = await buyer.pay(THREE_D_SECURE)
    assert answer["status"] == "REQUIRES_ACTION"
    assert answer["clientSecret"] == buyer.order["clientSecret"]
    view = await buyer.look()
    assert (view["status"], view["payment"]["status"]) == ("PAYMENT_PENDING", "PROCESSING")
    await shop.stripe.three_d_secure(intent, "succeed")
    records = await shop.ends(buyer, PAID)
    assert told(records) == [*ONE_ATTEMPT[:2], "PAYMENT_REQUIRES_ACTION", ONE_ATTEMPT[2]]
    assert is_lost != any(record.topic == kafka_invariants.WEBHOOKS for record in records)


async def test_3d_secure_fails_and_another_card_pays(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    assert (await buyer.pay(THREE_D_SECURE))["status"] == "REQUIRES_ACTION"
    await shop.stripe.three_d_secure(await buyer.intent(), "fail")
    await buyer.wait_status("PAYMENT_FAILED")
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    records = await shop.ends(buyer, PAID)
    failed = next(e for e in payment_events(records) if e["eventType"] == "PAYMENT_FAILED")
    assert failed["data"]["failureReason"] == "payment_intent_authentication_failure"


async def test_3d_secure_is_abandoned_for_another_card(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    assert (await buyer.pay(THREE_D_SECURE))["status"] == "REQUIRES_ACTION"
    assert (await buyer.pay(VISA))["status"] == "COMPLETED"
    assert told(await shop.ends(buyer, PAID)) == [
        *ONE_ATTEMPT[:2], "PAYMENT_REQUIRES_ACTION", "PAYMENT_FAILED", *ONE_ATTEMPT[1:],
    ]  # fmt: skip


async def test_3d_secure_is_abandoned_and_the_order_cancelled(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await buyer.pay(THREE_D_SECURE)
    await buyer.cancel_order()
    await shop.ends(buyer, CANCELLED)


async def test_webhooks_come_twice_late_and_backwards(shop: Shop) -> None:
    """Everything has ended before the first one arrives."""
    buyer = await shop.buyer().place()
    intent = await buyer.intent()
    await shop.stripe.rule("hold", intent)
    await buyer.pay(DECLINED)
    await buyer.pay(VISA)
    await buyer.cancel_order()
    before = await shop.ends(buyer, REFUNDED)
    held = [each["event"] for each in await shop.stripe.undelivered() if each["state"] == "held"]
    assert len(held) > 4
    await shop.stripe.deliver_held("reverse")
    await applied(shop, buyer, "payment_intent.payment_failed")  # the oldest, so the last one
    for event in held:
        await shop.stripe._call("POST", "/webhooks/redeliver", {"event": event})
    after = await shop.ends(buyer, REFUNDED)
    assert told(after) == told(before) == [*TWO_ATTEMPTS, "PAYMENT_REFUNDED"]


async def test_all_webhooks_are_lost(shop: Shop) -> None:
    """The confirm's and the refund's own answers carry it; a pending refund is looked up."""
    buyer = await shop.buyer().place()
    await shop.stripe.rule("lose", await buyer.intent())
    await buyer.pay(REFUND_PENDING)
    await buyer.cancel_order()

    async def refund() -> str | None:
        entry = (await shop.stripe.ledger())[buyer.order_id][0]
        return entry["refund_ids"][0] if entry["refunds"]["pending"] else None

    await shop.stripe.settle("succeed", refund=await until(refund, "a pending refund"))
    records = await shop.ends(buyer, REFUNDED)
    assert told(records) == PAID_AND_REFUNDED
    assert not [record for record in records if record.topic == kafka_invariants.WEBHOOKS]
