"""The three flows and the matrix of events, held against what an outside consumer reads from real topics."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp
import pytest

from sandbox.card_numbers import DECLINED, VISA
from sandbox.customer import ADDRESS, CONTACT
from sandbox.demo_flows import FLOWS, Flow, play
from sandbox.platform import Platform
from tests.e2e.shop import CANCELLED, PAID, REFUNDED, Buyer, Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import (
    Record,
    Topics,
    payment_events,
    types,
)
from tests.support.waiting import until

ENDINGS = {"PENDING": PAID, "REFUNDED": REFUNDED}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.title)
async def test_flow(shop: Shop, flow: Flow) -> None:
    async with shop.buyer() as buyer:
        history, wrong = await play(flow, buyer)
        assert not wrong
        records = await shop.ends(buyer, ENDINGS[flow.order])
        happened = {event["eventId"] for event in kafka_invariants.events(records)}

        async def told() -> bool:
            return {row["eventId"] for row in await buyer.timeline()} >= happened

        await until(told, "a timeline with every event")
    assert [row["tMs"] for row in history] == sorted(row["tMs"] for row in history)


class Publishes(NamedTuple):
    """Who publishes an event, its topic, and the fields of its payload."""

    producer: str
    event: str
    topic: str
    payload: set[str]


class Consumes(NamedTuple):
    """Who consumes an event, and what it publishes because of it."""

    producer: str
    event: str
    leads_to: str
    data: dict[str, Any]


PUBLISHES = [
    Publishes("payments", "PAYMENT_INITIATED", "payment-initiated",
              {"orderId", "amount", "userId"}),
    Publishes("payments", "PAYMENT_PROCESSING", "payment-processing",
              {"paymentId", "stripeIntentId"}),
    Publishes("payments", "PAYMENT_COMPLETED", "payment-completed",
              {"paymentId", "orderId", "receiptUrl", "stripeChargeId"}),
    Publishes("payments", "PAYMENT_FAILED", "payment-failed",
              {"paymentId", "orderId", "failureReason"}),
    Publishes("payments", "PAYMENT_CANCELLED", "payment-cancelled",
              {"paymentId", "orderId", "cancelReason"}),
    Publishes("payments", "PAYMENT_REFUNDED", "payment-refunded",
              {"paymentId", "orderId", "refundId"}),
    Publishes("orders", "PAYMENT_REFUND_INITIATED", "payment-refund-initiated",
              {"orderId", "paymentId", "reason"}),
    Publishes("orders", "ORDER_CREATED", "order-events", {"orderId", "status"}),
]  # fmt: skip
CONSUMES = [
    Consumes("orders", "PAYMENT_INITIATED", "ORDER_PAYMENT_PENDING", {}),
    Consumes("orders", "PAYMENT_COMPLETED", "ORDER_CREATED", {"status": "PENDING"}),
    Consumes("orders", "PAYMENT_FAILED", "ORDER_PAYMENT_FAILED", {}),
    Consumes("orders", "PAYMENT_REFUNDED", "ORDER_REFUNDED", {}),
    Consumes("payments", "PAYMENT_REFUND_INITIATED", "EFFECT_REQUESTED", {"kind": "REFUND"}),
    Consumes("deliveries", "ORDER_CREATED", "DELIVERY_CREATED", {}),
]
SECRETS = {
    **{f"contact.{name}": text for name, text in CONTACT.items()},
    **{f"address.{name}": text for name, text in ADDRESS.items()},
}
"""What of the customer may be in order-commands and the orders table alone."""
KEEPS_CONTACT = {"order-commands", "tiffin-orders-changelog"}
NOWHERE = {"client secret": "_secret_", "Visa": VISA, "declined card": DECLINED, "cvc": '"cvc"'}


async def _play_all(platform: Platform, topics: Topics) -> list[Record]:
    """One order that is declined, paid and refunded, and one that is cancelled unpaid."""
    async with aiohttp.ClientSession() as session:
        shop = Shop(platform, topics, session)
        refunded, unpaid = shop.buyer(), shop.buyer()
        await asyncio.gather(_decline_pay_cancel(refunded), _cancel_unpaid(unpaid))
        await shop.ends(refunded, REFUNDED)
        await shop.ends(unpaid, CANCELLED)
        await until(lambda: _is_told(shop, refunded), "all messages to be sent")
        return await shop.records(refunded, unpaid)


async def _is_told(shop: Shop, buyer: Buyer) -> bool:
    """The last event by which the customer is notified has been followed by its two messages."""
    audit = kafka_invariants.events(await shop.records(buyer), kafka_invariants.AUDIT)
    about = [e["data"]["about"] for e in audit if e["eventType"] == "NOTIFICATION_SENT"]
    return all(
        about.count(event) == 2
        for event in ("PAYMENT_COMPLETED", "PAYMENT_FAILED", "PAYMENT_REFUNDED")
    )


async def _decline_pay_cancel(buyer: Buyer) -> None:
    await buyer.place()
    await buyer.pay(DECLINED)
    await buyer.pay(VISA)
    await buyer.wait_status("PENDING")
    await buyer.cancel_order()


async def _cancel_unpaid(buyer: Buyer) -> None:
    await buyer.place()
    await buyer.cancel_order()


@pytest.fixture(scope="module")
def history(platform: Platform, topics: Topics) -> list[Record]:
    return asyncio.run(_play_all(platform, topics))


@pytest.mark.parametrize("row", PUBLISHES, ids=lambda row: row.event)
def test_who_publishes_what(history: list[Record], row: Publishes) -> None:
    found = [e for e in kafka_invariants.events(history, row.topic) if e["eventType"] == row.event]
    assert found, f"no {row.event} in {row.topic}"
    for event in found:
        assert event["producer"] == row.producer
        data = event["data"]
        assert data.keys() >= row.payload
        assert all(data[name] not in {None, ""} for name in row.payload), data
    family = "order-events" if row.event.startswith("ORDER") else "payment-events"
    again = [e for e in kafka_invariants.events(history, family) if e["eventType"] == row.event]
    assert again == found


@pytest.mark.parametrize("row", CONSUMES, ids=lambda row: f"{row.producer}-{row.event}")
def test_who_consumes_what(history: list[Record], row: Consumes) -> None:
    causes = [e for e in kafka_invariants.events(history) if e["eventType"] == row.event]
    assert causes
    found = kafka_invariants.events(history, *kafka_invariants.FAMILIES, kafka_invariants.AUDIT)
    for cause in causes:
        led_to = [
            event
            for event in found
            if event["causationId"] == cause["eventId"]
            and event["producer"] == row.producer
            and event["eventType"] == row.leads_to
        ]
        assert len(led_to) == 1, f"{row.event} led to {types(led_to)}"
        assert led_to[0]["data"].items() >= row.data.items()
        assert led_to[0]["correlationId"] == cause["correlationId"]


@pytest.mark.parametrize("event", ["PAYMENT_COMPLETED", "PAYMENT_FAILED", "PAYMENT_REFUNDED"])
def test_the_customer_is_told_by_email_and_sms(history: list[Record], event: str) -> None:
    """Notifications consume it; the audit says what was sent, and nothing of to whom."""
    causes = [e for e in kafka_invariants.events(history) if e["eventType"] == event]
    audit = kafka_invariants.events(history, kafka_invariants.AUDIT)
    sent = [e["data"] for e in audit if e["eventType"] == "NOTIFICATION_SENT"]
    assert causes
    for cause in causes:
        channels = [each["channel"] for each in sent if each["aboutEventId"] == cause["eventId"]]
        assert sorted(channels) == ["EMAIL", "SMS"]


def test_money_is_in_minor_units_of_the_catalogue(history: list[Record]) -> None:
    for event in payment_events(history):
        if "amount" in event["data"]:
            assert (event["data"]["amount"], event["data"]["currency"]) == (26_500, "INR")


def test_one_trace_from_the_click_to_the_refund(history: list[Record]) -> None:
    """An event's trace is that of the command, webhook or event that caused it."""
    traces: dict[str, str] = {}
    for record in history:
        traces.setdefault(record.headers["ce_id"], record.headers["traceparent"])
    checked = 0
    for event in kafka_invariants.events(history):
        if event["causationId"] in traces:
            assert traces[event["eventId"]] == traces[event["causationId"]]
            checked += 1
    assert checked > 10


def test_a_result_of_stripes_belongs_to_the_trace_of_what_asked_for_it(
    history: list[Record],
) -> None:
    """So does the money that it moves: one trace from the click on, whatever Stripe takes."""
    asked = {
        (event["data"]["effectId"], event["data"]["idempotencyKey"]): traces_id(record)
        for record in history
        if record.topic == "order-audit"
        and (event := record.body)["eventType"] == "EFFECT_REQUESTED"
    }
    told = {
        (command["data"]["effectId"], command["data"]["idempotencyKey"]): traces_id(record)
        for record in history
        if record.topic == "payment-commands"
        and (command := record.body)["commandType"] == "STRIPE_RESULT"
    }
    assert len(told) >= len(FLOWS) * 2
    assert told == {effect: asked[effect] for effect in told}


def traces_id(record: Record) -> str:
    """The trace alone: each of its steps has a span of its own."""
    return record.headers["traceparent"].split("-")[1]


@pytest.fixture
def everything(topics: Topics, history: list[Record]) -> list[Record]:
    """All that Kafka holds, changelogs too."""
    return [*history, *topics.read()]


def test_every_record_is_a_cloudevent_of_its_schema(everything: list[Record]) -> None:
    """Read as a consumer in another language reads: by the cloudevents library and docs/schemas."""
    ours = [
        record
        for record in everything
        if not record.topic.endswith(kafka_invariants.CHANGELOG)
        and kafka_invariants.PUT_BY_TEST not in record.headers
    ]
    for record in ours:
        kafka_invariants.check_cloudevent(record)
    assert {record.topic for record in ours} >= {
        "order-commands", "payment-commands", "notification-commands", "payment-webhook-received",
        "payment-events", "payment-refund-initiated", "payment-completed", "order-events",
        "delivery-events", "order-audit", "reconciliation", "worker-clocks",
        "platform-identity", "restaurant-takings",
    }  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_personal_data_is_where_it_is_allowed_alone(
    everything: list[Record], platform: Platform, name: str
) -> None:
    text = SECRETS[name]
    holders = {record.topic for record in everything if _holds(record, text)}
    assert holders == KEEPS_CONTACT
    assert not _in_logs(platform, text)


@pytest.mark.parametrize("name", NOWHERE)
def test_secrets_and_cards_are_nowhere(
    everything: list[Record], platform: Platform, name: str
) -> None:
    text = NOWHERE[name]
    assert not {record.topic for record in everything if _holds(record, text)}
    assert not _in_logs(platform, text)


def _holds(record: Record, text: str) -> bool:
    whole = b"\n".join(
        [
            record.value or b"",
            (record.key or "").encode(),
            *map(str.encode, record.headers.values()),
        ]
    )
    return text.encode() in whole or json.dumps(text)[1:-1].encode() in whole


def _in_logs(platform: Platform, text: str) -> list[str]:
    logs = [platform.log_path(number) for number in range(len(platform.workers))]
    assert all(log.stat().st_size for log in logs)
    return [log.name for log in logs if text.encode() in log.read_bytes()]
