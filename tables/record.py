"""What a table stores under a key: the record as a task changes it, as readers see it, as bytes.

The bytes are JSON that a person can read, empty fields left out. The field `terminal` comes first,
so that a scan can skip a finished order by its first bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from models import ids
from models.transition import Outcome
from tables.outbox import load_outputs

if TYPE_CHECKING:
    from models.transition import Output, TransitionService

SCHEMA_VERSION = 1
TERMINAL = b'{"terminal":true'


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
    dead_lettered: inputs of the key made dead letters since, that one included; redriven ones count
        again when they become dead letters again.
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
    """A key's record as it is durable.

    state: what `Service.load` or the decision gave: treat it as frozen.
    sequences: "topic/producer" -> last sequence decided.
    """

    key: str
    version: int
    state: Any
    sequences: Mapping[str, int]
    outcomes: Mapping[str, StoredOutcome]
    quarantine: Quarantine | None


class Record:
    """A record as a task has it: changed in place, serialised once a commit batch.

    key: as text.
    epoch: of the fence it was last written under.
    offsets: topic -> last offset decided. ids: topic -> tokens (see `models.ids.token`) of the last ids of
        senders without sequences, in one text: a list of so many would cost more than all the rest.
    outbox: outputs of its inputs in this commit batch, serialised: those of earlier ones are durable
        before this one is written. outbox_bytes: its size. inherited_outbox: the stored one, until the
        first input of a task.
    taken: inputs that the commit batch took of it; taken_bytes: of them and of their outputs.
    outcomes: command id -> [accepted, code, detail, events, positions, body hash, time in ms].
    """

    __slots__ = (
        "epoch",
        "ids",
        "inherited_outbox",
        "key",
        "offsets",
        "outbox",
        "outbox_bytes",
        "outcomes",
        "quarantine",
        "sequences",
        "state",
        "taken",
        "taken_bytes",
        "version",
    )

    def __init__(self, key: str, raw: bytes | None, service: TransitionService) -> None:
        """Read stored bytes, or begin a key that has none."""
        self.key = key
        self.outbox: list[bytes] = []
        self.outbox_bytes = self.taken = self.taken_bytes = 0
        self.inherited_outbox: list[list[Any]] = []
        if raw is None:
            self.version, self.epoch, self.state = 0, -1, service.load(None)
            self.offsets: dict[str, int] = {}
            self.sequences: dict[str, int] = {}
            self.ids: dict[str, str] = {}
            self.outcomes: dict[str, list[Any]] = {}
            self.quarantine: Quarantine | None = None
            return
        stored = orjson.loads(raw)
        get = stored.get
        self.version = stored["version"]
        self.epoch = stored["epoch"]
        self.state = service.load(stored["state"])
        self.offsets = stored["offsets"]
        self.sequences = get("sequences") or {}
        self.ids = get("ids") or {}
        self.inherited_outbox = get("unsent") or []
        self.outcomes = get("outcomes") or {}
        quarantine = get("quarantine")
        self.quarantine = Quarantine(**quarantine) if quarantine else None
        self._check()

    def _check(self) -> None:
        """Raise TypeError when what was stored has not the types that everything here counts on."""
        numbers = [self.version, self.epoch, *self.offsets.values(), *self.sequences.values()]
        if any(type(number) is not int for number in numbers):
            raise TypeError("a stored number is none")
        if not all(isinstance(given, dict) for given in (self.ids, self.outcomes)):
            raise TypeError("stored ids or outcomes are no object")
        if not isinstance(self.inherited_outbox, list):
            raise TypeError("what is stored unsent is no list")

    def copy(self) -> Record:
        """A copy to go back to; what a decision may change is not shared."""
        twin: Record = object.__new__(Record)
        for name in Record.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.offsets, twin.sequences = dict(self.offsets), dict(self.sequences)
        twin.ids = dict(self.ids)
        twin.outbox, twin.outcomes = list(self.outbox), dict(self.outcomes)
        return twin

    def take_over_outbox(self, epoch: int, durable_offsets: Mapping[str, int]) -> list[Output]:
        """Take over outputs that a task before the one of this epoch may not have sent, and give them.

        durable_offsets: topic -> last offset whose outputs have left. The others have to leave, in
        order, before anything new of the key.
        """
        inherited_outbox, self.inherited_outbox = self.inherited_outbox, []
        if self.epoch == epoch:
            return []
        left = [entry for entry in inherited_outbox if entry[1] > durable_offsets.get(entry[0], -1)]
        for entry in left:
            self.count_input(0, orjson.dumps(entry))
        return [output for entry in left for output in load_outputs(entry)]

    def count_input(self, size: int, entry: bytes) -> None:
        """Count an input of `size` bytes, and keep its outputs until they are known to have left.

        entry: of `dump_entry`; b"" for nothing.
        """
        self.taken += 1
        self.taken_bytes += size + len(entry)
        if entry:
            self.outbox.append(entry)
            self.outbox_bytes += len(entry)

    def end_commit_batch(self) -> None:
        """The commit batch is being written: the next begins with nothing."""
        self.outbox = []
        self.outbox_bytes = self.taken = self.taken_bytes = 0

    def dump(self, service: TransitionService) -> bytes:
        """Serialise it; whatever `Service.dump` or orjson raises comes through."""
        fields: dict[str, Any] = {}
        # A quarantined record is never left out of an index: somebody must act on it.
        if self.quarantine is None and service.has_ended(self.state):
            fields["terminal"] = True
        fields["schemaVersion"] = SCHEMA_VERSION
        fields["version"] = self.version
        fields["epoch"] = self.epoch
        fields["state"] = service.dump(self.state)
        fields["offsets"] = self.offsets
        if self.sequences:
            fields["sequences"] = self.sequences
        if self.ids:
            fields["ids"] = self.ids
        if self.outbox:
            fields["unsent"] = orjson.Fragment(b"[%b]" % b",".join(self.outbox))
        if self.outcomes:
            fields["outcomes"] = self.outcomes
        if self.quarantine:
            fields["quarantine"] = self.quarantine
        return orjson.dumps(fields)

    def snapshot(self) -> StoredRecord:
        """As readers see it once it is stored."""
        return StoredRecord(
            key=self.key,
            version=self.version,
            state=self.state,
            sequences=dict(self.sequences),
            outcomes={name: load_outcome(raw) for name, raw in self.outcomes.items()},
            quarantine=self.quarantine,
        )

    def keep_id(self, topic: str, token: str, cap: int) -> None:
        """Remember an input's id, the last `cap` of its topic."""
        kept = self.ids.get(topic, "") + token
        self.ids[topic] = kept if len(kept) <= cap * ids.TOKEN_CHARS else kept[ids.TOKEN_CHARS :]

    def keep_outcome(
        self,
        command_id: str,
        outcome: Outcome,
        body_hash: str,
        at_ms: int,
        *,
        ttl_ms: int,
        cap: int,
    ) -> None:
        """Remember a command's outcome; forget those past their time, and the oldest above `cap`."""
        self.outcomes[command_id] = [
            outcome.accepted,
            outcome.code,
            outcome.detail,
            outcome.events,
            outcome.positions,
            body_hash,
            at_ms,
        ]
        while len(self.outcomes) > 1:
            oldest = next(iter(self.outcomes))
            if len(self.outcomes) <= cap and self.outcomes[oldest][6] > at_ms - ttl_ms:
                break
            del self.outcomes[oldest]


def load_outcome(raw: list[Any]) -> StoredOutcome:
    """An entry of `Record.outcomes` as readers see it."""
    accepted, code, detail, events, positions, body_hash, at_ms = raw
    outcome = Outcome(accepted, code, detail, tuple(events), dict(positions))
    return StoredOutcome(outcome, body_hash, at_ms)
