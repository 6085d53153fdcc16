"""The kinds of fields of messages, with their bounds.

Every number, text and time of a message has a bound: what passes can be added up, stored as JSON, shown as
a date, and repeated in our own records. The bounds are wide: they keep out what nobody can work with, not
what a service would refuse with a reason.
"""

import functools
from typing import Annotated, Any, Final

from msgspec import Meta

from models.times import CACHED_TIMES, TIMES_END_MS, from_rfc3339

MAX_MINOR_UNITS: Final = 10**12
"""Above all that Stripe charges at once, in any currency; millions of such fit into 63 bits."""
MAX_TEXT: Final = 2000
MAX_COUNT: Final = 999_999
"""Of one order; as many as the numbers of timeline rows can tell apart."""
ONE_LINE: Final = r"[^\x00-\x1f\x7f]*"
"""Pattern of a text without control characters."""
TEXT_END: Final = r"$(?!\n)"
"""End of a pattern: in Python $ alone would also take a line's end after it, in a JSON Schema it does not."""
CHECK: Final = "check"
"""Name in a `Meta.extra` of a function that raises ValueError for what no bound of msgspec's keeps out."""


@functools.lru_cache(CACHED_TIMES)
def _check_time(text: str) -> None:
    try:
        at_ms = from_rfc3339(text)
    except (ValueError, OverflowError):
        raise ValueError("no time such as 2026-11-23T07:00:00.000Z") from None
    if not 0 <= at_ms < TIMES_END_MS:
        raise ValueError("a time outside of the years 1970 to 2099")


@functools.cache
def iso_currencies() -> frozenset[str]:
    """ISO 4217 codes, former ones too: a currency that we do not sell in may come from Stripe."""
    from babel.numbers import list_currencies  # noqa: PLC0415 -- imported once a currency is read

    return frozenset(list_currencies())


def _check_currency(code: str) -> None:
    if code not in iso_currencies():
        raise ValueError("no currency of ISO 4217")


def form(pattern: str, **more: Any) -> Meta:
    """A pattern of a whole text."""
    return Meta(pattern=f"^{pattern}{TEXT_END}", **more)


MinorUnits = Annotated[
    int, Meta(ge=0, le=MAX_MINOR_UNITS, description="minor units of the currency")
]
PositiveMinorUnits = Annotated[
    int, Meta(gt=0, le=MAX_MINOR_UNITS, description="minor units of the currency")
]
Currency = Annotated[str, form("[A-Z]{3}", extra={CHECK: _check_currency})]
Id = Annotated[str, form("[!-~]{1,255}", description="1 to 255 visible ASCII characters")]
OrderKey = Annotated[str, form("[!-.0-~]{1,200}", description="visible ASCII characters, no slash")]
LanguageCode = Annotated[str, form("[a-z]{2}", description="ISO 639-1, such as de")]
ShortText = Annotated[str, form(ONE_LINE, max_length=500, description="one line of text")]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Url = Annotated[str, form("[!-~]*", max_length=4000)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
SequenceNumber = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
EpochMillis = Annotated[
    int, Meta(ge=0, lt=TIMES_END_MS, description="milliseconds since the epoch")
]
EpochSeconds = Annotated[
    int, Meta(ge=0, lt=TIMES_END_MS // 1000, description="seconds since the epoch")
]
Timestamp = Annotated[
    str,
    form(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)",
        extra={CHECK: _check_time},
    ),
]
"""RFC 3339, of the years 1970 to 2099; as text."""
