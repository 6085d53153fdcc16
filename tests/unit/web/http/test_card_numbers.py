"""Card numbers are found in any dress, and telephone numbers are left alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe.cards import CARDS
from web.http.card_numbers import has_card_number, is_phone


def check_digit(digits: str) -> str:
    """Luhn's, by the book: double every second digit from the right."""
    doubled = [int(d) * 2 for d in digits[::-2]]
    total = sum(d - 9 if d > 9 else d for d in doubled) + sum(map(int, digits[-2::-2]))
    return str(-total % 10)


numbers = st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True).map(lambda d: d + check_digit(d))
separators = st.sampled_from(["", " ", "-", ".", "/", " - ", "\u200b", "\n"])


@given(number=numbers, data=st.data(), before=st.sampled_from(["", "card ", "12 ", "x"]))
def test_every_number_that_passes_luhn_is_found_however_it_is_written(
    number: str, data: st.DataObject, before: str
) -> None:
    separator = data.draw(separators)
    edges = data.draw(st.sets(st.integers(1, len(number) - 1), max_size=5))
    text = "".join((separator if place in edges else "") + d for place, d in enumerate(number))
    assert has_card_number({"note": [f"{before}{text} 12/30 123"]})
    assert has_card_number({text: None})
    assert has_card_number([int(number)])
    assert has_card_number(Decimal(number))


@given(number=numbers, wrong=st.integers(1, 9))
def test_number_with_another_check_digit_is_none(number: str, wrong: int) -> None:
    other = number[:-1] + str((int(number[-1]) + wrong) % 10)
    # Part of a longer number may be one by chance, but only whole groups count.
    assert not has_card_number(other)


@pytest.mark.parametrize("card", CARDS)
def test_no_test_card_hides_as_a_phone(card: str) -> None:
    assert has_card_number({"phone": f"+{card}"}, phones=[f"+{card}"])


@pytest.mark.parametrize(
    "value",
    ["", "4242", "0" * 14, "560001", True, None, 12.5, {"a": [1, 2, 3]}, "order_01h455vb4pex5vsk"],
    ids=str,
)
def test_what_is_no_card(value: Any) -> None:
    assert not has_card_number(value)


def test_phone_numbers() -> None:
    assert has_card_number("+49 151 12345678")
    assert not has_card_number("+49 151 12345678", phones=["+49 151 12345678"])
    assert not is_phone("4915112345678")
    assert not is_phone("+4242 4242 4242 4242")


@pytest.mark.parametrize(
    "text", ["1" * 65_000, "1 " * 32_000, "7" * 65_000], ids=["run", "ones", "sevens"]
)
def test_long_digits_come_to_an_end(text: str) -> None:
    assert not has_card_number(text)
    assert has_card_number(f"{text} 4242424242424242 {text}")
