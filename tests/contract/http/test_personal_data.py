"""An order's timeline, views and stream: each reader sees what concerns them, and no more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson
import pytest

from models.commands import WebhookReceived
from models.events import (
    AUDIT_TYPES,
    OPERATORS,
    CommandRefused,
    DeadLetterSettled,
    Event,
    EventType,
)
from models.messages import Message, encode
from models.stripe_facts import FraudWarningFacts, ReviewFacts
from models.times import DAY_MS, to_rfc3339
from models.topics import ORDER_AUDIT
from tests.support.http_api import Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.payment_flow import Stripe
from tests.support.waiting import until_true
from web.api.timeline import ABOUT_FRAUD, CUSTOMERS, STAFF_ONLY_FIELDS
from web.http.tokens import Role

E = EventType
OPERATOR_EVENTS = frozenset(
    {
        E.EFFECT_REQUESTED, E.EFFECT_FINISHED, E.WEBHOOK_RECEIVED, E.ANOMALY_SEEN,
        E.NOTIFICATION_FAILED, E.NOTIFICATION_RETRIED, E.DEAD_LETTER_REDRIVEN,
        E.DEAD_LETTER_DISCARDED, E.ORDERS_SEARCHED, E.RECORD_SKIPPED, E.NOTIFICATION_HELD,
        E.UPGRADE_FINISHED, E.STATE_REPAIRED,
        E.STAFF_REVOKED,
    }
) | ABOUT_FRAUD  # fmt: skip
"""How it was done, what went wrong inside, what operators wrote about it, and who is suspected."""
SUSPICIONS = (
    "issfr_1",
    "prv_1",
    "made_with_stolen_card",
    "FRAUD",
    "REVIEW",
    "review",
    "raudWarning",
)
REASON = "wrong amount, see chat with the bank: customer looks like a fraud"


async def audit(api: Api, order_id: str, kind: EventType, data: Message) -> None:
    event = Event(
        event_id=f"event-{kind}-{getattr(data, 'by', None)}", event_type=kind, order_id=order_id,
        occurred_at=to_rfc3339(api.world.now_ms), payment_id=None, sequence=1, causation_id="c",
        correlation_id="c", producer=OPERATORS, data=data,
    )  # fmt: skip
    await api.world.feed(ORDER_AUDIT, order_id, encode(event))


async def suspect(api: Api, order_id: str) -> None:
    """The card's issuer and a rule of Radar suspect a fraud."""
    _, payment = await api.get(f"/api/payments/{order_id}", api.operator)
    intent = payment["stripeIntentId"]
    for kind, facts in (
        ("radar.early_fraud_warning.created", {
            "fraud_warning": FraudWarningFacts(
                warning_id="issfr_1", intent_id=intent, fraud_type="made_with_stolen_card",
                is_actionable=True,
            ),
        }),
        ("review.opened", {
            "review": ReviewFacts(
                review_id="prv_1", intent_id=intent, is_open=True, opened_reason="rule"
            ),
        }),
    ):  # fmt: skip
        await api.world.send_webhook(
            WebhookReceived(
                order_id=order_id, stripe_event_id=f"evt_{kind}", stripe_event_type=kind,
                created=1_700_000_000, **cast("dict[str, Any]", facts),
            )
        )  # fmt: skip
    await until_true(lambda: not api.world.tasks)


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
    await suspect(api, order_id)
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
        "issfr_1",
        "prv_1",
        "FRAUD",
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
        for secret in SUSPICIONS[:3]:
            assert (secret in str(whole)) or "asOf" in path, path
        for secret in SUSPICIONS:
            assert secret not in str(told), path
        for secret in ("fraudulent", *(["carla"] if "orders" in path else [])):
            assert secret in str(whole), path
            assert secret not in str(told), path
    headers = {"Authorization": f"Bearer {token}"}
    async with api.client.get(f"/api/orders/{order_id}/stream", headers=headers) as stream:
        async with asyncio.timeout(10):
            first = (await stream.content.readuntil(b"\r\n\r\n")).decode()
        assert order_id in first
        assert "carla" not in first
        assert not [secret for secret in ("fraudulent", *SUSPICIONS) if secret in first]


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
    assert OPERATOR_EVENTS - ABOUT_FRAUD <= AUDIT_TYPES


async def test_operators_see_a_suspicion_at_the_order_and_among_what_is_stuck(
    make_api: MakeApi,
) -> None:
    days = 0
    world = InMemoryBackend()
    api = await make_api(world, now_ms=lambda: world.now_ms + days * DAY_MS)
    order = await api.paid()
    order_id = order["orderId"]
    await suspect(api, order_id)
    _, found = await api.get("/api/ops/stuck?actor=OPERATOR", api.operator)
    listed = {row["subject"]: row for row in found["stuck"]}
    assert listed.keys() == {"FRAUD_WARNING", "REVIEW"}
    assert "refund in full" in listed["FRAUD_WARNING"]["advice"]
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    for path, words in (
        (
            f"/ops/orders/{order_id}",
            ("issfr_1", "prv_1", "Made with stolen card", "refund in full"),
        ),
        ("/ops/stuck", ("Fraud warning", "refund in full")),
    ):
        async with api.client.get(path, headers=headers) as page:
            text = await page.text()
            assert page.status == 200
            assert [word for word in words if word not in text] == []
    cookies = {"Authorization": f"Bearer {order['orderToken']}", "Accept": "text/html"}
    async with api.client.get(f"/orders/{order_id}", headers=cookies) as page:
        assert page.status == 200
        assert not [word for word in SUSPICIONS[:4] if word in await page.text()]
    days = 31
    _, found = await api.get("/api/ops/stuck?actor=OPERATOR", api.operator)
    subjects = {row["subject"] for row in found["stuck"]}
    assert "REVIEW" in subjects
    assert "FRAUD_WARNING" not in subjects, "Stripe asks for no answer"
    days = 0
    refund = {"reason": "fraudulent"}
    status, _, _ = await api.post(f"/api/payments/{order_id}/refunds", refund, token=api.operator)
    assert status == 201
    await until_true(lambda: not api.world.tasks)
    _, found = await api.get("/api/ops/stuck?actor=OPERATOR", api.operator)
    assert not found["stuck"]
