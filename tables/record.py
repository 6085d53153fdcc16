"""What a table stores under a key: the record as a task changes it, as readers see it, as bytes.

The bytes are JSON that a person can read, empty fields left out. The field `terminal` comes first,
so that an ended order is known by its first bytes; `index`, what the record is found by, comes last, so that
it is read without the rest. The field `unsent` is the outbox: outputs that are stored with the record until
they are known to have left. An ended record without such is packed.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from models import ids
from models.transition import Outcome, UnknownFieldsError
from models.unknown_fields import put_back
from tables.limits import Limits
from tables.outbox import has_left, load_outputs
from tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.transition import InputIdentity, Output, TransitionService
    from models.unknown_fields import UnknownField

SCHEMA_VERSION = 1
TERMINAL = b'{"terminal":true'
INDEX_FIELD = b',"index":['
"""What stands before the index's entries: no JSON string holds it, for quotes are escaped there."""
DUE = "due/"
"""How the entry of an ended record begins that says when something of it goes next."""
MAX_DUE_MS = (1 << 44) - 1
DEFAULT_LIMITS = Limits()
FIELDS = frozenset(
    {
        "terminal", "schemaVersion", "version", "epoch", "state", "offsets", "sequences", "skipped", "ids",
        "unsent", "outcomes", "quarantine", "index",
    }
)  # fmt: skip
"""All that a record has; what else is in one is a newer build's."""
NEW_RECORD = b'{"version":0,"epoch":-1,"state":null,"offsets":{}}'


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """A command's outcome, kept for 24 hours under the command's id."""

    outcome: Outcome
    body_hash: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a key's inputs are dead letters: `decide` raised, or its result was too large.

    reason: the exception's qualified name, or which limit was passed; never a value.
    since_ms, input_id: timestamp and id of the input that caused it.
    dead_lettered: inputs of the key made dead letters since, that one included, each time they are.
    """

    reason: str
    since_ms: int
    input_id: str
    dead_lettered: int

    @property
    def stamp(self) -> str:
        """Names this quarantine as it stands: each further dead letter changes it."""
        return f"{self.since_ms}:{self.dead_lettered}"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A key's record as it is durable. state: treat it as frozen.

    sequences: "topic/producer" -> last sequence decided. ids: topic -> tokens of ids decided, as of `Record`.
    """

    key: str
    version: int
    state: Any
    sequences: Mapping[str, int]
    outcomes: Mapping[str, StoredOutcome]
    quarantine: Quarantine | None
    ids: Mapping[str, str] = field(default_factory=dict)

    def has_decided(self, command_id: str) -> bool:
        """Whether a command was decided, of which it may be that no outcome is kept any more."""
        token = ids.token(command_id)
        return command_id in self.outcomes or any(token in known for known in self.ids.values())


class NewerRecordError(Exception):
    """A stored record has a schemaVersion that this build does not know: it stays as it is."""


@dataclass(slots=True, init=False, eq=False)
class Record:
    """A record as a task has it: changed in place, serialised once a commit batch.

    epoch: of the fence it was last written under. offsets: topic -> last offset decided.
    skipped: "topic/producer" -> numbers up to the last sequence that became dead letters and were not decided:
        of inputs with SOURCE_HEADER, whose number is known although they can't be read.
    ids: topic -> tokens (see `models.ids.token`) of the last ids of senders without sequences, in one
        text: a list of so many would cost more than all the rest.
    outbox: outputs of its inputs in this commit batch, serialised: those of earlier ones are durable
        before this one is written. outbox_bytes: its size. inherited_outbox: the stored one, until the
        first input of a task.
    taken: inputs that the commit batch took of it; taken_bytes: of them and of their outputs.
    outcomes: command id -> [accepted, code, detail, events, positions, body hash, time in ms].
    unknown, unknown_in_state: fields of a newer build, beside and inside of the state: they are written again.
    """

    key: str
    version: int
    epoch: int
    state: Any
    offsets: dict[str, int]
    sequences: dict[str, int]
    skipped: dict[str, list[int]]
    ids: dict[str, str]
    outcomes: dict[str, list[Any]]
    quarantine: Quarantine | None
    inherited_outbox: list[list[Any]]
    outbox: list[bytes]
    outbox_bytes: int
    taken: int
    taken_bytes: int
    unknown: Mapping[str, Any]
    unknown_in_state: Sequence[UnknownField]

    def __init__(self, key: str, raw: bytes | None, service: TransitionService) -> None:
        """Read stored bytes, or begin a key that has none.

        Raises TypeError, NewerRecordError, and what `load` does but UnknownFieldsError.
        """
        stored = orjson.loads(NEW_RECORD if raw is None else unpack(raw, service.dictionaries))
        get = stored.get
        if get("schemaVersion", SCHEMA_VERSION) > SCHEMA_VERSION:
            raise NewerRecordError
        self.key = key
        self.version = stored["version"]
        self.epoch = stored["epoch"]
        self.unknown = {} if stored.keys() <= FIELDS else _without(stored, FIELDS)
        self.unknown_in_state = ()
        try:
            self.state = service.load(stored["state"])
        except UnknownFieldsError as error:
            self.state, self.unknown_in_state = error.state, error.fields
        self.offsets = stored["offsets"]
        self.sequences = get("sequences") or {}
        self.skipped = get("skipped") or {}
        self.ids = get("ids") or {}
        self.outcomes = get("outcomes") or {}
        quarantine = get("quarantine")
        self.quarantine = Quarantine(**quarantine) if quarantine else None
        self.inherited_outbox = get("unsent") or []
        self.end_commit_batch()
        # Everything here counts on these types.
        numbers = [self.version, self.epoch, *self.offsets.values(), *self.sequences.values()]
        if any(type(number) is not int for number in numbers):
            raise TypeError("a stored number is none")
        if not all(isinstance(given, dict) for given in (self.ids, self.outcomes)):
            raise TypeError("stored ids or outcomes are no object")
        if not isinstance(self.inherited_outbox, list):
            raise TypeError("what is stored unsent is no list")

    def copy(self) -> Record:
        """A copy to go back to; what a decision may change is not shared."""
        twin = copy.copy(self)
        twin.offsets, twin.sequences = dict(self.offsets), dict(self.sequences)
        twin.skipped = {source: list(numbers) for source, numbers in self.skipped.items()}
        twin.ids, twin.outcomes = dict(self.ids), dict(self.outcomes)
        twin.outbox = list(self.outbox)
        return twin

    def take_over_outbox(self, epoch: int, durable_offsets: Mapping[str, int]) -> list[Output]:
        """Take over outputs that a task before the one of this epoch may not have sent, and give them.

        durable_offsets: topic -> last offset whose outputs have left. The others have to leave, in
        order, before anything new of the key. Those with keys of their own have: a task begins with them.
        """
        inherited, self.inherited_outbox = self.inherited_outbox, []
        if self.epoch == epoch:
            return []
        left = [entry for entry in inherited if not has_left(entry, durable_offsets)]
        for entry in left:
            self.count_input(0, orjson.dumps(entry))
        outputs = (output for entry in left for output in load_outputs(entry))
        return [output for output in outputs if output.key == self.key]

    def count_input(self, size: int, entry: bytes) -> None:
        """Count an input of `size` bytes; keep its outputs, as by `dump_entry`, until they have left."""
        self.taken += 1
        self.taken_bytes += size + len(entry)
        if entry:
            self.outbox.append(entry)
            self.outbox_bytes += len(entry)

    def end_commit_batch(self) -> None:
        """The commit batch is being written: the next begins with nothing."""
        self.outbox = []
        self.outbox_bytes = self.taken = self.taken_bytes = 0

    def has_ended(self, service: TransitionService) -> bool:
        """Whether nothing is to be done for the key. A quarantined one never has: somebody must act on it."""
        return self.quarantine is None and service.has_ended(self.state)

    def index(
        self, service: TransitionService, *, has_ended: bool
    ) -> tuple[list[str], dict[str, int]]:
        """What it is found by, and what it adds to the table's sums."""
        entries, once_ended, sums = service.index(self.state)
        return [*entries, *once_ended] if has_ended else list(entries), dict(sums)

    def due_ms(self, service: TransitionService, limits: Limits) -> int | None:
        """When something of an ended record goes next, in milliseconds since the epoch; None: never."""
        due_ms = service.retain(self.state, 0).due_ms
        if not self.outcomes:
            return due_ms
        # All at once: each time that a record is written costs more than its outcomes.
        outcomes_ms: int = max(raw[6] for raw in self.outcomes.values())
        outcomes_ms += limits.outcome_ttl_s * 1000
        return outcomes_ms if due_ms is None else min(due_ms, outcomes_ms)

    def remove_due(self, service: TransitionService, limits: Limits, at_ms: int) -> bool:
        """Remove from an ended record what its time is over for; whether there was any.

        Its ids, sequences and offsets stay, for what comes again must be known.
        """
        before, outcomes = self.state, self.outcomes
        self.state = service.retain(before, at_ms).state
        since_ms = at_ms - limits.outcome_ttl_s * 1000
        self.outcomes = {name: raw for name, raw in outcomes.items() if raw[6] > since_ms}
        return self.state is not before or len(self.outcomes) < len(outcomes)

    def dump(self, service: TransitionService, limits: Limits = DEFAULT_LIMITS) -> bytes:
        """Serialise it; whatever a method of the service or orjson raises comes through."""
        fields: dict[str, Any] = {}
        if has_ended := self.has_ended(service):
            fields["terminal"] = True
        fields |= {"schemaVersion": SCHEMA_VERSION, "version": self.version, "epoch": self.epoch}
        state = service.dump(self.state)
        if self.unknown_in_state:
            state = put_back(orjson.loads(orjson.dumps(state)), self.unknown_in_state)
        fields |= {"state": state, "offsets": self.offsets}
        if self.sequences:
            fields["sequences"] = self.sequences
        if self.skipped:
            fields["skipped"] = self.skipped
        if self.ids:
            fields["ids"] = self.ids
        if self.outbox:
            fields["unsent"] = orjson.Fragment(b"[%b]" % b",".join(self.outbox))
        if self.outcomes:
            fields["outcomes"] = self.outcomes
        if self.quarantine:
            fields["quarantine"] = self.quarantine
        fields |= self.unknown
        index = b""
        if service.is_indexed:
            entries, sums = self.index(service, has_ended=has_ended)
            if has_ended and (due_ms := self.due_ms(service, limits)) is not None:
                entries.append(due_entry(due_ms))
            index = b"%b%b" % (INDEX_FIELD[:-1], orjson.dumps((entries, sums)))
        raw = orjson.dumps(fields)
        if has_ended and not self.outbox:
            return pack(raw, service.dictionaries, index)
        return b"%b%b}" % (raw[:-1], index)

    def snapshot(self) -> StoredRecord:
        """As readers see it once it is stored."""
        return StoredRecord(
            key=self.key,
            version=self.version,
            state=self.state,
            sequences=dict(self.sequences),
            outcomes={name: load_outcome(raw) for name, raw in self.outcomes.items()},
            quarantine=self.quarantine,
            ids=dict(self.ids),
        )

    def is_known(self, source: str, sequence: int, *, is_redriven: bool) -> bool:
        """Whether an engine's output was decided, or is among the dead letters and was not redriven.

        source: "topic/producer".
        """
        if sequence > self.sequences.get(source, -1):
            return False
        return not (is_redriven and sequence in self.skipped.get(source, ()))

    def keep_sequence(self, source: str, sequence: int) -> None:
        """Remember that an engine's output was decided."""
        if sequence > self.sequences.get(source, -1):
            self.sequences[source] = sequence
            return
        self.skipped[source].remove(sequence)
        if not self.skipped[source]:
            del self.skipped[source]

    def skip_sequence(self, source: str, sequence: int, cap: int) -> None:
        """Remember that an engine's output became a dead letter, so that it may come again; the last `cap`."""
        if sequence > self.sequences.get(source, -1):
            self.sequences[source] = sequence
            self.skipped[source] = [*self.skipped.get(source, ()), sequence][-cap:]

    def keep_id(self, topic: str, token: str, cap: int) -> None:
        """Remember an input's id, the last `cap` of its topic."""
        kept = self.ids.get(topic, "") + token
        self.ids[topic] = kept if len(kept) <= cap * ids.TOKEN_CHARS else kept[ids.TOKEN_CHARS :]

    def keep_outcome(
        self, command: InputIdentity, outcome: Outcome, at_ms: int, limits: Limits
    ) -> None:
        """Remember a command's outcome; forget those past their time, and the oldest above the limit."""
        said = [outcome.accepted, outcome.code, outcome.detail, outcome.events, outcome.positions]
        self.outcomes[command.id] = [*said, command.body_hash, at_ms]
        while len(self.outcomes) > 1:
            oldest = next(iter(self.outcomes))
            is_young = self.outcomes[oldest][6] > at_ms - limits.outcome_ttl_s * 1000
            if is_young and len(self.outcomes) <= limits.outcomes:
                break
            del self.outcomes[oldest]


def _without(stored: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name not in names}


def due_entry(at_ms: int) -> str:
    """The entry of what is due at a time, in milliseconds since the epoch; in their order."""
    return f"{DUE}{min(max(at_ms, 0), MAX_DUE_MS):011x}"


def load_outcome(raw: list[Any]) -> StoredOutcome:
    """An entry of `Record.outcomes` as readers see it."""
    accepted, code, detail, events, positions, body_hash, at_ms = raw
    outcome = Outcome(accepted, code, detail, tuple(events), dict(positions))
    return StoredOutcome(outcome, body_hash, at_ms)
