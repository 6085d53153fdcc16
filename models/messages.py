"""Messages: how they are written and read, on the wire and in tables.

The bounds of their fields (models/fields.py) are checked where a message is read; whoever makes one of what
came from outside calls `checked`. What is read of Kafka and of tables may hold fields that a newer build wrote:
`decode_known` and `convert_known` leave them out. `decode` and `convert` refuse them, as HTTP does.
"""

import functools
import operator
import re
import typing
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform

import msgspec
from msgspec import Meta, structs

from models.fields import CHECK, OrderKey
from models.transition import UnreadableError
from models.unknown_fields import UnknownField, without_unknown
from models.upcasters import UPCASTERS, upcast

T = TypeVar("T")
M = TypeVar("M", bound="Message")


class _MessageType(msgspec.StructMeta):
    """Makes fields of messages keywords, and has currencies and times checked wherever one is made."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], names: dict[str, Any], **config: Any
    ) -> type:
        fields = names.get("__annotations__", {})
        if any(isinstance(kind, str) for kind in fields.values()):
            raise TypeError(f"{name}: no check is found in annotations that are text")
        checks = [(field, check) for field, kind in fields.items() for check in checks_in(kind)]
        if checks:
            assert "__post_init__" not in names, f"{name} has a check of its own"
            names["checks"] = [*(c for base in bases for c in getattr(base, "checks", ())), *checks]
            names["__post_init__"] = _check_of(names["checks"])
        return super().__new__(cls, name, bases, names, **{"kw_only": True, **config})


def checks_in(kind: Any) -> list[Callable[[Any], None]]:
    """The checks in an annotation such as Currency or Timestamp | None."""
    metas = getattr(kind, "__metadata__", ())
    found = [meta.extra[CHECK] for meta in metas if isinstance(meta, Meta) and meta.extra]
    return found or [check for part in typing.get_args(kind) for check in checks_in(part)]


def _check_of(checks: list[tuple[str, Callable[[Any], None]]]) -> Callable[[Any], None]:
    if len(checks) == 1:  # of each event and command: without a loop
        ((only, check_only),) = checks

        def check_field(message: Any) -> None:
            value = getattr(message, only)
            if value is not None:
                try:
                    check_only(value)
                except ValueError as error:
                    raise _at_field(only, error) from None

        return check_field

    def check_fields(message: Any) -> None:
        for field, check in checks:
            value = getattr(message, field)
            if value is not None:
                try:
                    check(value)
                except ValueError as error:
                    raise _at_field(field, error) from None

    return check_fields


def _at_field(field: str, error: ValueError) -> ValueError:
    """The error with its field: msgspec knows the place of the message alone."""
    name = re.sub("_([a-z])", lambda found: found[1].upper(), field)
    return ValueError(f"{error} - at `$.{name}`")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Message(
    msgspec.Struct, metaclass=_MessageType, frozen=True, forbid_unknown_fields=True,
    rename="camel", omit_defaults=True,
):  # fmt: skip
    """Base of all that is sent or stored: camelCase as JSON, unknown fields refused, immutable.

    That they are refused is how they are noticed: see `decode_known`.

    A field at its default is not written, so that records stay as they were when one is added; see `written`.
    shown_if_set: fields that `full_values` leaves out at their defaults, too: they came later.
    """

    shown_if_set: ClassVar[Collection[str]] = ()


def written(default: T) -> T:
    """A field's default that is written: for the fields that messages have had from the start."""
    made: T = msgspec.field(default_factory=lambda: default)
    return made


class OrderMessage(Message):
    """A message whose Kafka key is its order id."""

    order_id: OrderKey


if TYPE_CHECKING:
    Data = Any
else:
    Data = msgspec.Raw
    """Of an envelope: read once its type is known."""

K = TypeVar("K", bound=OrderMessage)
_ENCODER: Final = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """Serialise a message as it goes on the wire."""
    return _ENCODER.encode(message)


def decode(kind: type[M], value: bytes) -> M:
    """Read a message. Raises ValueError."""
    try:
        message: M = _decoder(kind).decode(value)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return message


_decoder: Final = functools.cache(msgspec.json.Decoder)


def decode_known(kind: type[M], value: bytes) -> M:
    """Read a message of whoever wrote it, fields that are unknown here left out. Raises ValueError."""
    try:
        return decode(kind, value)
    except msgspec.ValidationError as error:
        if not _is_unknown_field(error):
            raise
    known, _ = without_unknown(kind, msgspec.json.decode(value))
    return decode(kind, msgspec.json.encode(known))


def convert_known(kind: Any, value: Any) -> tuple[Any, list[UnknownField]]:
    """What JSON values say, and the fields in them that are unknown here. Raises ValueError."""
    try:
        return convert(kind, value), []
    except msgspec.ValidationError as error:
        if not _is_unknown_field(error):
            raise
    known, unknown = without_unknown(kind, value)
    return convert(kind, known), unknown


def _is_unknown_field(error: msgspec.ValidationError) -> bool:
    return str(error).startswith("Object contains unknown field")


def convert(kind: Any, value: Any) -> Any:
    """Make a message, or what is made of messages, of its JSON values. Raises ValueError."""
    return msgspec.convert(value, kind, str_keys=True)


def checked(message: M) -> M:
    """A message that was made of what came from outside, its bounds checked. Raises ValueError."""
    return decode(type(message), encode(message))


def read_envelope(kind: type[K], key: bytes, value: bytes) -> K:
    """Read a message and hold its key against its order id. Raises UnreadableError."""
    try:
        message = decode_known(kind, value)
    except ValueError as error:
        raise UnreadableError(describe(error)) from None
    if message.order_id.encode() != key:
        raise UnreadableError("orderId: differs from the record's key")
    return message


def read_data(envelope: OrderMessage, kind: type[Message], name: str, version: int) -> None:
    """Read an envelope's data, of a version of the type of this name, and put it in. Raises UnreadableError."""
    raw: bytes = envelope.data  # type: ignore[attr-defined]
    try:
        if version != 1 or name in UPCASTERS:
            raw = msgspec.json.encode(upcast(name, version, msgspec.json.decode(raw)))
        data = decode_known(kind, raw)
    except ValueError as error:
        raise UnreadableError(f"data: {describe(error)}") from None
    structs.force_setattr(envelope, "data", data)


_AT: Final = re.compile(r" - at `\$?\.?([^`]*)`")
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_VALUE: Final = re.compile(r"enum value .*(?= - at `)", re.DOTALL)


def describe(error: ValueError) -> str:
    """Say what is wrong with a record, and where, without the value (it may be personal data)."""
    if isinstance(error, UnicodeError):
        return "record: not UTF-8"
    text = _VALUE.sub("value", str(error))
    places, what = _AT.findall(text)[::-1], _AT.sub("", text)
    if field := _FIELD.fullmatch(what):
        what = "field required" if field[1].startswith("missing") else "unknown field"
        places.append(field[2])
    first = what[:1].lower() if what.startswith(("Expected", "Input", "Invalid")) else what[:1]
    return f"{'.'.join(places) or 'record'}: {first}{what[1:]}".replace("`", "")


def fields_of(message: Message, *, but: Collection[str] = ()) -> dict[str, Any]:
    """A message's fields by name, those in `but` left out; what is inside of them stays as it is."""
    return {name: value for name, value in structs.asdict(message).items() if name not in but}


def full_values(message: Message) -> dict[str, Any]:
    """All fields as JSON values by their names on the wire, those at their defaults too."""
    values = {}
    for name, wire in zip(message.__struct_fields__, message.__struct_encode_fields__, strict=True):
        value = getattr(message, name)
        if value or name not in message.shown_if_set:
            values[wire] = _full(value)
    return values


def _full(value: Any) -> Any:
    match value:
        case Message():
            return full_values(value)
        case Mapping():
            return {str(name): _full(each) for name, each in value.items()}
        case list() | tuple():
            return [_full(each) for each in value]
        case Enum():
            return value.value
    return value


def written_fields(kind: type[Message]) -> list[tuple[structs.FieldInfo, Any]]:
    """The fields whose defaults are written, with these."""
    plain = {msgspec.NODEFAULT, dict}
    fields = (field for field in structs.fields(kind) if field.default_factory not in plain)
    return [(field, field.default_factory()) for field in fields]


@functools.cache
def stored_form(kind: type[M]) -> type[M]:
    """A message as tables hold it: a subclass of which no field at its default is written."""
    defaults, kinds = {}, {}
    for field, default in written_fields(kind):
        defaults[field.name] = default
        kinds[field.name] = _stored_kind(field.type)
    names = {**defaults, "__annotations__": kinds, "__doc__": kind.__doc__}
    return _MessageType(f"Stored{kind.__name__}", (kind,), names) if defaults else kind


def _stored_kind(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Message):
        return stored_form(kind)
    if typing.get_origin(kind) in {typing.Union, UnionType}:
        return functools.reduce(operator.or_, map(_stored_kind, typing.get_args(kind)))
    return kind


def as_stored(message: M) -> M:
    """The same message in its stored form."""
    values = {
        name: as_stored(value) if isinstance(value, Message) else value
        for name, value in structs.asdict(message).items()
    }
    stored: M = stored_form(type(message))(**values)
    return stored
