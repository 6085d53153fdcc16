"""What all messages share: the wire form, the kinds of fields with their bounds, and how a record is read.

Every number, text and time of a message has a bound: what passes `read_envelope` can be added up, stored
as JSON, shown as a date, and repeated in our own records. The bounds are wide: they keep out what nobody
can work with, not what a service would refuse with a reason.
"""

from typing import Annotated, Any, Final, TypeVar

import orjson
from babel.numbers import list_currencies
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from models.times import TIMES_END_MS, from_rfc3339
from models.transition import UnreadableError

MAX_MINOR_UNITS: Final = 10**12
"""Above all that Stripe charges at once, in any currency; millions of such fit into 63 bits."""
MAX_COUNT: Final = 999_999
"""Of one order; as many as the numbers of timeline rows can tell apart."""
ISO_CURRENCIES: Final = frozenset(list_currencies())
"""ISO 4217 codes, former ones too: a currency that we do not sell in may come from Stripe."""


def _checked_time(text: str) -> str:
    try:
        at_ms = from_rfc3339(text)
    except (ValueError, OverflowError):
        raise ValueError("no time such as 2026-11-23T07:00:00.000Z") from None
    if not 0 <= at_ms < TIMES_END_MS:
        raise ValueError("a time outside of the years 1970 to 2099")
    return text


def _checked_currency(code: str) -> str:
    if code not in ISO_CURRENCIES:
        raise ValueError("no currency of ISO 4217")
    return code


MinorUnits = Annotated[
    int, Field(ge=0, le=MAX_MINOR_UNITS, strict=True, description="minor units of the currency")
]
PositiveMinorUnits = Annotated[
    int, Field(gt=0, le=MAX_MINOR_UNITS, strict=True, description="minor units of the currency")
]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$"), AfterValidator(_checked_currency)]
Id = Annotated[
    str, Field(pattern="^[!-~]{1,255}$", description="1 to 255 visible ASCII characters")
]
OrderKey = Annotated[
    str, Field(pattern="^[!-.0-~]{1,200}$", description="visible ASCII characters, no slash")
]
ShortText = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500, description="one line of text")
]
Text = Annotated[str, Field(max_length=2000)]
Url = Annotated[str, Field(pattern="^[!-~]*$", max_length=4000)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
SequenceNumber = Annotated[int, Field(ge=1, le=MAX_COUNT)]
EpochMillis = Annotated[
    int, Field(ge=0, lt=TIMES_END_MS, description="milliseconds since the epoch")
]
EpochSeconds = Annotated[
    int, Field(ge=0, lt=TIMES_END_MS // 1000, description="seconds since the epoch")
]
Timestamp = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"),
    AfterValidator(_checked_time),
]
"""RFC 3339, of the years 1970 to 2099; as text."""


class Message(BaseModel):
    """Base of everything that is sent: camelCase on the wire, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


def omitted_if_none() -> Any:
    """A field that is None by default, and then not written: records without it stay as they were."""
    return Field(default=None, exclude_if=lambda value: value is None)


def omitted_if_empty(**bounds: Any) -> Any:
    """A collection that is empty by default, and then not written."""
    return Field(default=(), exclude_if=lambda value: not value, **bounds)


def omitted_if_empty_mapping() -> Any:
    """A mapping that is empty by default, and then not written."""
    return Field(default={}, exclude_if=lambda value: not value)


class OrderMessage(Message):
    """A message whose Kafka key is its order id."""

    order_id: OrderKey


K = TypeVar("K", bound=OrderMessage)


def encode(message: Message) -> bytes:
    """Serialise a message as it goes on the wire."""
    return orjson.dumps(message.model_dump(mode="json", by_alias=True))


def read_envelope(kind: type[K], key: bytes, value: bytes) -> K:
    """Read a message and hold its key against its order id. Raises UnreadableError."""
    try:
        message = kind.model_validate_json(value)
    except ValidationError as error:
        raise UnreadableError(describe(error)) from None
    except RecursionError:
        raise UnreadableError("record: nested too deep") from None
    if message.order_id.encode() != key:
        raise UnreadableError("orderId: differs from the record's key")
    return message


def read_data(kind: type[Message], data: Any) -> Message:
    """Read the typed data of an envelope. Raises UnreadableError."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UnreadableError(f"data: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Say what is wrong, field by field, without the values (they may be personal data)."""
    return "; ".join(
        f"{'.'.join(map(str, part['loc'])) or 'record'}: {part['msg']}"
        for part in error.errors(include_input=False, include_url=False, include_context=False)[:5]
    )
