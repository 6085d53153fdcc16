"""What a PaymentIntent offers, and a payment method that redirects, through Stripe's own SDK."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused


async def offering(shop: StripeShop, currency: str, *types: Any) -> Any:
    return await shop.client.v1.payment_intents.create_async(
        {"amount": 2500, "currency": currency, "allowed_payment_method_types": list(types)}
    )


async def confirm(shop: StripeShop, intent: str, **params: Any) -> Any:
    token = await shop.control("POST", "/confirmation_token", {"card": "bancontact"})
    given: Any = {"confirmation_token": token["id"], "use_stripe_sdk": True, **params}
    return await shop.client.v1.payment_intents.confirm_async(intent, given)


@pytest.mark.parametrize(
    ("currency", "allowed", "offered"),
    [
        ("usd", ["card", "us_bank_account"], ["card", "us_bank_account"]),
        ("inr", ["card", "us_bank_account"], ["card"]),
        ("eur", ["card", "bancontact", "us_bank_account"], ["card", "bancontact"]),
    ],
)
async def test_what_the_currency_excludes_is_left_out(
    shop: StripeShop, currency: str, allowed: list[str], offered: list[str]
) -> None:
    intent = await offering(shop, currency, *allowed)
    assert intent.payment_method_types == offered
    assert intent.automatic_payment_methods is None


async def test_nothing_left_is_refused(shop: StripeShop) -> None:
    error = await refused(offering(shop, "inr", "bancontact"))
    assert "No valid payment method types" in error.user_message


@pytest.mark.parametrize(
    ("button", "redirected", "status"),
    [("succeed", "succeeded", "succeeded"), ("fail", "failed", "requires_payment_method")],
)
async def test_bancontact_sends_the_customer_to_the_bank_and_back(
    shop: StripeShop, button: str, redirected: str, status: str
) -> None:
    intent = await offering(shop, "eur", "bancontact", "card")
    waiting = await confirm(shop, intent.id, return_url="https://shop.example/done")
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "redirect_to_url")
    page = waiting.next_action.redirect_to_url.url
    async with shop.http.get(page) as answer:
        assert "Authorize test payment" in await answer.text()
    async with shop.http.post(page, data={"outcome": button}, allow_redirects=False) as answer:
        assert answer.headers["Location"].endswith(f"redirect_status={redirected}")
    ended = await shop.retrieve(intent.id)
    assert ended.status == status
    if status == "succeeded":
        charge: Any = await shop.client.v1.charges.retrieve_async(str(ended.latest_charge))
        assert charge.payment_method_details.type == "bancontact"
        async with shop.http.get(charge.receipt_url) as receipt:
            assert "7061" in await receipt.text()


async def test_bancontact_needs_somewhere_to_return_to(shop: StripeShop) -> None:
    intent = await offering(shop, "eur", "bancontact", "card")
    assert (await refused(confirm(shop, intent.id))).param == "return_url"
