"""Money as Stripe takes it and as people write it, for every currency."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import money
from models.fields import MAX_MINOR_UNITS, iso_currencies

currencies = st.sampled_from(sorted(money.CURRENCIES))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (250_000, "INR", "2500.00"), (1, "USD", "0.01"), (-1050, "USD", "-10.50"), (0, "EUR", "0.00"),
        (500, "JPY", "500"), (40, "KRW", "40"), (500, "MGA", "500"),
        (5120, "KWD", "5.120"),
        (2_500_000, "UGX", "25000"), (500, "UGX", "5"), (500, "ISK", "5"), (-500, "ISK", "-5"),
        (1045, "HUF", "10.45"), (80_045, "TWD", "800.45"),
        (1050, "BGN", "10.50"),
    ],
)  # fmt: skip
def test_amounts_are_shown_and_read_as_people_write_them(
    amount: int, currency: str, text: str
) -> None:
    assert money.decimal_text(amount, currency) == text
    if amount >= 0:
        assert money.minor_units(text, currency) == amount


def test_an_amount_that_stripe_would_not_take_is_shown_whole() -> None:
    assert money.decimal_text(1050, "ISK") == "10.50"
    assert money.decimal_text(-2_500_001, "UGX") == "-25000.01"


@given(data=st.data(), currency=currencies)
def test_what_is_shown_is_read_as_the_same_amount(data: st.DataObject, currency: str) -> None:
    rules = money.rules_of(currency)
    amount = data.draw(st.integers(0, rules.maximum // rules.step)) * rules.step
    text = money.decimal_text(amount, currency)
    assert money.minor_units(text, currency) == amount
    assert len(text.partition(".")[2]) == rules.decimals


@given(amount=st.integers(-MAX_MINOR_UNITS, MAX_MINOR_UNITS), currency=currencies)
def test_no_part_of_an_amount_is_lost(amount: int, currency: str) -> None:
    units, _, decimals = money.decimal_text(amount, currency).partition(".")
    exponent = money.rules_of(currency).exponent
    assert int(units + decimals.ljust(exponent, "0")) == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("10.50", "ISK"), ("0.5", "UGX"), ("1.5", "JPY"), ("1.234", "USD"), ("1.2345", "KWD"), ("", "USD"),
        ("-1", "USD"), ("1,000", "USD"), ("1e3", "USD"), ("1.", "USD"), (".5", "USD"), ("9" * 16, "USD"),
        ("٣", "USD"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match="is no amount of"):
        money.minor_units(text, currency)


def test_every_row_fits_together() -> None:
    for code, rules in money.CURRENCIES.items():
        assert code in iso_currencies()
        assert rules.step <= money.minimum_charge(code) <= rules.maximum <= MAX_MINOR_UNITS
        assert rules.maximum % rules.step == money.minimum_charge(code) % rules.step == 0
        assert rules.decimals <= rules.exponent
        assert rules.step >= 10 ** (rules.exponent - rules.decimals)
    assert max(rules.maximum for rules in money.CURRENCIES.values()) == money.MAXIMUM_CHARGE
    named = [code for code, rules in money.CURRENCIES.items() if rules.minimum is not None]
    assert len(named) == 31, "as many as Stripe names"


@pytest.mark.parametrize(
    ("currency", "exponent", "step", "minimum", "maximum"),
    [
        ("UGX", 2, 100, 100, 99_999_900),
        ("ISK", 2, 100, 100, 99_999_900),
        ("HUF", 2, 1, 17_500, 99_999_999),
        ("TWD", 2, 1, 1, 99_999_999),
        ("KWD", 3, 10, 10, 99_999_990),
        ("KRW", 0, 1, 50, 99_999_999),
        ("JPY", 0, 1, 50, 99_999_999),
        ("MGA", 0, 1, 1, 99_999_999),
        ("IDR", 2, 1, 50, 999_999_999_999),
        ("COP", 2, 1, 50, 9_999_999_999),
        ("INR", 2, 1, 50, 999_999_999),
        ("GBP", 2, 1, 30, 99_999_999),
    ],
)
def test_stripes_special_cases(
    currency: str, exponent: int, step: int, minimum: int, maximum: int
) -> None:
    rules = money.rules_of(currency)
    assert (rules.exponent, rules.step) == (exponent, step)
    assert (money.minimum_charge(currency), rules.maximum) == (minimum, maximum)


def test_minimums_of_the_operator_are_read_in_units_that_people_write() -> None:
    entries = ("KRW=700", "UGX=2000", "EUR=1.50", "KWD=0.160")
    assert money.read_minimum_charges(entries) == {
        "KRW": 700, "UGX": 200_000, "EUR": 150, "KWD": 160
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("KRW", "as in KRW=700"),
        ("krw=700", "as in KRW=700"),
        ("XXX=1", "as in KRW=700"),
        ("BGN=1", "as in KRW=700"),
        ("KRW=40", "KRW=40: accepted: 50 to 99999999 KRW"),
        ("KRW=7.5", "is no amount of KRW"),
        ("KRW=", "as in KRW=700"),
        ("KRW=-1", "is no amount of KRW"),
        ("ISK=0", "ISK=0: accepted: 1 to 999999 ISK, in steps of 1"),
        ("KWD=0.165", "accepted: 0.010 to 99999.990 KWD, in steps of 0.010"),
        ("USD=1000000", "accepted: 0.50 to 999999.99 USD"),
    ],
)
def test_a_minimum_that_can_not_hold_is_named(entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        money.read_minimum_charges(["EUR=1", entry])


def test_a_minimum_that_is_given_twice_is_named() -> None:
    with pytest.raises(ValueError, match="KRW is there twice"):
        money.read_minimum_charges(["KRW=700", "KRW=800"])
