"""Amounts, times and codes as people read and write them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from babel import Locale
from babel.dates import format_datetime
from babel.numbers import NumberFormatError, format_currency, parse_decimal

from models import money
from web.http.decoding import DecodingError

LOCALES: Final = {"INR": "en_IN", "GBP": "en_GB", "EUR": "en_IE"}
"""How amounts of a currency are grouped and marked, shown and read."""
DEFAULT_LOCALE: Final = "en_US"
"""For the others."""
MAX_AMOUNT_CHARS: Final = 24
_AMOUNT: Final = re.compile(r"[0-9][0-9,]*(?:\.([0-9]+))?")

ORDER_STATUS_TEXTS: Final[Mapping[str, str]] = {
    "PLACED": "Preparing the payment",
    "PAYMENT_PENDING": "Waiting for payment",
    "PAYMENT_FAILED": "Payment failed",
    "PENDING": "Waiting for the kitchen",
    "CONFIRMED": "Accepted",
    "PREPARING": "Preparing",
    "READY_FOR_PICKUP": "Ready for pick-up",
    "OUT_FOR_DELIVERY": "On its way",
    "DELIVERED": "Delivered",
    "CANCELLED": "Cancelled",
    "REFUNDED": "Refunded",
}
"""States of an order, for people."""


def money_text(value: Any, currency: str | None = None) -> str:
    """An amount as people of its currency write it: 250000 INR is "₹2,500.00".

    value: a `Money`, its JSON, or minor units with their currency.
    """
    if isinstance(value, Mapping):
        amount, code = value["amount"], value["currency"]
    elif currency is not None:
        amount, code = value, currency
    else:
        amount, code = value.amount, value.currency
    decimal = Decimal(money.decimal_text(amount, code))
    locale = Locale.parse(LOCALES.get(code, DEFAULT_LOCALE))
    pattern = money.number_pattern(
        locale.currency_formats["standard"].pattern, money.shown_decimals(amount, code)
    )
    text = format_currency(decimal, code, pattern, locale, currency_digits=False)
    return str(text.replace(code, f"{code}\u00a0"))  # a code is no symbol: it keeps its distance


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
    form = _AMOUNT.fullmatch(written) if len(written) <= MAX_AMOUNT_CHARS else None
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


def time_of(rfc3339: str) -> datetime:
    """The time that an RFC 3339 text names."""
    return datetime.fromisoformat(rfc3339).astimezone(UTC)


def clock(rfc3339: str) -> str:
    """A time as it stands there without JavaScript, which shows the browser's own zone."""
    at = time_of(rfc3339)
    form = "d MMM, HH:mm" if at.year == datetime.now(UTC).year else "d MMM y, HH:mm"
    return str(format_datetime(at, form, locale="en")) + " UTC"


def exact(rfc3339: str) -> str:
    """A time on paper: date, time and zone, whoever reads it wherever."""
    return str(format_datetime(time_of(rfc3339), "d MMMM y, HH:mm:ss", locale="en")) + " UTC"


def state(code: str) -> str:
    """A code of ours or Stripe's as words: READY_FOR_PICKUP is "Ready for pickup"."""
    return code.replace("_", " ").capitalize()


def pretty(value: Any) -> str:
    """JSON values, for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
