"""What Stripe tells, made fit to be kept."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.messages import encode
from models.stripe_facts import one_line, parse_payment_error


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_kept_on_one_line_of_utf_8(text: str) -> None:
    kept = one_line(text) or ""
    assert len(kept) <= 500
    assert not any(char < " " for char in kept)
    kept.encode()


@pytest.mark.parametrize("half", ["\ud83d", "declined \udc00!"])
def test_half_a_character_in_an_error_leaves_a_result_that_can_be_sent(half: str) -> None:
    error = parse_payment_error({"code": "card_declined", "message": half})
    assert "?" in orjson.loads(encode(error))["message"]
