"""The gateway's contract at the stand-in and, where STRIPE_TEST_SECRET_KEY is set, at Stripe's test mode.

`make stripe-contract` runs it beside the comparison of the two. Only what any test account answers alike.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.stripe.errors import DeclinedError, InvalidError, StateConflictError
from app.stripe.gateway import Listing, StripeGateway
from app.stripe.owner_mark import OwnerMark
from models import ids
from models.stripe_facts import IntentFacts
from sandbox.stripe import StripeSandbox
from sandbox.stripe_contract.__main__ import KEY_VARIABLE, STRIPE
from sandbox.stripe_contract.player import TEST_KEYS

CONFIRM = {
    "payment_method": "pm_card_visa", "return_url": "https://eat.example/back",
    "use_stripe_sdk": True, "expand": ["latest_charge"],
}  # fmt: skip
PLATFORM = "platform_of_the_contract"


@pytest.fixture(params=["stand-in", "stripe"])
async def gateway(request: pytest.FixtureRequest) -> AsyncIterator[StripeGateway]:
    key = os.environ.get(KEY_VARIABLE, "")
    mark = OwnerMark("contract", lambda: (PLATFORM,))
    if request.param == "stripe":
        if not key.startswith(TEST_KEYS):
            pytest.skip(f"{KEY_VARIABLE} is not set to a test key: Stripe itself was not asked")
        made = StripeGateway(key, base_url=STRIPE, mark=mark)
        yield made
        await made.close()
        return
    async with StripeSandbox(settle_delay_s=None) as sandbox:
        made = StripeGateway("sk_test_x", base_url=sandbox.base_url, rate_per_s=1000, mark=mark)
        yield made
        await made.close()


class Payments:
    """Payments of one test: ids and keys that no other run has."""

    def __init__(self, gateway: StripeGateway) -> None:
        self.gateway, self.run = gateway, uuid.uuid4().hex
        self.order_id = ids.order_id("contract", self.run)
        self.metadata = {
            "orderId": self.order_id, "paymentId": ids.payment_id(self.order_id),
        }  # fmt: skip

    async def new(self, **changed: Any) -> IntentFacts:
        body = {
            "amount": 2500, "currency": "usd", "automatic_payment_methods": {"enabled": True},
            "metadata": self.metadata,
        }  # fmt: skip
        return await self.gateway.create_intent(body | changed, f"{self.run}:create")

    async def confirm(self, intent: IntentFacts, key: str = "1", **changed: Any) -> IntentFacts:
        body = CONFIRM | changed
        return await self.gateway.confirm(intent.intent_id, body, f"{self.run}:confirm:{key}")

    async def cancel(self, intent: IntentFacts, key: str = "1") -> IntentFacts:
        body = {"cancellation_reason": "abandoned"}
        return await self.gateway.cancel(intent.intent_id, body, f"{self.run}:cancel:{key}")


@pytest.fixture
def payments(gateway: StripeGateway) -> Payments:
    return Payments(gateway)


async def test_paid_and_refunded(gateway: StripeGateway, payments: Payments) -> None:
    began_s = int(time.time())
    intent = await payments.new()
    assert (await payments.new()).intent_id == intent.intent_id, "a repeated write is the same"
    assert (await gateway.client_secret(intent.intent_id)).startswith(intent.intent_id)
    paid = await payments.confirm(intent)
    assert (paid.status, paid.amount_received, paid.currency) == ("succeeded", 2500, "USD")
    assert paid.charge_id
    assert paid.receipt_url
    assert paid.card_last4 == "4242"
    assert paid.as_of
    assert abs(paid.as_of - time.time()) < 600
    charge = await gateway.find(Listing.CHARGES, paid.charge_id)
    assert charge
    assert gateway.mark.is_surely_ours(charge["metadata"]), "a charge has its intent's metadata"
    assert await gateway.order_of(intent.intent_id) == payments.order_id
    found = await gateway.find_intent(
        payments.metadata["paymentId"], created_after_s=began_s, created_before_s=time.time()
    )
    assert found
    assert found.intent_id == intent.intent_id

    part = {"payment_intent": intent.intent_id, "amount": 700, "metadata": {"refundId": "refund_1"}}
    refund = await gateway.refund(part, f"{payments.run}:refund:1")
    assert (refund.status, refund.amount, refund.refund_id) == ("succeeded", 700, "refund_1")
    with pytest.raises(InvalidError):
        await gateway.refund(part | {"amount": 2000}, f"{payments.run}:refund:2")
    await gateway.refund(part | {"amount": 1800}, f"{payments.run}:refund:3")
    with pytest.raises(StateConflictError, match="charge_already_refunded"):
        await gateway.refund(part | {"amount": 1}, f"{payments.run}:refund:4")
    amounts = [each.amount for each in await gateway.list_refunds(intent.intent_id)]
    assert sorted(amounts) == [700, 1800]
    with pytest.raises(StateConflictError, match="payment_intent_unexpected_state"):
        await payments.cancel(intent)


async def test_declined_then_paid(gateway: StripeGateway, payments: Payments) -> None:
    intent = await payments.new()
    with pytest.raises(DeclinedError, match="card_declined") as declined:
        await payments.confirm(intent, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    left = declined.value.intent
    assert left
    assert (left.status, left.error and left.error.decline_code) == (
        "requires_payment_method", "insufficient_funds",
    )  # fmt: skip
    assert left.error
    assert left.error.charge_id
    paid = await payments.confirm(intent, "2")
    assert paid.status == "succeeded"
    assert paid.charge_id != left.error.charge_id
    assert (await gateway.retrieve_intent(intent.intent_id)).charge_id == paid.charge_id


async def test_the_bank_asks_and_it_is_cancelled(payments: Payments) -> None:
    intent = await payments.new()
    asked = await payments.confirm(intent, payment_method="pm_card_threeDSecure2Required")
    assert (asked.status, bool(asked.next_action)) == ("requires_action", True)
    ended = await payments.cancel(intent)
    assert (ended.status, ended.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(StateConflictError, match="payment_intent_unexpected_state"):
        await payments.cancel(intent, "2")
    with pytest.raises(StateConflictError, match="payment_intent_unexpected_state"):
        await payments.confirm(intent, "2")


async def test_what_stripe_refuses(gateway: StripeGateway, payments: Payments) -> None:
    await payments.new()
    with pytest.raises(InvalidError, match="idempotency_error"):
        await payments.new(amount=2600)
    with pytest.raises(InvalidError, match="amount_too_small"):
        await gateway.create_intent(
            {"amount": 1, "currency": "usd", "automatic_payment_methods": {"enabled": True}},
            f"{payments.run}:small",
        )
    with pytest.raises(InvalidError, match="resource_missing"):
        await gateway.retrieve_intent("pi_unknown")
    assert await gateway.find(Listing.REFUNDS, "re_unknown") is None
    assert await gateway.find_dispute("du_unknown") is None
