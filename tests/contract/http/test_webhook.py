"""Stripe's webhook: real signatures over the raw bytes, and 200 only once Kafka has the facts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from models import ids
from models.commands import WebhookReceived
from models.errors import StripeUnavailableError
from tests.support.http_api import SECRETS, Api, MakeApi
from tests.support.webhooks import event, signature

PATH = "/webhooks/stripe"


async def post(api: Api, payload: bytes, signed: str | None = None) -> tuple[int, Any]:
    headers = {"Stripe-Signature": signature(payload) if signed is None else signed}
    if signed == "":
        headers = {}
    async with api.client.post(PATH, data=payload, headers=headers) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("secret", SECRETS)
async def test_signed_event_is_recorded_as_facts(api: Api, secret: str) -> None:
    order = await api.order()
    payload = event(order["orderId"])
    status, answer = await post(api, payload, signature(payload, secret))
    assert (status, answer) == (200, {"received": True, "recorded": True})
    (received,) = api.world.webhooks
    assert (received.order_id, received.stripe_event_id) == (order["orderId"], "evt_1")
    _, view = await api.get(f"/api/payments/{order['orderId']}", order["orderToken"])
    assert (view["status"], view["failureCode"]) == ("FAILED", "card_declined")


async def test_event_of_an_order_that_is_not_there_yet_is_recorded_too(api: Api) -> None:
    order_id = ids.order_id("guest", "unknown")
    assert await post(api, event(order_id)) == (200, {"received": True, "recorded": True})
    assert api.world.webhooks[0].order_id == order_id


@pytest.mark.parametrize(
    "payload",
    [
        event(None),
        event("not ours"),
        event(ids.order_id("g", "k"), type="customer.created"),
        b'{"id":"evt_2","object":"v2.core.event","type":"v2.core.account.updated","livemode":false}',
        b'{"object":"v2.core.event","id":[1],"type":null}',
    ],
    ids=["no order", "foreign order", "not subscribed", "thin event", "odd thin event"],
)
async def test_event_that_is_nobodys_is_taken_and_dropped(api: Api, payload: bytes) -> None:
    assert await post(api, payload) == (200, {"received": True, "recorded": False})
    assert not api.world.webhooks


@pytest.mark.parametrize(
    ("signed", "code"),
    [
        (lambda _: "", "SIGNATURE_MISSING"),
        (lambda _: "garbage", "SIGNATURE_INVALID"),
        (lambda _: "t=1,v1=é", "SIGNATURE_INVALID"),
        (lambda p: signature(p).replace("v1=", "v0="), "SIGNATURE_INVALID"),
        (lambda p: signature(p, "whsec_foreign"), "SIGNATURE_INVALID"),
        (lambda p: signature(p + b" "), "SIGNATURE_INVALID"),
        (lambda p: signature(p, at=time.time() - 301), "SIGNATURE_INVALID"),
    ],
    ids=["missing", "garbage", "not ascii", "other scheme", "foreign", "of other bytes", "old"],
)
async def test_wrong_signature_is_refused(api: Api, signed: Any, code: str) -> None:
    payload = event(ids.order_id("g", "k"))
    status, problem = await post(api, payload, signed(payload))
    assert (status, problem["code"]) == (400, code)
    assert problem["errors"][0]["field"] == "Stripe-Signature"
    assert not api.world.webhooks


@pytest.mark.parametrize("livemode", [True, False])
async def test_event_of_the_other_mode_is_refused(make_api: MakeApi, livemode: bool) -> None:
    api = await make_api(livemode=livemode)
    payload = event(ids.order_id("g", "k"), livemode=not livemode)
    status, problem = await post(api, payload)
    assert (status, problem["code"]) == (400, "LIVEMODE_MISMATCH")
    assert not api.world.webhooks


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        b"not json",
        event("x", livemode=None),
        event("x", id=1),
        event("x", data=[]),
        event("x", object="charge"),
    ],
    ids=["empty", "array", "not json", "no livemode", "no id", "no data", "another object"],
)
async def test_signed_nonsense_is_refused(api: Api, payload: bytes) -> None:
    status, problem = await post(api, payload)
    assert (status, problem["code"]) == (400, "EVENT_INVALID")


async def test_kafka_away_is_503_so_that_stripe_sends_it_again(api: Api) -> None:
    api.world.kafka_is_up = False
    payload = event(ids.order_id("g", "k"))
    assert (await post(api, payload))[0] == 503
    api.world.kafka_is_up = True
    assert (await post(api, payload))[0] == 200


async def test_stripe_away_when_it_must_be_asked_is_503(make_api: MakeApi) -> None:
    async def ask(_: Mapping[str, Any]) -> WebhookReceived | None:
        raise StripeUnavailableError

    api = await make_api(reduce_webhook=ask)
    status, problem = await post(api, event(None))
    assert (status, problem["code"]) == (503, "STRIPE_UNAVAILABLE")


async def test_foreign_pages_matter_not_to_a_signed_event(api: Api) -> None:
    payload = event(ids.order_id("g", "k"))
    headers = {"Stripe-Signature": signature(payload), "Origin": "https://stripe.example"}
    async with api.client.post(PATH, data=payload, headers=headers) as response:
        assert response.status == 200
