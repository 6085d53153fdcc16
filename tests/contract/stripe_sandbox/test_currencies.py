"""What the stand-in charges is what models/money.py says: two readings of Stripe's page, held together."""

from __future__ import annotations

import pytest

from models import money
from sandbox.stripe import currencies
from sandbox.stripe.browser import shown_amount
from sandbox.stripe.errors import StripeError
from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused


def is_taken(amount: int, currency: str) -> bool:
    try:
        return currencies.check_amount(amount, currency.lower()) == amount
    except StripeError:
        return False


def test_both_know_the_same_currencies() -> None:
    assert {code.upper() for code in currencies.SUPPORTED} == set(money.CURRENCIES)


@pytest.mark.parametrize("currency", sorted(money.CURRENCIES))
def test_both_take_the_same_amounts(currency: str) -> None:
    rules, least = money.rules_of(currency), money.minimum_charge(currency)
    limits = (least, rules.maximum, 10 * rules.step, rules.exponent)
    for amount in {limit + more for limit in limits for more in (-100, -10, -1, 0, 1, 10, 100)}:
        expected = money.can_be_charged(amount, currency, least)
        assert is_taken(amount, currency) is expected, amount


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (2500, "usd", "25.00 USD"),
        (2_500_000, "ugx", "25000 UGX"),
        (500, "isk", "5 ISK"),
        (500, "jpy", "500 JPY"),
        (5120, "kwd", "5.120 KWD"),
        (1045, "huf", "10.45 HUF"),
    ],
)
def test_the_receipt_shows_amounts_as_people_do(amount: int, currency: str, shown: str) -> None:
    assert shown_amount(amount, currency) == shown


async def test_a_refund_of_shillings_must_be_whole(shop: StripeShop) -> None:
    intent = await shop.pay(amount=2_500_000, currency="ugx")
    create = shop.client.v1.refunds.create_async
    error = await refused(create({"payment_intent": intent.id, "amount": 150}))
    assert (error.code, error.param) == ("parameter_invalid_integer", "amount")
    made = await create({"payment_intent": intent.id, "amount": 150_000})
    assert (made.amount, made.currency) == (150_000, "ugx")
