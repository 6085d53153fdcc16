"""Refunds (partial, pending, failing, too much) and disputes; the ledger agrees with all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import stripe

from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused


async def charge_of(shop: StripeShop, intent: str) -> stripe.Charge:
    paid = await shop.retrieve(intent)
    return await shop.client.v1.charges.retrieve_async(str(paid.latest_charge))


async def test_partial_refunds_up_to_the_captured_amount(shop: StripeShop) -> None:
    v1 = shop.client.v1.refunds
    intent = await shop.pay()
    first = await v1.create_async(
        {
            "payment_intent": intent.id,
            "amount": 1000,
            "reason": "requested_by_customer",
            "metadata": {"orderId": "order_1"},
        }
    )
    assert (first.status, first.amount, first.reason) == (
        "succeeded",
        1000,
        "requested_by_customer",
    )
    charge = await charge_of(shop, intent.id)
    assert (charge.amount_refunded, charge.refunded) == (1000, False)
    over = await refused(v1.create_async({"payment_intent": intent.id, "amount": 1501}))
    assert (over.http_status, over.param, over.code) == (400, "amount", None)
    assert "greater than unrefunded amount" in str(over)
    rest = await v1.create_async({"charge": charge.id})
    assert rest.amount == 1500
    assert (await charge_of(shop, intent.id)).refunded is True
    done = await refused(v1.create_async({"payment_intent": intent.id}))
    assert done.code == "charge_already_refunded"
    listed = await v1.list_async({"payment_intent": intent.id})
    assert [r.id for r in listed.data] == [rest.id, first.id]
    entry = await shop.ledger(intent.id)
    assert (entry["refunded"], entry["net"], entry["refunds"]["succeeded"]) == (2500, 0, 2)
    assert (await shop.event_types())[-2:] == ["refund.created", "charge.refunded"]


async def test_concurrent_refunds_never_exceed_the_charge(shop: StripeShop) -> None:
    intent = await shop.pay()
    await asyncio.gather(
        *(
            shop.client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 900})
            for _ in range(8)
        ),
        return_exceptions=True,
    )
    entry = await shop.ledger(intent.id)
    assert (entry["refunds"]["succeeded"], entry["refunded"]) == (2, 1800)


async def test_refunds_that_cannot_be(shop: StripeShop) -> None:
    create = shop.client.v1.refunds.create_async
    unpaid = await shop.create()
    assert "successful charge" in str(await refused(create({"payment_intent": unpaid.id})))
    held = await shop.pay(capture_method="manual")
    assert (await refused(create({"charge": str(held.latest_charge)}))).code == (
        "charge_not_refundable"
    )
    assert (await refused(create({}))).code == "parameter_missing"
    assert (await refused(create({"payment_intent": "pi_none"}))).code == "resource_missing"
    paid = await shop.pay()
    wrong: Any = {"payment_intent": paid.id, "reason": "customer_was_hungry"}
    assert (await refused(create(wrong))).param == "reason"
    assert (await refused(create({"payment_intent": paid.id, "amount": 0}))).param == "amount"
    assert (await shop.client.v1.refunds.list_async()).data == []


async def test_a_pending_refund_succeeds_later(shop: StripeShop) -> None:
    intent = await shop.pay("pm_card_pendingRefund")
    refund = await shop.client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == "pending"
    entry = await shop.ledger(intent.id)
    assert (entry["refunded"], entry["refund_pending"], entry["net"]) == (0, 2500, 2500)
    await shop.control("POST", "/settle", {"refund": refund.id})
    assert (await shop.client.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    assert (await shop.event_types())[-2:] == ["refund.updated", "charge.refund.updated"]
    assert (await shop.ledger(intent.id))["net"] == 0


async def test_a_refund_that_succeeded_fails_later(shop: StripeShop) -> None:
    intent = await shop.pay("pm_card_refundFail")
    refund = await shop.client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    body = {"refund": refund.id, "outcome": "fail", "reason": "lost_or_stolen_card"}
    await shop.control("POST", "/settle", body)
    failed = await shop.client.v1.refunds.retrieve_async(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    charge = await charge_of(shop, intent.id)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert "refund.failed" in await shop.event_types()
    await shop.control("POST", "/settle", body, status=400)
    again = await shop.client.v1.refunds.create_async({"payment_intent": intent.id})
    assert again.status == "succeeded"
    booked = [
        t.amount
        async for t in (await shop.client.v1.balance_transactions.list_async()).auto_paging_iter()
    ]
    assert sorted(booked) == [-2500, -2500, 2500, 2500]


async def test_any_refund_can_be_made_to_fail_late(shop: StripeShop) -> None:
    intent = await shop.pay()
    refund = await shop.client.v1.refunds.create_async({"payment_intent": intent.id})
    await shop.control("POST", "/settle", {"refund": refund.id, "outcome": "fail"})
    assert (await shop.ledger(intent.id))["net"] == 2500


async def test_a_dashboard_refund_has_no_metadata_and_no_request(shop: StripeShop) -> None:
    intent = await shop.pay()
    await shop.control("POST", "/dashboard_refund", {"payment_intent": intent.id, "amount": 500})
    refund = (await shop.client.v1.refunds.list_async({"payment_intent": intent.id})).data[0]
    assert refund.metadata is not None
    assert (refund.amount, refund.metadata.to_dict()) == (500, {})
    events = await shop.client.v1.events.list_async({"type": "refund.created"})
    assert events.data[0].request is not None
    assert events.data[0].request.id is None


async def test_a_disputed_charge_blocks_refunds_until_the_dispute_is_won(shop: StripeShop) -> None:
    v1 = shop.client.v1
    intent = await shop.pay("pm_card_createDispute")
    dispute = (await v1.disputes.list_async({"payment_intent": intent.id})).data[0]
    assert (dispute.status, dispute.reason) == ("needs_response", "fraudulent")
    assert dispute.is_charge_refundable is False
    assert dispute.metadata.to_dict() == {}
    assert (await charge_of(shop, intent.id)).disputed is True
    assert (await shop.ledger(intent.id))["net"] == 0
    blocked = await refused(v1.refunds.create_async({"payment_intent": intent.id}))
    assert blocked.code == "charge_disputed"

    answered = await v1.disputes.update_async(
        dispute.id, {"evidence": {"product_description": "two thalis, delivered"}}
    )
    assert answered.status == "under_review"
    assert answered.evidence_details.submission_count == 1
    await shop.control("POST", "/disputes/close", {"dispute": dispute.id, "outcome": "won"})
    assert (await shop.ledger(intent.id))["net"] == 2500
    await v1.refunds.create_async({"payment_intent": intent.id})
    types = [t for t in await shop.event_types() if t.startswith("charge.dispute.")]
    assert types == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]


async def test_an_inquiry_leaves_the_charge_refundable(shop: StripeShop) -> None:
    intent = await shop.pay("pm_card_createDisputeInquiry")
    dispute = (
        await shop.client.v1.disputes.list_async({"charge": str(intent.latest_charge)})
    ).data[0]
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    await shop.client.v1.refunds.create_async({"payment_intent": intent.id})
    assert (await shop.ledger(intent.id))["net"] == 0
    close = {"dispute": dispute.id, "outcome": "warning_closed"}
    await shop.control("POST", "/disputes/close", close)
    await shop.control("POST", "/disputes/close", close, status=400)


async def test_disputes_opened_by_hand_and_lost(shop: StripeShop) -> None:
    intent = await shop.pay()
    opened = await shop.control(
        "POST", "/disputes", {"payment_intent": intent.id, "reason": "product_not_received"}
    )
    await shop.control("POST", "/disputes", {"payment_intent": intent.id}, status=400)
    closed = await shop.client.v1.disputes.close_async(opened["id"])
    assert (closed.status, closed.is_charge_refundable) == ("lost", False)
    assert (await refused(shop.client.v1.disputes.close_async(opened["id"]))).http_status == 400
    assert (await shop.ledger(intent.id))["net"] == 0
    unpaid = await shop.create()
    await shop.control("POST", "/disputes", {"payment_intent": unpaid.id}, status=400)
