"""Events and webhooks: signatures, retries, and delivery late, twice, out of order or never."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from tests.contract.stripe_sandbox.stripe_client import (
    OLD_SECRET,
    SECRET,
    Endpoint,
    StripeShop,
    refused,
)
from tests.support.waiting import until_true

CREATED_AND_PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_deliveries_are_signed_with_every_secret(
    shop: StripeShop, endpoint: Endpoint
) -> None:
    intent = await shop.pay()
    await until_true(lambda: len(endpoint.deliveries) == 3)
    for body, header in endpoint.deliveries:
        for secret in (SECRET, OLD_SECRET):
            event = shop.client.construct_event(body, header, secret)
            stripe.Webhook.construct_event(body, header, secret)
        stored = await shop.client.v1.events.retrieve_async(event.id)
        assert stored.type == event.type
        assert event.api_version == stripe.api_version
    assert sorted(endpoint.types()) == sorted(CREATED_AND_PAID)
    body, header = endpoint.deliveries[0]
    for wrong_body, wrong_secret in ((body + b" ", SECRET), (body, "whsec_other")):
        with pytest.raises(stripe.SignatureVerificationError):
            shop.client.construct_event(wrong_body, header, wrong_secret)
    subjects = [json.loads(raw)["data"]["object"] for raw, _ in endpoint.deliveries]
    assert {s.get("payment_intent", s["id"]) for s in subjects} == {intent.id}


async def test_a_rolled_secret_signs_beside_the_old_one(
    shop: StripeShop, endpoint: Endpoint
) -> None:
    (hook,) = (await shop.client.v1.webhook_endpoints.list_async()).data
    rolled = await shop.control("POST", "/webhooks/roll_secret", {"webhook_endpoint": hook.id})
    await shop.create()
    await until_true(lambda: len(endpoint.deliveries) == 1)
    for secret in (SECRET, rolled["secret"]):
        assert shop.client.construct_event(*endpoint.deliveries[0], secret).type


async def test_a_refused_delivery_is_tried_again(shop: StripeShop, endpoint: Endpoint) -> None:
    endpoint.refusals = 3
    await shop.create()
    await until_true(lambda: len(endpoint.deliveries) == 4)
    assert len({body for body, _ in endpoint.deliveries}) == 1
    events = shop.client.v1.events.list_async
    await until_true(lambda: shop.sandbox.webhooks.deliveries[0].state != "pending")
    assert len((await events({"delivery_success": True})).data) == 1
    assert (await events({"delivery_success": False})).data == []


async def test_an_endpoint_that_is_away_gets_it_later(shop: StripeShop, endpoint: Endpoint) -> None:
    (hook,) = (await shop.client.v1.webhook_endpoints.list_async()).data
    update = shop.client.v1.webhook_endpoints.update_async
    await update(hook.id, {"url": "http://127.0.0.1:9/nobody"})
    await shop.create()
    await until_true(lambda: shop.sandbox.webhooks.deliveries[0].attempts > 2)
    await update(hook.id, {"url": endpoint.url})
    await until_true(lambda: endpoint.types() == ["payment_intent.created"])


async def test_lost_webhooks_are_found_in_the_events(shop: StripeShop, endpoint: Endpoint) -> None:
    await shop.control(
        "POST", "/webhooks/rules", {"kind": "lose", "events": r"^payment_intent\.succeeded$"}
    )
    intent = await shop.pay()
    await until_true(lambda: len(endpoint.deliveries) == 2)
    assert "payment_intent.succeeded" not in endpoint.types()
    (lost,) = await shop.control("GET", "/webhooks/undelivered")
    assert (lost["type"], lost["state"]) == ("payment_intent.succeeded", "lost")
    missed = (await shop.client.v1.events.list_async({"delivery_success": False})).data
    assert [event.id for event in missed] == [lost["event"]]
    found: Any = missed[0].data.object
    assert (found["id"], found["status"]) == (intent.id, "succeeded")
    await shop.control("POST", "/webhooks/redeliver", {"event": lost["event"]})
    await until_true(lambda: "payment_intent.succeeded" in endpoint.types())


async def test_twice(shop: StripeShop, endpoint: Endpoint) -> None:
    rule = {"kind": "duplicate", "events": r"^charge\.succeeded$", "copies": 3}
    await shop.control("POST", "/webhooks/rules", rule)
    await shop.pay()
    await until_true(lambda: len(endpoint.deliveries) == 5)
    assert endpoint.types().count("charge.succeeded") == 3


async def test_held_and_released_in_reverse(shop: StripeShop, endpoint: Endpoint) -> None:
    await shop.control("POST", "/webhooks/rules", {"kind": "hold", "times": None})
    await shop.pay()
    assert endpoint.deliveries == []
    assert len(await shop.control("GET", "/webhooks/undelivered")) == 3
    released = await shop.control(
        "POST", "/webhooks/release", {"order": "reverse", "events": "payment_intent"}
    )
    assert released == {"released": 2}
    await until_true(lambda: len(endpoint.deliveries) == 2)
    assert endpoint.types() == ["payment_intent.succeeded", "payment_intent.created"]
    assert await shop.control("DELETE", "/webhooks/rules") == {"cleared": 1, "released": 1}
    await until_true(lambda: len(endpoint.deliveries) == 3)


async def test_out_of_order(shop: StripeShop, endpoint: Endpoint) -> None:
    rule = {"kind": "reorder", "batch": 3, "times": 3}
    await shop.control("POST", "/webhooks/rules", rule)
    await shop.pay()
    await until_true(lambda: len(endpoint.deliveries) == 3)
    assert endpoint.types() == CREATED_AND_PAID[::-1]


async def test_delayed(shop: StripeShop, endpoint: Endpoint) -> None:
    rule = {"kind": "delay", "events": "created", "delay_s": 0.1}
    await shop.control("POST", "/webhooks/rules", rule)
    await shop.pay()
    await until_true(lambda: len(endpoint.deliveries) == 3)
    assert sorted(endpoint.types()) == sorted(CREATED_AND_PAID)


async def test_a_rule_for_one_payment_only(shop: StripeShop, endpoint: Endpoint) -> None:
    lost, kept = await shop.create(), await shop.create()
    await until_true(lambda: len(endpoint.deliveries) == 2)
    rule = {"kind": "lose", "payment_intent": lost.id, "times": None}
    await shop.control("POST", "/webhooks/rules", rule)
    await shop.confirm(lost.id, "pm_card_visa")
    await shop.confirm(kept.id, "pm_card_visa")
    await until_true(lambda: len(endpoint.deliveries) == 4)
    subjects = [json.loads(body)["data"]["object"] for body, _ in endpoint.deliveries[2:]]
    assert {s.get("payment_intent", s["id"]) for s in subjects} == {kept.id}


async def test_an_event_names_the_request_and_key_that_caused_it(shop: StripeShop) -> None:
    await shop.create(key="pi:order_1:1")
    event = (await shop.client.v1.events.list_async()).data[0]
    assert event.request is not None
    assert event.request.idempotency_key == "pi:order_1:1"
    assert str(event.request.id).startswith("req_")


async def test_events_by_type_time_and_page(shop: StripeShop) -> None:
    events = shop.client.v1.events.list_async
    for _ in range(4):
        await shop.pay()
    every = [e async for e in (await events({"limit": 5})).auto_paging_iter()]
    assert len(every) == len({e.id for e in every}) == 12
    some = await events({"types": ["charge.succeeded", "payment_intent.created"], "limit": 100})
    assert len(some.data) == 8
    assert len((await events({"type": "payment_intent.*", "limit": 100})).data) == 8
    # A cursor that the filter leaves out still has its place.
    page = await events({"type": "charge.succeeded", "starting_after": every[1].id, "limit": 2})
    charges = [e.id for e in every if e.type == "charge.succeeded"]
    newer = [e.id for e in every[:2] if e.type == "charge.succeeded"]
    assert [e.id for e in page.data] == charges[len(newer) : len(newer) + 2]
    now = every[0].created
    assert (await events({"created": {"gt": now}})).data == []
    assert len((await events({"created": {"gte": now - 60}, "limit": 100})).data) == 12
    both: Any = {"type": "charge.succeeded", "types": ["charge.failed"]}
    assert (await refused(events(both))).code == "parameters_exclusive"


async def test_endpoints_of_the_api(shop: StripeShop, endpoint: Endpoint) -> None:
    v1 = shop.client.v1.webhook_endpoints
    wanted: Any = {"url": endpoint.url, "enabled_events": ["charge.failed"], "description": "late"}
    made = await v1.create_async(wanted)
    await shop.create()
    await until_true(lambda: endpoint.types() == ["payment_intent.created"])
    await refused(shop.pay("pm_card_visa_chargeDeclined"))
    await until_true(lambda: endpoint.types().count("charge.failed") == 2)
    assert (await v1.update_async(made.id, {"disabled": True})).status == "disabled"
    assert (await v1.delete_async(made.id)).deleted is True
    assert (await refused(v1.retrieve_async(made.id))).code == "resource_missing"
    wanted["url"] = "shop"
    assert (await refused(v1.create_async(wanted))).code == "url_invalid"
