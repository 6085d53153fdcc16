"""AsyncAPI 3.0 of Kafka's topics, made of the registries of topics, events and commands."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from models import topics
from models.commands import COMMANDS, Command, CommandType
from models.events import EVENTS, Event, EventType
from models.json_schemas import RECORDS, definitions_of, fixed_properties
from models.messages import Message
from models.topics import Topic, TopicUse

_REF: Final = "#/components/schemas/{name}"
_EVENT_HEADERS: Final = (
    "traceparent", "ce_id", "ce_type", "ce_source", "ce_specversion", "content-type", "ce_time",
)  # fmt: skip
"""W3C's trace context, and CloudEvents' attributes in binary content mode."""
_DEAD_LETTER_HEADERS: Final = tuple(
    f"kafka_dlt-{name}"
    for name in (
        "original-topic", "original-partition", "original-offset", "original-timestamp",
        "exception-fqcn", "exception-message",
    )
)  # fmt: skip
DEAD_LETTER: Final = "DeadLetter"
_REGISTRIES: Final[tuple[tuple[type[Message], Mapping[Any, Any]], ...]] = (
    (Event, EVENTS), (Command, COMMANDS)
)  # fmt: skip
"""The envelope of each registry of messages."""


def messages_of(topic: str) -> tuple[str, ...]:
    """Names of the messages that a topic of the registry holds, in the order of their registry."""
    if topic == topics.DEAD_LETTERS:
        return (DEAD_LETTER,)
    if topic in RECORDS:
        return (RECORDS[topic].__name__,)
    return (
        *(kind.value for kind, spec in COMMANDS.items() if spec.topic == topic),
        *(kind.value for kind, spec in EVENTS.items() if topic in spec.topics),
    )


def description(partitions: int, uses: Sequence[TopicUse]) -> dict[str, Any]:
    """The whole document; partitions: of every topic that has not a count of its own."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tiffin",
            "version": "1",
            "description": "Keyed by order id, restaurant-takings by restaurant. What is kept for ever "
            "tells every order's whole story. "
            "Records are CloudEvents 1.0 in binary content mode.",
        },
        "defaultContentType": "application/json",
        "channels": {use.topic.name: _channel(use.topic, partitions) for use in uses},
        "operations": _operations(uses),
        "components": _components(),
    }


def _channel(topic: Topic, partitions: int) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.about,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in messages_of(topic.name)
        },
        "bindings": {
            "kafka": {
                "partitions": topic.partitions or partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"], "retention.ms": topic.retention_ms
                },
                "bindingVersion": "0.5.0",
            }
        },
    }  # fmt: skip


def _operations(uses: Sequence[TopicUse]) -> dict[str, Any]:
    """One a service and topic, named as a person says it: `payments.send.payment-events`."""
    found = {}
    for use in uses:
        for action, services in (("send", use.written_by), ("receive", use.read_by)):
            for service in services:
                found[f"{service.replace(' ', '-')}.{action}.{use.topic.name}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{use.topic.name}"},
                }
    return found


def _components() -> dict[str, Any]:
    datas = (spec.data for _, registry in _REGISTRIES for spec in registry.values())
    kinds = [*dict.fromkeys(datas), Event, Command, *RECORDS.values()]
    schemas = definitions_of(kinds, _REF)
    refs = {kind: {"$ref": _REF.format(name=kind.__name__)} for kind in kinds}
    messages = {
        kind.value: _message(_enveloped(kind, refs[spec.data], refs[envelope]))
        for envelope, registry in _REGISTRIES
        for kind, spec in registry.items()
    }
    messages |= {kind.__name__: _message(refs[kind]) for kind in RECORDS.values()}
    messages[DEAD_LETTER] = {
        **_message({}, headers=(*_EVENT_HEADERS, *_DEAD_LETTER_HEADERS)),
        "contentType": "application/octet-stream",
        "summary": "An input as it was, with where and why it died in its headers.",
    }
    return {"messages": messages, "schemas": schemas}


def _enveloped(kind: EventType | CommandType, data: Any, envelope: Any) -> dict[str, Any]:
    """The envelope of events or commands with what it holds for this type. data, envelope: references."""
    return {"allOf": [envelope, {"properties": {**fixed_properties(kind), "data": data}}]}


def _message(payload: Any, headers: tuple[str, ...] = _EVENT_HEADERS) -> dict[str, Any]:
    return {
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string"}}},
        "headers": {"type": "object", "properties": {name: {"type": "string"} for name in headers}},
    }


def wire_names(kind: type[Message]) -> tuple[str, ...]:
    """Names on the wire, for people."""
    return kind.__struct_encode_fields__


def first_paragraph(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    first = (thing.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", first)
