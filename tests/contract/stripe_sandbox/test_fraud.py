"""Early fraud warnings and reviews: raised by the control API, sent signed, settled as Stripe does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import stripe

from tests.contract.stripe_sandbox.stripe_client import SECRET, Endpoint, StripeShop
from tests.support.waiting import until_true

WARNING = "radar.early_fraud_warning"


async def warn(shop: StripeShop, intent: str) -> Any:
    return await shop.control("POST", "/fraud_warnings", {"payment_intent": intent})


async def review(shop: StripeShop, intent: str) -> Any:
    return await shop.control("POST", "/reviews", {"payment_intent": intent})


async def latest(shop: StripeShop, count: int) -> list[str]:
    return sorted((await shop.event_types())[-count:])


async def test_both_have_the_keys_of_the_sdk(shop: StripeShop) -> None:
    intent = await shop.pay()
    for made, kind in (
        (await warn(shop, intent.id), stripe.radar.EarlyFraudWarning),
        (await review(shop, intent.id), stripe.Review),
    ):
        public: Any = kind
        assert made.keys() == {
            name for name in public.__annotations__ if not name.startswith("_") and name.islower()
        }


async def test_a_warning_is_sent_signed(shop: StripeShop, endpoint: Endpoint) -> None:
    intent = await shop.pay()
    warning = await warn(shop, intent.id)
    await until_true(lambda: f"{WARNING}.created" in endpoint.types())
    body, header = endpoint.deliveries[endpoint.types().index(f"{WARNING}.created")]
    assert orjson.loads(body)["data"]["object"] == warning
    assert shop.client.construct_event(body, header, SECRET).type == f"{WARNING}.created"
    assert (warning["actionable"], warning["payment_intent"]) == (True, intent.id)


@pytest.mark.parametrize("way", ["refund", "dispute"])
async def test_a_full_refund_and_a_dispute_settle_both(shop: StripeShop, way: str) -> None:
    intent = await shop.pay()
    await warn(shop, intent.id)
    opened = await review(shop, intent.id)
    if way == "refund":
        refunds = shop.client.v1.refunds
        await refunds.create_async({"payment_intent": intent.id, "amount": 100})
        assert await latest(shop, 1) == ["charge.refunded"], "a part is no settlement"
        await refunds.create_async({"payment_intent": intent.id})
    else:
        await shop.control("POST", "/disputes", {"payment_intent": intent.id})
    assert await latest(shop, 2) == [f"{WARNING}.updated", "review.closed"]
    again = await shop.control("POST", "/reviews/close", {"review": opened["id"]}, 400)
    assert "already closed" in again["error"]["message"]


async def test_a_review_is_closed_by_hand(shop: StripeShop) -> None:
    intent = await shop.pay()
    opened = await review(shop, intent.id)
    closed = await shop.control("POST", "/reviews/close", {"review": opened["id"]})
    assert (closed["open"], closed["closed_reason"]) == (False, "approved")
    assert await latest(shop, 1) == ["review.closed"]


async def test_what_was_not_charged_has_no_warning(shop: StripeShop) -> None:
    intent = await shop.create()
    answer = await shop.control("POST", "/fraud_warnings", {"payment_intent": intent.id}, 400)
    assert "no charge" in answer["error"]["message"]
