"""The declaration of a service, from which its table, Faust agents, docs and CLI output are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec
import orjson

from models.commands import PRODUCERS_OF_COMMANDS, read_command, read_webhook
from models.events import EVENTS, OPERATORS, read_event_of
from models.messages import convert_known
from models.topics import TOPICS, TopicUse
from models.transition import (
    Decision,
    IndexData,
    Input,
    InputIdentity,
    ReadRow,
    Retained,
    UnknownFieldsError,
)

S = TypeVar("S")
GATHERED_S: Final = 0.1
"""For services that nobody waits for."""

Reader = Callable[[str, bytes, bytes], tuple[InputIdentity, Any]]
"""Reads a record: topic, key, value -> its identity and its message. Raises UnreadableError."""


def events(topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
    """Read an event. Operators' have no sequence: they are not emitted by the engine."""
    event = read_event_of(topic, key, value)
    if event.producer == OPERATORS:
        return InputIdentity(event.event_id), event
    return InputIdentity(event.event_id, event.producer, event.sequence), event


def commands(topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
    """Read a command."""
    command = read_command(topic, key, value)
    id, producer = command.command_id, command.producer
    return InputIdentity(id, producer, command.sequence, command.body_hash), command


def webhooks(_: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
    """Read a reduced event of Stripe's."""
    webhook = read_webhook(key, value)
    return InputIdentity(webhook.stripe_event_id), webhook


@dataclass(frozen=True, kw_only=True)
class Service(Generic[S]):
    """One service: the pure half of a stream-table join; tables/ does the rest.

    name: of the table, the agents and the `producer` of what it emits. about: what it does, in a sentence.
    inputs: topic -> what reads its records; the order is the agents'. state: the type of a key's record,
    as msgspec takes it. initial: the state of a key never seen. decide: state, input and a way to read
    rows -> what follows; pure; it must not raise on what the world can send, but UnreadableError for a
    record that is none of the key's. has_ended: whether nothing is left to be done for a key, so that no index
    in memory needs its record; it is then packed. dictionaries: what it is packed with (agents/dictionaries).
    index_of: what a state is found by (models/transition.py); None: records of this table are looked up by
    their key alone. retain_by: what remains of an ended state at a time (models/retention.py), by the settings
    that `retention` names; None: all of it. gather_s: how long an input may wait for others before they are
    made durable together: 0 where a request or a service waits. sums: how names of rows that sum up over keys
    begin, up to the slash -> such a row as one that no input of its topic is in yet, for `partitions raise`.
    restarted: a key's stored record, likewise, where its state has offsets of a topic; None: it has none.
    """

    name: str
    about: str
    inputs: Mapping[str, Reader]
    state: Any
    initial: S
    decide: Callable[[S, Input, ReadRow], Decision]
    has_ended: Callable[[S], bool] = lambda _: False
    dictionaries: Sequence[bytes] = ()
    index_of: Callable[[S], IndexData] | None = None
    retain_by: Callable[[S, int], Retained] | None = None
    retention: str = ""
    gather_s: float = 0.0
    sums: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    restarted: Callable[[bytes], bytes] | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether the table keeps an index of its records."""
        return self.index_of is not None

    def index(self, state: S) -> IndexData:
        """Give what a state is found by."""
        return self.index_of(state) if self.index_of else IndexData()

    def retain(self, state: S, at_ms: int) -> Retained:
        """Give what remains of an ended state at a time."""
        return self.retain_by(state, at_ms) if self.retain_by else Retained(state)

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        """Read one record. Raises UnreadableError when it can't be read."""
        return self.inputs[topic](topic, key, value)

    def load(self, raw: Any) -> S:
        """Make the state of its JSON value; None: of a key never seen. Raises UnknownFieldsError."""
        if raw is None:
            return self.initial
        state: S
        state, unknown = convert_known(self.state, raw)
        if unknown:
            raise UnknownFieldsError(state, unknown)
        return state

    def dump(self, state: S) -> Any:
        """Give the state as JSON."""
        return orjson.Fragment(msgspec.json.encode(state))


def topic_uses(services: Iterable[Service[Any]]) -> tuple[TopicUse, ...]:
    """Each topic with who writes to it and reads it: services in the given order, then clients."""
    names = {service.name: service for service in services}
    uses = []
    for topic in TOPICS.values():
        writers = set(PRODUCERS_OF_COMMANDS.get(topic.name, ()))
        writers = writers.union(*(e.producers for e in EVENTS.values() if topic.name in e.topics))
        written_by = (*(name for name in names if name in writers), *topic.clients)
        read_by = tuple(name for name in names if topic.name in names[name].inputs)
        uses.append(TopicUse(topic, written_by, read_by))
    return tuple(uses)
