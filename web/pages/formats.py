"""Amounts, times and codes as people read and write them."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from babel.dates import format_date, format_datetime
from babel.numbers import NumberFormatError, format_currency, parse_decimal
from markupsafe import Markup

from models import money
from web.http.decoding import DecodingError
from web.languages import gettext, language, regional

LOCALES: Final = {"INR": "en_IN", "GBP": "en_GB", "EUR": "en_IE"}
"""How amounts of a currency are grouped and marked, shown and read."""
DEFAULT_LOCALE: Final = "en_US"
"""For the others."""
DAYS: Final = {"en": "d MMM", "de": "d. MMM"}
"""Language -> how it writes a day."""
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

CODE_TEXTS: Final = (
    "Placed", "Payment pending", "Payment failed", "Pending", "Processing", "Completed", "Failed",
    "Cancelled", "Refunded", "Confirmed", "Preparing", "Ready for pickup", "Out for delivery",
    "Delivered", "Assigned", "Picked up", "Succeeded", "Blocked", "Open", "Closed", "Redriven",
    "Discarded", "All", "Sent", "Waiting for operator", "Held", "Superseded", "Customer",
    "Kitchen", "Courier", "Stripe", "Operator", "System", "Needs response", "Under review", "Won",
    "Lost", "Warning needs response", "Warning under review", "Warning closed", "Decided",
    "Duplicate", "Dead", "Quarantine", "Order", "Payment", "Delivery", "Refund", "Dispute",
    "Notification", "Customer request", "Changed mind", "Ordered by mistake", "Too slow",
    "Operator request", "Quality", "Late", "Item missing", "Fraudulent", "Requested by customer",
)  # fmt: skip
"""What `state` makes of the codes of ours and of Stripe's that readers meet."""


def money_text(value: Any, currency: str | None = None) -> str:
    """An amount as readers of its currency and their language write it: 250000 INR is "₹2,500.00".

    value: a `Money`, its JSON, or minor units with their currency.
    """
    if isinstance(value, Mapping):
        amount, code = value["amount"], value["currency"]
    elif currency is not None:
        amount, code = value, currency
    else:
        amount, code = value.amount, value.currency
    decimal = Decimal(money.decimal_text(amount, code))
    locale = regional(LOCALES.get(code, DEFAULT_LOCALE))
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
    refused = DecodingError(gettext("Write the amount like {example}.", example=example))
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
        raise DecodingError(
            gettext(
                "Write an amount {steps}, like {example}.",
                steps=step_text(currency),
                example=example,
            )
        )
    return units


def step_text(currency: str) -> str:
    """Which amounts Stripe takes: "in steps of 0.010"; "" where it takes each one."""
    step = money.rules_of(currency).step
    return (
        "" if step == 1 else gettext("in steps of {step}", step=money.decimal_text(step, currency))
    )


def time_of(rfc3339: str) -> datetime:
    """The time that an RFC 3339 text names."""
    return datetime.fromisoformat(rfc3339).astimezone(UTC)


def clock(rfc3339: str) -> str:
    """A time as it stands there without JavaScript, which shows the browser's own zone."""
    at = time_of(rfc3339)
    year, day = at.year != datetime.now(UTC).year, DAYS[language.get()]
    form = f"{day} y, HH:mm" if year else f"{day}, HH:mm"
    return str(format_datetime(at, form, locale=language.get())) + " UTC"


def day(date_: date) -> str:
    """A day with its weekday, as the reader's language writes it."""
    return str(format_date(date_, "full", locale=language.get()))


def exact(rfc3339: str) -> str:
    """A time on paper: date, time and zone, whoever reads it wherever."""
    return str(format_datetime(time_of(rfc3339), "d MMMM y, HH:mm:ss", locale="en")) + " UTC"


def state(code: str) -> str:
    """A code of ours or Stripe's as words: READY_FOR_PICKUP is "Ready for pickup"."""
    return gettext(code.replace("_", " ").capitalize())


def order_state(status: str) -> str:
    """An order's status, for people."""
    return gettext(ORDER_STATUS_TEXTS.get(status, status))


def strong(value: object) -> Markup:
    """A value that stands out within a text, such as an amount."""
    return Markup('<strong class="num">{}</strong>').format(value)


def code(value: object) -> Markup:
    """Something to be typed, within a text."""
    return Markup("<code>{}</code>").format(value)


def mono(value: object) -> Markup:
    """A reference or an id within a text."""
    return Markup('<span class="mono strong">{}</span>').format(value)


def pretty(value: Any) -> str:
    """JSON values, for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
