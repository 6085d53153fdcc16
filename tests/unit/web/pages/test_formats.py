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
    ],
)  # fmt: skip
def test_amounts_as_the_page_writes_them(text: str, currency: str, locale: str, units: int) -> None:
    assert minor_units(text, currency, locale) == units


@pytest.mark.parametrize("currency", ["INR", "EUR", "KWD", "JPY"])
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


@given(
    units=st.integers(1, money.MAXIMUM_CHARGE),
    currency=st.sampled_from(["USD", "INR", "KWD", "JPY"]),
)
def test_what_a_page_shows_can_be_typed(units: int, currency: str) -> None:
    shown = money_text(units, currency)
    typed = "".join(c for c in shown if c.isascii() and (c.isdigit() or c in ",."))
    locale = "en_IN" if currency == "INR" else "en_US"
    assert minor_units(typed, currency, locale) == units
