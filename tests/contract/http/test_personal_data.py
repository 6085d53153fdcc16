"""An order's timeline, views and stream: each reader sees what concerns them, and no more."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from models.events import (
    AUDIT_TYPES,
    OPERATORS,
    CommandRefused,
    DeadLetterSettled,
    Event,
    EventType,
)
from models.messages import Message, encode
from models.times import to_rfc3339
from models.topics import ORDER_AUDIT
from tests.support.http_api import Api
from tests.support.payment_flow import Stripe
from tests.support.waiting import until_true
from web.api.timeline import CUSTOMERS, STAFF_ONLY_FIELDS
from web.http.tokens import Role

E = EventType
OPERATOR_EVENTS = frozenset(
    {
        E.EFFECT_REQUESTED, E.EFFECT_FINISHED, E.WEBHOOK_RECEIVED, E.ANOMALY_SEEN,
        E.NOTIFICATION_FAILED, E.NOTIFICATION_RETRIED, E.DEAD_LETTER_REDRIVEN,
        E.DEAD_LETTER_DISCARDED, E.ORDERS_SEARCHED, E.RECORD_SKIPPED, E.NOTIFICATION_HELD,
    }
)  # fmt: skip
"""How it was done, what went wrong inside, and what operators wrote about it."""
REASON = "wrong amount, see chat with the bank: customer looks like a fraud"


async def audit(api: Api, order_id: str, kind: EventType, data: Message) -> None:
    event = Event(
        event_id=f"event-{kind}-{data.model_dump().get('by')}", event_type=kind, order_id=order_id,
        occurred_at=to_rfc3339(api.world.now_ms), payment_id=None, sequence=1, causation_id="c",
        correlation_id="c", producer=OPERATORS, data=data,
    )  # fmt: skip
    await api.world.feed(ORDER_AUDIT, order_id, encode(event))


async def delivered(api: Api) -> dict[str, str]:
    """An order whose timeline has something of everybody."""
    order = await api.paid()
    order_id = order["orderId"]
    kitchen = api.staff.issue(Role.KITCHEN, "ravi@kitchen.example", "annapurna-bengaluru")
    courier = api.staff.issue(Role.COURIER, "carla@fleet.example")
    for path, token in (
        (f"/api/orders/{order_id}/ready", kitchen),  # refused: it comes too early
        (f"/api/orders/{order_id}/accept", kitchen),
        (f"/api/orders/{order_id}/start-preparing", kitchen),
        (f"/api/orders/{order_id}/ready", kitchen),
        (f"/api/deliveries/{order_id}/assign", courier),
        (f"/api/deliveries/{order_id}/pick-up", courier),
        (f"/api/deliveries/{order_id}/deliver", courier),
    ):
        await api.post(path, {}, token=token)
    refund = {"amount": 1000, "reason": "fraudulent"}
    await api.post(f"/api/payments/{order_id}/refunds", refund, token=api.operator)
    await until_true(lambda: not api.world.tasks)
    settled = DeadLetterSettled(
        dead_letter_id="payment-commands/0/17", service="payments", topic="payment-commands",
        partition=0, offset=17, error="ValueError", reason=REASON, by="operator:olga",
    )  # fmt: skip
    await audit(api, order_id, E.DEAD_LETTER_DISCARDED, settled)
    for by in ("customer:guest_1", "kitchen:ravi@kitchen.example", "operator:olga"):
        refused = CommandRefused(
            command_id="cmd_of_theirs", command_type="CANCEL_ORDER", code="ORDER_DELIVERED", detail="-",
            by=by,
        )  # fmt: skip
        await audit(api, order_id, E.COMMAND_REFUSED, refused)
    return order


async def test_the_timeline_tells_each_reader_what_concerns_them(api: Api) -> None:
    order = await delivered(api)
    path = f"/api/orders/{order['orderId']}/timeline"
    _, whole = await api.get(path, api.operator)
    _, told = await api.get(path, order["orderToken"])
    kinds = [entry["eventType"] for entry in told["entries"]]
    all_kinds = {entry["eventType"] for entry in whole["entries"]}
    for kind in (E.DEAD_LETTER_DISCARDED, E.EFFECT_REQUESTED, E.EFFECT_FINISHED):
        assert kind in all_kinds
        assert kind not in kinds
    for kind in (E.PAYMENT_COMPLETED, E.ORDER_CREATED, E.DELIVERY_ASSIGNED, E.ORDER_DELIVERED):
        assert kind in kinds
    assert kinds.count(E.COMMAND_REFUSED) == 1, "what the customer asked for"
    text = orjson.dumps(told).decode()
    for secret in (
        REASON,
        "payment-commands",
        "olga",
        "ravi",
        "carla",
        "fraudulent",
        "cmd_of_theirs",
    ):
        assert secret in orjson.dumps(whole).decode(), secret
        assert secret not in text, secret
    details = {name for entry in told["entries"] for name in entry["detail"]}
    assert not details & STAFF_ONLY_FIELDS


async def test_views_and_streams_name_no_courier_and_no_suspicion(api: Api) -> None:
    order = await delivered(api)
    order_id, token = order["orderId"], order["orderToken"]
    past = to_rfc3339(api.world.now_ms + 1000).replace("+", "%2B")
    for path in (
        f"/api/orders/{order_id}", f"/api/orders/{order_id}?asOf={past}", f"/api/payments/{order_id}"
    ):  # fmt: skip
        status, whole = await api.get(path, api.operator)
        assert status == 200, whole
        _, told = await api.get(path, token)
        for secret in ("fraudulent", *(["carla"] if "orders" in path else [])):
            assert secret in str(whole), path
            assert secret not in str(told), path
    headers = {"Authorization": f"Bearer {token}"}
    async with api.client.get(f"/api/orders/{order_id}/stream", headers=headers) as stream:
        async with asyncio.timeout(10):
            first = (await stream.content.readuntil(b"\r\n\r\n")).decode()
        assert order_id in first
        assert "carla" not in first
        assert "fraudulent" not in first


@pytest.mark.parametrize("reason", ["stolen_card", "lost_card", "fraudulent", "pickup_card"])
async def test_a_thief_learns_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    order = await api.order()
    charge = Stripe._charge

    def declined(stripe: Stripe, card: str) -> None:
        charge(stripe, card)
        stripe.intent["last_payment_error"]["decline_code"] = reason

    monkeypatch.setattr(Stripe, "_charge", declined)
    status, answer = await api.confirm(order, "pm_card_chargeDeclined")
    assert (status, answer["status"]) == (200, "FAILED")
    order_id = order["orderId"]
    told = [answer]
    for path in (f"orders/{order_id}", f"payments/{order_id}", f"orders/{order_id}/timeline"):
        _, whole = await api.get(f"/api/{path}", api.operator)
        assert reason in str(whole), "operators see what the bank said"
        told.append((await api.get(f"/api/{path}", order["orderToken"]))[1])
    assert reason not in str(told)
    assert answer["failureCode"] == "generic_decline"


def test_every_type_is_for_customers_or_for_operators_alone() -> None:
    assert set(EventType) == CUSTOMERS | OPERATOR_EVENTS
    assert not CUSTOMERS & OPERATOR_EVENTS
    assert OPERATOR_EVENTS <= AUDIT_TYPES
