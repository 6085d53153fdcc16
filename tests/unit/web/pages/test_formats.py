"""Amounts as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import money
from web.http.decoding import DecodingError
from web.pages.formats import minor_units, money_text

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    ("text", "currency", "locale", "units"),
    [
        ("12.50", "INR", "en_IN", 1250), ("12.5", "INR", "en_IN", 1250), ("12", "INR", "en_IN", 1200),
        ("1,00,000.50", "INR", "en_IN", 10_000_050), (" 2,500.00 ", "INR", "en_IN", 250_000),
        ("1,250.00", "EUR", "en_IE", 125_000), ("1500", "JPY", "en_US", 1500),
        ("1,500", "JPY", "en_US", 1500), ("1.500", "KWD", "en_US", 1500), ("0.01", "USD", "en_US", 1),
        ("25,000", "UGX", "en_US", 2_500_000), ("25000", "UGX", "en_US", 2_500_000),
        ("5", "ISK", "en_US", 500), ("10.45", "HUF", "en_US", 1045),
    ],
)  # fmt: skip
def test_amounts_as_the_page_writes_them(text: str, currency: str, locale: str, units: int) -> None:
    assert minor_units(text, currency, locale) == units


@pytest.mark.parametrize("currency", ["INR", "EUR", "KWD", "JPY", "ISK", "UGX"])
@pytest.mark.parametrize(
    "text",
    [
        "12,50", "9e999999", "1e3", "1,250,5", "1.250,00", "12,5", "1,2345", "12.5000", "-1", "+1", "",
        " ", "1 250", "1'250", "0x10", "1_000", "٣", "NaN", "Infinity", ".5", "5.", "1..5", "1,", ",1",
        "₹12", "12 INR", "9" * 25, "0." + "0" * 5000 + "1", "12.50.00", "1,,000",
    ],
)  # fmt: skip
def test_what_may_mean_another_amount_is_refused_with_an_example(text: str, currency: str) -> None:
    with pytest.raises(DecodingError, match="like 1"):
        minor_units(text, currency, "en_US")


@pytest.mark.parametrize(
    ("text", "currency", "said"),
    [
        ("5.124", "KWD", "in steps of 0.010, like 12.500"),
        ("1.50", "UGX", "like 1250"),
        ("10.5", "ISK", "like 1250"),
    ],
)
def test_what_stripe_does_not_refund_is_refused_with_the_step(
    text: str, currency: str, said: str
) -> None:
    with pytest.raises(DecodingError, match=said):
        minor_units(text, currency, "en_US")


@given(data=st.data(), currency=st.sampled_from(sorted(money.CURRENCIES)))
def test_what_a_page_shows_can_be_typed(data: st.DataObject, currency: str) -> None:
    rules = money.rules_of(currency)
    units = data.draw(st.integers(1, rules.maximum // rules.step)) * rules.step
    shown = money_text(units, currency)
    typed = "".join(c for c in shown if c.isascii() and (c.isdigit() or c in ",."))
    typed = typed.lstrip(".")  # of a symbol, such as XCG's "Cg."
    locale = "en_IN" if currency == "INR" else "en_US"
    assert minor_units(typed, currency, locale) == units
