"""Early fraud warnings and reviews on a whole platform: what operators see, and when it is settled."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.customer import Customer
from tests.money.clients import Clients, until


async def listed(clients: Clients, somebody: Customer) -> dict[str, dict[str, Any]]:
    """What is stuck of an order, by its subject."""
    found = await clients.get("/api/ops/stuck?actor=OPERATOR&limit=1000")
    rows = [row for row in found["stuck"] if row["orderId"] == somebody.order_id]
    return {row["subject"]: row for row in rows}


async def until_listed(clients: Clients, somebody: Customer, *subjects: str) -> dict[str, Any]:
    async def are_so() -> tuple[dict[str, Any]] | None:
        rows = await listed(clients, somebody)
        return (rows,) if rows.keys() == set(subjects) else None

    return (await until(are_so, f"{subjects} to be stuck"))[0]


@pytest.mark.parametrize("is_lost", [False, True], ids=["webhooks", "lost webhooks"])
async def test_a_warning_and_a_review_are_listed_until_a_refund_settles_them(
    clients: Clients, is_lost: bool
) -> None:
    """Where the webhooks are lost, Stripe's list of events tells."""
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    if is_lost:
        await clients.lose_webhooks(intent)
    warning = await clients.control("/fraud_warnings", {"payment_intent": intent})
    review = await clients.control("/reviews", {"payment_intent": intent})
    rows = await until_listed(clients, somebody, "FRAUD_WARNING", "REVIEW")
    assert rows["FRAUD_WARNING"]["what"] == warning["id"]
    assert "refund in full" in rows["FRAUD_WARNING"]["advice"]
    assert rows["REVIEW"]["what"] == review["id"]
    view = await clients.get(f"/api/payments/{somebody.order_id}")
    assert [each["warningId"] for each in view["fraudWarnings"]] == [warning["id"]]
    assert [each["isOpen"] for each in view["reviews"]] == [True]
    told = await clients.payment(somebody)
    assert not {"fraudWarnings", "reviews"} & told.keys(), "the customer reads nothing of it"
    await clients.refund(somebody)
    await somebody.wait_status("REFUNDED")
    await until_listed(clients, somebody)

    async def is_closed() -> bool | None:
        view = await clients.get(f"/api/payments/{somebody.order_id}")
        (warned,), (reviewed,) = view["fraudWarnings"], view["reviews"]
        is_over = not warned["isActionable"] and not reviewed["isOpen"]
        return (is_over and reviewed["closedReason"] == "refunded") or None

    await until(is_closed, "Stripe's word that both are over")


async def test_a_review_is_approved_and_a_warning_becomes_a_dispute(clients: Clients) -> None:
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    await clients.control("/fraud_warnings", {"payment_intent": intent})
    review = await clients.control("/reviews", {"payment_intent": intent})
    await until_listed(clients, somebody, "FRAUD_WARNING", "REVIEW")
    await clients.control("/reviews/close", {"review": review["id"]})
    await until_listed(clients, somebody, "FRAUD_WARNING")
    await clients.control("/disputes", {"payment_intent": intent})
    await until_listed(clients, somebody)
