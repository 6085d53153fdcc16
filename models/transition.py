"""The contract between the transition engine (tables/) and the services' pure decide functions.

What is made anew for each input is a NamedTuple: made four times as fast as a frozen dataclass.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from models.levels import LATEST
from models.unknown_fields import UnknownField


class UnreadableError(Exception):
    """An input record that no service can act on: not JSON, unknown type, wrong key, negative amount.

    Raised by `parse`, and by `decide` where only the key's state shows that the record can't be
    one of its own; the engine turns the record into a dead letter and goes on, the key with it.
    """


class UnknownFieldsError(Exception):
    """A stored state has fields of a newer build, which are kept: state, and the fields with their places."""

    def __init__(self, state: Any, fields: Sequence[UnknownField]) -> None:
        super().__init__("it has fields of a newer build")
        self.state, self.fields = state, fields


MAX_KEY_BYTES: Final = 512
"""No id of ours comes near it, and no table takes a longer key."""


def readable_key(key: bytes | None) -> str:
    """The key of an input as text. Raises UnreadableError for one that no record may have.

    Slashes mark rows, and what begins like the engine's own or Faust's own keys is theirs.
    """
    if not key:
        raise UnreadableError("no key")
    if len(key) > MAX_KEY_BYTES:
        raise UnreadableError(f"the key has {len(key)} bytes, {MAX_KEY_BYTES} are allowed")
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise UnreadableError("the key is not UTF-8") from None
    if "/" in name or name[0] == "\0" or name.startswith("__faust"):
        raise UnreadableError("the key has a slash or a reserved beginning")
    return name


class InputIdentity(NamedTuple):
    """What the engine needs to know of an input record before it is decided; made by `parse`.

    id: the sender's id (event id, command id, Stripe event id): a repeated one is dropped.
    producer, sequence: set on records that an engine emitted; a sequence not above the last one seen
        of that producer in that topic is dropped (it was emitted again after a crash).
    body_hash: of the request body that made the command, kept with its outcome; "" if there is none.
    """

    id: str
    producer: str = ""
    sequence: int = 0
    body_hash: str = ""


class Input(NamedTuple):
    """One input record as decide sees it.

    timestamp_ms: Kafka's record timestamp, the only clock that decide knows.
    message: what `parse` made of the value.
    headers: the Kafka record's headers (traceparent is carried on to the outputs).
    offset: the record's, in the partition that the service's rows of it lie in: rows that sum up over
        keys keep the last one that they hold, for an input may be decided again after a crash.
    level: the platform's when Kafka took the record (models/levels.py): what may be written because of it.
    """

    topic: str
    key: str
    identity: InputIdentity
    message: Any
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = -1
    level: int = LATEST


class Output(NamedTuple):
    """One record to emit.

    With the key of its input it goes to the input's partition number. With another key it goes to that key's
    partition, numbered by the engine in the header `tiffin-source`: its readers decide it exactly once too,
    and in order as far as it comes of one partition.
    """

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command; kept in the record for 24 hours under the command's id.

    events: ids of the events that it led to.
    positions: topic -> last sequence emitted into it by this decision; consistency tokens are made of it.
    """

    accepted: bool
    code: str = ""
    detail: str = ""
    events: tuple[str, ...] = ()
    positions: Mapping[str, int] = field(default_factory=dict)


class Decision(NamedTuple):
    """What one input leads to.

    state: the key's new state (the given one, changed or not).
    outputs: in the order in which they are to be emitted.
    rows: further keys of the same partition and their raw values, written in the same group. A row of one
        key has that key and a slash in front; a sum over keys any other name, with a slash in it. Rows
        are durable before the record: a crash may leave the rows of inputs that will be decided again,
        never a record without its rows.
    outcome: given for commands that somebody may wait for.
    """

    state: Any
    outputs: Sequence[Output] = ()
    rows: Mapping[str, bytes] = MappingProxyType({})
    outcome: Outcome | None = None


class Retained(NamedTuple):
    """What remains of an ended state at a time, and when more of it goes next.

    state: the given one, where nothing goes. due_ms: milliseconds since the epoch, later than the time that it
    was asked for; None: never.
    """

    state: Any
    due_ms: int | None = None


UNTIL: Final = "until/"
"""How entries of `until` begin."""


class IndexData(NamedTuple):
    """What a state is found by, and what it adds to the sums over all records of the partition.

    entries: records are found by how their entries begin, in the entries' order. once_ended: further entries
    of a record that has ended. sums: whole numbers by name, those that are 0 left out.
    """

    entries: Sequence[str] = ()
    once_ended: Sequence[str] = ()
    sums: Mapping[str, int] = MappingProxyType({})


def until(at_ms: int) -> str:
    """An entry by which listeners are given a record that has ended when a worker opens it before a time.

    at_ms: milliseconds since the epoch.
    """
    return f"{UNTIL}{at_ms:011x}"


ReadRow = Callable[[str], bytes | None]
"""Gives a row's raw value by its key; None where there is none."""


class TransitionService(Protocol):
    """What the engine needs of a service (agents/service.py): no method does I/O or reads a clock."""

    @property
    def name(self) -> str:
        """Of the table, the agents and the `producer` field of what it emits."""

    @property
    def inputs(self) -> Collection[str]:
        """Topics, keyed alike with one partition count."""

    @property
    def dictionaries(self) -> Sequence[bytes]:
        """What ended records are packed with, the latest last (tables/packing.py): none is ever changed."""

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        """Read one record. Raises UnreadableError when it can't be read."""

    def load(self, raw: Any) -> Any:
        """Make the state of the JSON value that `dump` gave (None for a key never seen).

        Raises UnknownFieldsError, which has the state, where a newer build's fields are in the value.
        """

    def dump(self, state: Any) -> Any:
        """Give the state as a value that orjson can serialise (an orjson.Fragment is one)."""

    def has_ended(self, state: Any) -> bool:
        """Whether nothing more is to be done for the key: indexes in memory leave it out."""

    @property
    def is_indexed(self) -> bool:
        """Whether the table keeps an index of its records. Listeners need one."""

    def index(self, state: Any) -> IndexData:
        """Give what a state is found by; pure. It is stored with the record as it is then."""

    @property
    def retention(self) -> str:
        """Names the settings that `retain` goes by: once they change, all ended records are gone through."""

    def retain(self, state: Any, at_ms: int) -> Retained:
        """Give what remains of an ended state at a time, in milliseconds since the epoch.

        Pure. Whatever a decision on it needs must remain: a state is not asked for whether it was retained.
        """

    def decide(self, state: Any, record: Input, read: ReadRow, /) -> Decision:
        """Decide one input.

        Must not raise on what the world can send, but UnreadableError for a record that is none of this
        key's: it becomes a dead letter. Whatever else it raises quarantines the key.
        """
