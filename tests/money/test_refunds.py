"""Refunds and disputes on a whole platform: what operators do, what Stripe says later, what lists show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.api_client import RefusedError
from sandbox.card_numbers import INQUIRY, REFUND_FAILS, REFUND_PENDING, THREE_D_SECURE
from sandbox.customer import ADDRESS, CONTACT, Customer
from sandbox.staff import Staff
from tests.money.clients import Clients, until


async def refused(clients: Clients, somebody: Customer, amount: int | None = None) -> str:
    with pytest.raises(RefusedError) as caught:
        await clients.refund(somebody, amount)
    return caught.value.code


async def test_partial_refunds_at_once_never_exceed_what_was_captured(clients: Clients) -> None:
    somebody = await clients.paid()
    captured = (await clients.payment(somebody))["captured"]["amount"]
    part = captured * 3 // 10

    async def refund(worker: int) -> str:
        try:
            return str((await clients.refund(somebody, part, worker))["status"])
        except RefusedError as error:
            return error.code

    results = await asyncio.gather(*(refund(n % 2) for n in range(6)))
    assert sorted(set(results)) == ["PENDING", "REFUND_TOO_LARGE"]
    assert results.count("PENDING") == 3
    view = await clients.payment_when(
        somebody, lambda v: v["refunded"]["amount"] == 3 * part, "three refunds"
    )
    assert (view["status"], view["refundable"]["amount"]) == ("COMPLETED", captured - 3 * part)
    assert await refused(clients, somebody, captured - 3 * part + 1) == "REFUND_TOO_LARGE"
    assert (await clients.refund(somebody))["amount"]["amount"] == captured - 3 * part
    order = await somebody.wait_status("REFUNDED")
    assert (order["payment"]["status"], order["payment"]["net"]["amount"]) == ("REFUNDED", 0)
    at_stripe = await clients.ledger(view["stripeIntentId"])
    assert (at_stripe["refunded"], at_stripe["refunds"]["succeeded"]) == (captured, 4)
    assert await refused(clients, somebody) == "REFUND_TOO_LARGE"
    rows = await clients.refunds(somebody, "SUCCEEDED")
    assert len(rows) == 4
    assert all(r["requestedAt"] <= r["endedAt"] and not r["canRetry"] for r in rows)


async def test_a_repeated_refund_is_one(clients: Clients) -> None:
    somebody = await clients.paid()
    path, key = f"/api/payments/{somebody.order_id}/refunds", "refund-the-same-once"
    first = await clients.post(path, {"amount": 100}, key)
    again = await clients.post(path, {"amount": 100}, key, worker=1)
    assert again["refund"]["refundId"] == first["refund"]["refundId"]
    with pytest.raises(RefusedError) as caught:
        await clients.post(path, {"amount": 200}, key)
    assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"
    view = await clients.payment_when(somebody, lambda v: v["refunded"]["amount"], "the refund")
    assert view["refunded"]["amount"] == 100


async def cancelled(clients: Clients, card: str) -> tuple[Customer, dict[str, Any]]:
    """A paid order that was cancelled, and its refund, which Stripe has."""
    somebody = await clients.paid(card)
    await somebody.cancel()
    view = await clients.payment_when(
        somebody, lambda v: any("stripeRefundId" in r for r in v["refunds"]), "a refund"
    )
    return somebody, view["refunds"][0]


async def settle(clients: Clients, refund: dict[str, Any], outcome: str) -> None:
    await clients.control("/settle", {"refund": refund["stripeRefundId"], "outcome": outcome})


async def retried(clients: Clients, somebody: Customer, refund: dict[str, Any]) -> dict[str, Any]:
    """The refund that repeats a failed one, once Stripe has it."""
    path = f"/api/payments/{somebody.order_id}/refunds/{refund['refundId']}/retry"
    made = (await clients.post(path, worker=1))["refund"]
    assert (made["retryOf"], made["amount"]) == (refund["refundId"], refund["amount"])

    def found(view: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            r
            for r in view["refunds"]
            if r["refundId"] == made["refundId"] and "stripeRefundId" in r
        ]

    view = await clients.payment_when(somebody, lambda v: bool(found(v)), "the retried refund")
    with pytest.raises(RefusedError) as caught:
        await clients.post(path)
    assert caught.value.code == "REFUND_RETRIED"
    return found(view)[0]


async def test_a_pending_refund_fails_and_is_retried_from_the_queue(clients: Clients) -> None:
    somebody, refund = await cancelled(clients, REFUND_PENDING)
    assert refund["status"] == "PENDING"
    assert (await somebody.look())["status"] == "CANCELLED"
    assert [row["refundId"] for row in await clients.refunds(somebody, "PENDING")] == [
        refund["refundId"]
    ]
    await settle(clients, refund, "fail")
    await clients.payment_when(
        somebody, lambda v: v["refunds"][0]["status"] == "FAILED", "the refund to fail"
    )
    (row,) = await clients.refunds(somebody, "FAILED")
    assert row["canRetry"]
    assert row["failureReason"] == "expired_or_canceled_card"
    assert (await somebody.look())["status"] == "CANCELLED"
    second = await retried(clients, somebody, refund)
    assert (await clients.refunds(somebody, "FAILED"))[0]["retriedBy"] == second["refundId"]
    await settle(clients, second, "succeed")
    order = await somebody.wait_status("REFUNDED")
    assert order["payment"]["net"]["amount"] == 0
    path = f"/api/payments/{somebody.order_id}/refunds"
    for refund_id, code in (
        (second["refundId"], "REFUND_SUCCEEDED"), ("refund_x", "REFUND_UNKNOWN")
    ):  # fmt: skip
        with pytest.raises(RefusedError) as caught:
            await clients.post(f"{path}/{refund_id}/retry")
        assert caught.value.code == code


async def test_a_refund_that_succeeded_fails_later(clients: Clients) -> None:
    somebody, refund = await cancelled(clients, REFUND_FAILS)
    await somebody.wait_status("REFUNDED")
    await settle(clients, refund, "fail")
    order = await somebody.wait_status("CANCELLED")
    assert order["payment"]["status"] == "COMPLETED"
    assert order["payment"]["net"]["amount"] == order["payment"]["captured"]["amount"]
    await retried(clients, somebody, refund)
    await somebody.wait_status("REFUNDED")


async def test_a_refund_waits_for_a_dispute_to_be_won(clients: Clients) -> None:
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    dispute = await clients.control("/disputes", {"payment_intent": intent, "reason": "fraudulent"})
    view = await clients.payment_when(somebody, lambda v: bool(v["disputes"]), "the dispute")
    (known,) = view["disputes"]
    assert (known["status"], known["blocksRefunds"]) == ("needs_response", True)
    assert view["net"]["amount"] == 0, "the bank has taken it"
    assert await refused(clients, somebody, 100) == "DISPUTED"
    await somebody.cancel()
    await somebody.wait_status("CANCELLED")

    async def blocked() -> list[dict[str, Any]] | None:
        return await clients.refunds(somebody, "BLOCKED") or None

    (row,) = await until(blocked, "the blocked refund")
    assert "refundId" not in row
    assert row["amount"] == view["captured"]
    await evidence_is_whole(clients, somebody, known)
    await clients.control("/disputes/close", {"dispute": dispute["id"], "outcome": "won"})
    order = await somebody.wait_status("REFUNDED")
    assert order["payment"]["disputes"][0]["status"] == "won"
    assert (await clients.ledger(intent))["net"] == 0
    listed = await clients.get("/api/ops/disputes?state=CLOSED")
    assert dispute["id"] in [row["disputeId"] for row in listed["disputes"]]


async def whole_evidence(clients: Clients, path: str, worker: int) -> dict[str, Any]:
    """An evidence, once its timeline has heard of the payment, the order and the dispute."""
    wanted = {"PAYMENT_COMPLETED", "ORDER_CREATED", "PAYMENT_DISPUTED"}

    async def told() -> dict[str, Any] | None:
        found = await clients.get(path, worker)
        return found if wanted <= {entry["eventType"] for entry in found["timeline"]} else None

    return await until(told, f"{wanted} in the evidence")


async def evidence_is_whole(clients: Clients, somebody: Customer, known: dict[str, Any]) -> None:
    """The open dispute's bundle, as JSON and as a page."""
    for worker in range(2):
        listed = await clients.get("/api/ops/disputes?state=OPEN", worker)
        (row,) = [r for r in listed["disputes"] if r["orderId"] == somebody.order_id]
        assert row["evidenceDueBy"] == known["evidenceDueBy"]
        bundle = await whole_evidence(clients, row["evidence"], worker)
        assert bundle["customer"] == CONTACT
        assert bundle["address"]["line1"] == ADDRESS["line1"]
        assert bundle["dispute"] == known
        assert [a["result"] for a in bundle["payment"]["attempts"]] == ["COMPLETED"]
        assert bundle["payment"]["captured"]["amount"] == sum(
            line["total"]["amount"] for line in bundle["items"]
        )
        token = clients.operators[worker].token
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        async with clients.http.get(
            clients.ends.workers[worker] + row["evidence"], headers=headers
        ) as got:
            page = await got.text()
        assert (got.status, got.content_type) == (200, "text/html")
        assert known["disputeId"] in page
        assert CONTACT["email"] in page
        assert "_secret_" not in page + str(bundle)
    async with clients.http.get(
        clients.ends.workers[0] + row["evidence"],
        headers={"Authorization": f"Bearer {somebody.order['orderToken']}"},
    ) as got:
        assert got.status == 403, "the customer is not shown what is sent to the bank"
    with pytest.raises(RefusedError) as caught:
        await clients.operators[0].get(row["evidence"].replace(known["disputeId"], "du_unknown"))
    assert caught.value.code == "DISPUTE_UNKNOWN"


async def test_evidence_tells_who_paid_how_and_who_brought_it(clients: Clients) -> None:
    somebody = await clients.placed()
    answer = await somebody.confirm(THREE_D_SECURE)
    assert answer["status"] == "REQUIRES_ACTION"
    intent = await clients.intent(somebody)
    await clients.control(f"/3ds/{intent}", {"outcome": "succeed"})
    order = await somebody.wait_status("PENDING")
    restaurant = order["restaurant"]["id"]
    async with (
        Staff(clients.ends.workers[0], "kitchen", "kim", restaurant) as kitchen,
        Staff(clients.ends.workers[1], "courier", f"carla-{somebody.order_id[-6:]}") as courier,
    ):
        for step in ("accept", "start-preparing", "ready"):
            await done(lambda step=step: kitchen.kitchen(somebody.order_id, step))
        for step in ("assign", "pick-up", "deliver"):
            await done(lambda step=step: courier.deliver(somebody.order_id, step))
    await somebody.wait_status("DELIVERED")
    await clients.control("/disputes", {"payment_intent": intent, "reason": "product_not_received"})
    view = await clients.payment_when(somebody, lambda v: bool(v["disputes"]), "the dispute")
    dispute_id = view["disputes"][0]["disputeId"]
    path = f"/api/payments/{somebody.order_id}/disputes/{dispute_id}/evidence"

    async def delivered() -> dict[str, Any] | None:
        found = await clients.get(path)
        is_told = any(entry["eventType"] == "DELIVERY_DELIVERED" for entry in found["timeline"])
        return found if is_told and found.get("delivery", {}).get("deliveredAt") else None

    bundle = await until(delivered, "the delivery in the evidence")
    (attempt,) = bundle["payment"]["attempts"]
    assert (attempt["result"], attempt["isAuthenticated"]) == ("COMPLETED", True)
    assert attempt["beganAt"] <= attempt["endedAt"] == bundle["payment"]["completedAt"]
    brought = bundle["delivery"]
    assert brought["courierId"].startswith("carla-")
    assert brought["assignedAt"] <= brought["pickedUpAt"] <= brought["deliveredAt"]
    fields = bundle["stripeFields"]
    assert fields["customer_email_address"] == CONTACT["email"]
    assert brought["courierId"] in fields["shipping_carrier"]
    assert all(line["name"] in fields["product_description"] for line in bundle["items"])
    assert bundle["orderStatus"] == "DELIVERED"


async def done(step: Callable[[], Awaitable[Any]]) -> None:
    """Take a step of the staff, as soon as what it needs has arrived."""

    async def took() -> bool | None:
        try:
            await step()
        except RefusedError as error:
            if error.status not in {404, 409}:
                raise
            return None
        return True

    await until(took, "a step of the staff")


async def test_an_inquiry_blocks_nothing_and_may_become_a_dispute_that_is_lost(
    clients: Clients,
) -> None:
    somebody = await clients.paid(INQUIRY)
    view = await clients.payment_when(somebody, lambda v: bool(v["disputes"]), "the inquiry")
    assert view["disputes"][0]["status"] == "warning_needs_response"
    assert not view["disputes"][0]["blocksRefunds"]
    assert view["net"] == view["captured"]
    await clients.refund(somebody, 500)
    await clients.payment_when(somebody, lambda v: v["refunded"]["amount"] == 500, "the refund")


async def test_a_lost_dispute_leaves_nothing_to_refund(clients: Clients) -> None:
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    await clients.refund(somebody, 700)
    await clients.payment_when(somebody, lambda v: v["refunded"]["amount"] == 700, "the refund")
    dispute = await clients.control("/disputes", {"payment_intent": intent, "reason": "general"})
    await clients.control("/disputes/close", {"dispute": dispute["id"], "outcome": "lost"})
    view = await clients.payment_when(
        somebody, lambda v: [d["status"] for d in v["disputes"]] == ["lost"], "the end"
    )
    assert (view["net"]["amount"], view["refundable"]["amount"]) == (0, 0)
    assert (await clients.ledger(intent))["net"] == 0
    assert await refused(clients, somebody) == "REFUND_TOO_LARGE"


async def test_a_success_that_comes_after_the_cancel_is_refunded(clients: Clients) -> None:
    somebody = await clients.placed()
    fault = await clients.control(
        "/faults", {"kind": "hold", "method": "POST", "path": "/confirm$"}
    )
    paying = asyncio.create_task(somebody.confirm())

    async def is_met() -> bool | None:
        found = await clients.control("/faults", method="GET")
        return next(f["hits"] for f in found if f["id"] == fault["id"]) == 1 or None

    await until(is_met, "the confirm to reach Stripe")
    await somebody.cancel()
    await clients.control("/faults/release", {"id": fault["id"]})
    order = await somebody.wait_status("REFUNDED")
    await paying
    assert order["payment"]["status"] == "REFUNDED"
    at_stripe = await clients.ledger(order["payment"]["stripeIntentId"])
    assert (at_stripe["captured"], at_stripe["net"]) == (order["amount"]["amount"], 0)


@pytest.mark.parametrize(
    ("restaurant", "currency", "part", "uneven"),
    [("hinode-kyoto", "JPY", 301, None), ("petra-amman", "JOD", 1230, 1235)],
)
async def test_currencies_without_and_with_three_decimals(
    clients: Clients, restaurant: str, currency: str, part: int, uneven: int | None
) -> None:
    somebody = await clients.paid(restaurant=restaurant)
    view = await clients.payment(somebody)
    amount = view["captured"]["amount"]
    decimals = {"JPY": 0, "JOD": 3}[currency]
    assert view["captured"]["currency"] == currency
    assert view["captured"]["display"] == f"{amount / 10**decimals:.{decimals}f}"
    if uneven is not None:
        assert await refused(clients, somebody, uneven) == "REFUND_UNEVEN"
    await clients.refund(somebody, part)
    await clients.payment_when(somebody, lambda v: v["refunded"]["amount"] == part, "a part")
    await clients.refund(somebody)
    order = await somebody.wait_status("REFUNDED")
    at_stripe = await clients.ledger(view["stripeIntentId"])
    assert (at_stripe["currency"], at_stripe["captured"]) == (currency.lower(), amount)
    assert at_stripe["refunded"] == order["payment"]["refunded"]["amount"] == amount
