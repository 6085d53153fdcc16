"""Reads amounts as people write them: by the page's own locale, or not at all."""

import re
from decimal import Decimal
from typing import Final

from babel.numbers import NumberFormatError, parse_decimal

from models import money
from web.http.decoding import DecodingError

MAX_AMOUNT_CHARS: Final = 24
_PATTERN: Final = re.compile(r"[0-9][0-9,]*(?:\.([0-9]+))?")


def minor_units(text: str, currency: str, locale: str) -> int:
    """Minor units of an amount such as "12.50" or "1,250.00", as `locale` groups and points it.

    Raises DecodingError, with an example, for what another locale may have meant otherwise, and for what
    Stripe does not take: nothing is ever read as another amount.
    """
    rules = money.rules_of(currency)
    digits = rules.decimals
    written = text.strip()
    example = f"{Decimal('12.5'):.{digits}f}" if digits else "1250"
    refused = DecodingError(f"Write the amount like {example}.")
    form = _PATTERN.fullmatch(written) if len(written) <= MAX_AMOUNT_CHARS else None
    # "1,250" and "1.250" are one and a quarter to some, and more than a thousand to others.
    if form is None or len(form[1] or "") > digits or (digits and "," in written and not form[1]):
        raise refused
    try:
        amount = parse_decimal(written, locale=locale, strict=True)
    except NumberFormatError:
        raise refused from None
    units = int(amount.scaleb(rules.exponent))
    if units % rules.step:
        raise DecodingError(f"Write an amount {step_text(currency)}, like {example}.")
    return units


def step_text(currency: str) -> str:
    """Which amounts Stripe takes: "in steps of 0.010"; "" where it takes each one."""
    step = money.rules_of(currency).step
    return "" if step == 1 else f"in steps of {money.decimal_text(step, currency)}"
