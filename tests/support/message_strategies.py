"""Messages of any type with values at their bounds: what foreign producers can send and readers let in."""

import functools
import itertools
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import orjson
from hypothesis import strategies as st
from msgspec import Raw, structs
from pydantic.alias_generators import to_camel

from models import ids, topics
from models.commands import COMMANDS, FACTS, PRODUCERS_OF_COMMANDS, Command, WebhookReceived
from models.events import EVENT_TYPES_OF_TOPIC, EVENTS, Event
from models.fields import MAX_COUNT, MAX_MINOR_UNITS
from models.messages import Message, checks_in, convert
from models.takings import TakingsChange
from models.times import TIMES_END_MS

ORDER: Final = ids.order_id("guest", "made")
TEXTS: Final = (
    "", "x", "INR", "JPY", "2026-11-23T07:00:00.000Z", "1970-01-01T00:00:00Z",
    "2099-12-31T23:59:59.999Z", "[/x]", "=1+1", "é\u202e", "a\nb\x00", "succeeded", "canceled",
    "requires_payment_method", "requires_action", "won", "lost", "needs_response",
    "https://pay.example/r", "i" * 200, "i" * 255, "w" * 500, "t" * 2000,
)  # fmt: skip
NUMBERS: Final = (
    0, 1, 2, 2500, MAX_COUNT, 1_800_000_000, MAX_MINOR_UNITS, TIMES_END_MS // 1000 - 1,
    TIMES_END_MS - 1, 2**31 - 1, 2**63 - 1,
)  # fmt: skip


def values_of(kind: Any) -> list[Any]:  # noqa: PLR0911 -- one a kind of type
    """JSON values that a field of this type takes, those at its bounds among them."""
    origin, given = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return [value for part in given for value in values_of(part)]
    if origin is Literal:
        return list(given)
    if origin is Annotated:
        return [value for value in values_of(given[0]) if _takes(kind, value)]
    if origin is tuple:
        return [[], *([value] for value in values_of(given[0])[:3])]
    if origin in {dict, Mapping}:
        return [
            {},
            *(
                {str(key): value}
                for key, value in zip(values_of(given[0]), values_of(given[1]), strict=False)
            ),
        ]
    if kind is Any:
        return [None, {"any": 1}]
    if kind is NoneType:
        return [None]
    if kind is bool:
        return [False, True]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    if isinstance(kind, type) and issubclass(kind, Message):
        columns = [field_values(kind, name) for name in kind.__struct_fields__]
        names = kind.__struct_encode_fields__
        longest = max(map(len, columns), default=1)
        cycles = [itertools.cycle(column) for column in columns]
        return [dict(zip(names, map(next, cycles), strict=True)) for _ in range(min(longest, 30))]
    return list({int: NUMBERS, str: TEXTS}[kind])


def _takes(kind: Any, value: Any) -> bool:
    try:
        convert(kind, value)
        for check in checks_in(kind) if value is not None else ():
            check(value)
    except ValueError:
        return False
    return True


@functools.cache
def _column(kind: type[Message], name: str) -> tuple[Any, ...]:
    annotation = next(field.type for field in structs.fields(kind) if field.name == name)
    if annotation is Raw:
        return (None,)
    found = [value for value in values_of(annotation) if _takes(annotation, value)]
    assert found, f"{kind.__name__}.{name}: no value is known that it takes"
    return tuple(found)


def field_values(kind: type[Message], name: str) -> tuple[Any, ...]:
    """JSON values that a field of a message takes."""
    return _column(kind, name)


def records(topic: str) -> st.SearchStrategy[bytes]:
    """Values of records of a topic that a service reads, of one order."""
    if topic == topics.WEBHOOKS:
        facts = tuple(map(to_camel, FACTS))
        return st.sampled_from(facts).flatmap(
            lambda told: _made(WebhookReceived, {name: None for name in facts if name != told}, {})
        )
    if topic in PRODUCERS_OF_COMMANDS:
        kinds = [kind for kind in COMMANDS if COMMANDS[kind].topic == topic]
        return st.sampled_from(sorted(kinds)).flatmap(functools.partial(_command, topic))
    if topic == topics.RESTAURANT_TAKINGS:
        return _made(TakingsChange, {}, {})
    return st.sampled_from(sorted(EVENT_TYPES_OF_TOPIC[topic])).flatmap(_event)


@functools.cache
def _command(topic: str, kind: Any) -> st.SearchStrategy[bytes]:
    data = _data(COMMANDS[kind].data)
    told = {"commandType": kind, "schemaVersion": 1}
    producer = st.sampled_from(sorted(PRODUCERS_OF_COMMANDS[topic]))
    numbered = producer.flatmap(
        lambda name: st.fixed_dictionaries(
            {"producer": st.just(name), "sequence": st.integers(1, 50) if name else st.just(0)}
        )
    )
    return _made(Command, told, {"data": data}, numbered)


@functools.cache
def _event(kind: Any) -> st.SearchStrategy[bytes]:
    told = {"eventType": kind, "schemaVersion": 1}
    parts = {
        "data": _data(EVENTS[kind].data),
        "producer": st.sampled_from(sorted(EVENTS[kind].producers)),
        "sequence": st.integers(1, 50),
    }
    return _made(Event, told, parts)


def _data(kind: type[Message]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            wire: st.sampled_from(field_values(kind, name))
            for name, wire in zip(
                kind.__struct_fields__, kind.__struct_encode_fields__, strict=True
            )
        }
    )


def _made(
    kind: type[Message],
    told: Mapping[str, Any],
    parts: Mapping[str, st.SearchStrategy[Any]],
    more: st.SearchStrategy[dict[str, Any]] | None = None,
) -> st.SearchStrategy[bytes]:
    fixed = {"orderId": ORDER, **told}
    drawn = {
        wire: st.sampled_from(field_values(kind, name))
        for name, wire in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        if wire not in {*fixed, *parts, "data"}
    }
    joined: Callable[..., bytes] = lambda first, then: orjson.dumps({**first, **fixed, **then})  # noqa: E731
    return st.builds(
        joined, st.fixed_dictionaries({**drawn, **parts}), st.just({}) if more is None else more
    )
