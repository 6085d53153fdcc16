"""A payment that Stripe does not know, before an operator: what the page says, and the two acts."""

from __future__ import annotations

import pytest

from models import ids
from models.commands import Command, CommandType, ObservePayment
from models.times import to_rfc3339
from tests.support.http_api import Api


async def unknown(api: Api) -> str:
    """An order whose payment Stripe does not know, as the reconciler reports it."""
    order_id = str((await api.order())["orderId"])
    state = api.world.tables["payments"].records[order_id].state
    data = ObservePayment(
        attempt=0, sequence=state.payment.sequence, audit_sequence=state.work.audit_sequence
    )
    await api.world.send(
        Command(
            order_id=order_id, command_id=ids.command_id("observe", order_id),
            command_type=CommandType.OBSERVE_PAYMENT, issued_at=to_rfc3339(api.world.now_ms),
            issued_by="system:reconciler", data=data,
        )
    )  # fmt: skip
    return order_id


async def page(api: Api, order_id: str, part: str = "") -> str:
    headers = {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get(f"/ops/orders/{order_id}{part}", headers=headers) as answer:
        assert answer.status == 200
        return await answer.text()


@pytest.mark.parametrize("act", ["ask-stripe", "close-payment"])
async def test_the_page_says_why_and_offers_both_acts(api: Api, act: str) -> None:
    order_id = await unknown(api)
    text = await page(api, order_id)
    assert "Stripe does not know this payment" in text
    assert "TIFFIN_STRIPE_SECRET_KEY" in text
    assert f"/ops/orders/{order_id}/{act}" in text
    assert "<form" in await page(api, order_id, f"/{act}")


async def test_an_operator_asks_again(api: Api) -> None:
    order_id = await unknown(api)
    path = f"/api/payments/{order_id}/ask-again"
    status, answer, _ = await api.post(path, {}, token=api.operator)
    assert (status, answer["status"]) == (200, "PENDING")
    assert "/ask-stripe" not in await page(api, order_id)
    status, problem, _ = await api.post(path, {}, token=api.operator)
    assert (status, problem["code"]) == (409, "NOTHING_TO_ASK")


async def test_an_operator_closes_it(api: Api) -> None:
    order_id = await unknown(api)
    body = {"orderId": order_id, "reason": "OPERATOR_REQUEST"}
    status, answer, _ = await api.post("/api/payments/cancel", body, token=api.operator)
    assert (status, answer["status"]) == (200, "CANCELLED")
    _, order = await api.get(f"/api/orders/{order_id}", api.operator)
    assert (order["status"], order["cancelReason"]) == ("CANCELLED", "OPERATOR_REQUEST")


async def test_customers_can_do_neither(api: Api) -> None:
    order = await api.order()
    path = f"/api/payments/{order['orderId']}/ask-again"
    status, _, _ = await api.post(path, {}, token=order["orderToken"])
    assert status == 403


@pytest.mark.parametrize("path", ["/api/payments/cancel", "/api/orders/{}/cancel"])
async def test_a_customer_can_not_give_an_operators_reason(api: Api, path: str) -> None:
    order = await api.order()
    body = {"reason": "OPERATOR_REQUEST"}
    if "{}" not in path:
        body["orderId"] = order["orderId"]
    path = path.format(order["orderId"])
    status, problem, _ = await api.post(path, body, token=order["orderToken"])
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert "TOO_SLOW" in str(problem["errors"])
    status, _, _ = await api.post(path, body, token=api.operator)
    assert status == 200
