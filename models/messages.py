"""What all messages share: the wire form, times, and how a record is read."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from models.transition import UnreadableError

Minor = Annotated[int, Field(ge=0, strict=True, description="minor units of the currency")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class Message(BaseModel):
    """Base of everything that is sent: camelCase on the wire, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class Keyed(Message):
    """A message whose Kafka key is its order id."""

    order_id: str


K = TypeVar("K", bound=Keyed)


def to_rfc3339(at_ms: int) -> str:
    """Show milliseconds since the epoch as RFC 3339 with milliseconds in UTC."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def to_rfc3339_or_none(at_ms: int | None) -> str | None:
    """The same for a moment that may not have come."""
    return None if at_ms is None else to_rfc3339(at_ms)


def from_rfc3339(text: str) -> int:
    """Read what `to_rfc3339` shows. Raises ValueError."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def encode(message: Message) -> bytes:
    """Serialise a message as it goes on the wire."""
    return orjson.dumps(message.model_dump(mode="json", by_alias=True))


def read_envelope(kind: type[K], key: bytes, value: bytes) -> K:
    """Read a message and hold its key against its order id. Raises UnreadableError."""
    try:
        message = kind.model_validate_json(value)
    except ValidationError as error:
        raise UnreadableError(describe(error)) from None
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
