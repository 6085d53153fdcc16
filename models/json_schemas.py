"""JSON Schema (2020-12) of each message: what a record's value holds, for consumers in any language.

A type of events or commands is its envelope with what is fixed for the type, and its data. The files in
docs/schemas are these; AsyncAPI is made of the same parts.
"""

import functools
import inspect
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from models import topics
from models.commands import COMMANDS, PRODUCERS_OF_COMMANDS, Command, CommandType, WebhookReceived
from models.events import EVENTS, Event, EventType
from models.fields import TEXT_END
from models.generations import PartitionsState
from models.levels import OLDEST
from models.messages import Message, written_fields
from models.operations import PlatformId, WorkerClock
from models.reconciliation import ReconciliationReport
from models.takings import TakingsChange

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_VERSION: Final = 1
"""`schemaVersion` of all events and commands so far; readers refuse any other."""
RECORDS: Final[Mapping[str, type[Message]]] = {
    topics.WEBHOOKS: WebhookReceived,
    topics.RECONCILIATION: ReconciliationReport,
    topics.WORKER_CLOCKS: WorkerClock,
    topics.PLATFORM_IDENTITY: PlatformId,
    topics.PARTITIONS: PartitionsState,
    topics.RESTAURANT_TAKINGS: TakingsChange,
}
"""Topic that holds one kind of record -> that kind."""
NAMED_TYPES: Final = frozenset(kind for kind, spec in EVENTS.items() if spec.since is OLDEST)
"""What a field of an event that names a type of events holds: readers of the first release take no other."""


def fixed_properties(kind: EventType | CommandType) -> Schema:
    """What the envelope's fields can only be in messages of this type, by their names on the wire."""
    if isinstance(kind, EventType):
        field, producers = "eventType", EVENTS[kind].producers
    else:
        field, producers = "commandType", PRODUCERS_OF_COMMANDS[COMMANDS[kind].topic]
    return {
        field: {"type": "string", "const": kind.value},
        "schemaVersion": {"type": "integer", "const": SCHEMA_VERSION},
        "producer": {"type": "string", "enum": sorted(producers)},
    }


def schema_files() -> dict[str, Schema]:
    """Path of each file -> its schema; a file has the name that the message has in AsyncAPI."""
    files = {}
    for event, spec in EVENTS.items():
        about = f"Event in {', '.join(spec.topics)}."
        files[f"events/{event}"] = _typed(Event, event, spec.data, about)
    for command, sent in COMMANDS.items():
        about = f"Command in {sent.topic}."
        files[f"commands/{command}"] = _typed(Command, command, sent.data, about)
    for name, kind in RECORDS.items():
        files[f"records/{kind.__name__}"] = _described(_schema_of(kind), f"Record in {name}.")
    return {f"{path}.json": _identified(path, schema) for path, schema in files.items()}


def _typed(
    envelope: type[Message], kind: EventType | CommandType, data: type[Message], about: str
) -> Schema:
    """The envelope of a type, with its data among the definitions."""
    whole, inner = _schema_of(envelope), _schema_of(data)
    fixed = fixed_properties(kind)
    definitions = {**inner.get("$defs", {}), data.__name__: _without_definitions(inner)}
    properties = {**whole["properties"], **fixed, "data": {"$ref": f"#/$defs/{data.__name__}"}}
    schema = _described(_without_definitions(whole), about)
    return {**schema, "properties": properties, "$defs": definitions}


def _without_definitions(schema: Schema) -> Schema:
    """An envelope defines the enumeration of all types alone, which a type's own name replaces."""
    return {name: value for name, value in schema.items() if name != "$defs"}


def _described(schema: Schema, about: str) -> Schema:
    return {**schema, "description": f"{about}\n\n{schema['description']}"}


def _identified(path: str, schema: Schema) -> Schema:
    name = f"urn:tiffin:{path.replace('/', ':')}:{SCHEMA_VERSION}"
    return {"$schema": DIALECT, "$id": name, **schema, "title": path.rpartition("/")[2]}


@functools.cache
def _schema_of(kind: type[Message]) -> Schema:
    definitions = definitions_of((kind,), "#/$defs/{name}")
    whole = definitions.pop(kind.__name__)
    return {**whole, "$defs": definitions} if definitions else whole


def definitions_of(kinds: Collection[type[Message]], ref_template: str) -> dict[str, Schema]:
    """Name -> schema of these messages and of those that they are made of.

    A field with a default may be missing, as it is in older records.
    """
    _, definitions = msgspec.json.schema_components(kinds, ref_template=ref_template)
    for kind in {part for whole in kinds for part in _messages_in(whole)}:
        for field, default in written_fields(kind):  # which msgspec leaves out
            told = definitions[kind.__name__]["properties"][field.encode_name]
            told["default"] = msgspec.to_builtins(default)
    if EventType.__name__ in definitions:
        definitions[EventType.__name__]["enum"] = sorted(NAMED_TYPES)
    return {name: _tidied(schema) for name, schema in definitions.items()}


def _messages_in(kind: Any) -> Iterator[type[Message]]:
    if isinstance(kind, type) and issubclass(kind, Message):
        yield kind
        parts = tuple(field.type for field in structs.fields(kind))
    else:
        parts = typing.get_args(kind)
    for part in parts:
        yield from _messages_in(part)


def _tidied(schema: Any) -> Any:
    """A schema without what is Python's: indented descriptions, and the end of a pattern in its dialect."""
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidied(value) for name, value in schema.items()}
    if isinstance(text := tidied.get("description"), str):
        tidied["description"] = inspect.cleandoc(text)
    if isinstance(pattern := tidied.get("pattern"), str):
        tidied["pattern"] = pattern.replace(TEXT_END, "$")
    if "enum" in tidied:
        tidied["type"] = "string"
    return tidied
