"""Finds card numbers, so that none is ever stored: digits with any separators that pass Luhn's check."""

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Final

from web.http.decoding import texts_in

MIN_CARD_DIGITS: Final = 13
MAX_CARD_DIGITS: Final = 19
_RUN: Final = re.compile(rf"\d(?:[\W_]{{0,3}}\d){{{MIN_CARD_DIGITS - 1},}}")
_GROUP: Final = re.compile(r"\d+")


def has_card_number(body: Any, *, phones: Iterable[str] = ()) -> bool:
    """Say whether a card number is anywhere in a JSON value: in strings, numbers or names of fields.

    phones: strings to be read as telephone numbers (see `is_phone`), where they are ones.
    """
    dialled = {phone for phone in phones if is_phone(phone)}
    texts = (text for text in texts_in(body) if text not in dialled)
    return any(_has_one(run) for text in texts for run in _RUN.findall(text))


def is_phone(text: str) -> bool:
    """Say whether the text is an international telephone number that can't be a card's.

    One in ten numbers passes Luhn's check, and some countries' have 13 digits. E.164 allows 15; the
    cards that have 14 or 15 begin with 3, and no country that does has more than 13.
    """
    digits = "".join(_GROUP.findall(text))
    if not re.fullmatch(r"\+[\d\s().\-]{5,30}", text.strip()) or len(digits) > 15:
        return False
    return len(digits) <= 13 or not digits.startswith("3")


def _has_one(run: str) -> bool:
    """Look at every stretch of whole groups of digits; groups longer than a card's number at any place."""
    digits: list[int] = []
    edges: set[int] = set()
    for group in _GROUP.findall(run):
        start = len(digits)
        digits.extend(int(digit) for digit in group)
        edges |= {start, len(digits)}
        if len(group) > MAX_CARD_DIGITS:
            edges.update(range(start, len(digits)))
    # Sums up to each place, with the digits at odd or at even places doubled: a stretch then costs
    # two look-ups, whatever the sender does.
    doubled = [
        [0, *accumulate(_doubled(d) if i % 2 == odd else d for i, d in enumerate(digits))]
        for odd in (0, 1)
    ]
    for start in sorted(edges):
        for end in range(start + MIN_CARD_DIGITS, min(start + MAX_CARD_DIGITS, len(digits)) + 1):
            if end not in edges or digits[start] == 0:
                continue
            sums = doubled[end % 2]  # the last digit, at end - 1, is not doubled
            if (sums[end] - sums[start]) % 10 == 0:
                return True
    return False


def _doubled(digit: int) -> int:
    return digit * 2 - 9 if digit > 4 else digit * 2
