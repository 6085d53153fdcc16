"""The in-memory half of a lane: inputs are decided one by one, their effects gathered in groups.

Nothing here awaits, sends or writes. A `Group` is what goes through the lane's pipeline as one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from models import ids
from models.transition import Input, Output, UnreadableError
from tables import unsent
from tables.letters import (
    REDRIVE,
    RELEASE,
    DeadLetter,
    dead_letter,
    header_of,
    readable_key,
)
from tables.record import Quarantine, Record
from tables.record_batches import OffsetGap, UnreadableRecord
from tables.times import came_at_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.transition import Decision, Header, Outcome, Service
    from tables.limits import Counters, Limits


class Outputs(Protocol):
    """What takes a group's outputs: `Batches`, or a list when nothing is to be sent."""

    def append(self, output: Output | DeadLetter, /) -> None:
        """Add one behind the others."""


Taking = TypeVar("Taking", bound=Outputs)


class TooLargeError(Exception):
    """A decision made a record, an output or a row that is larger than the limits allow."""


class UnloadableError(UnreadableError):
    """A stored state that its service can't load: the key's inputs become dead letters."""


class BadRowError(Exception):
    """A decision named a row without a slash, which could be taken for a record."""


class Group(Generic[Taking]):
    """Consecutive inputs and all their effects: durable together, step by step.

    inputs: ConsumerRecords, until it is closed; first: topic and offset of the first of them; count: of
    them; offsets: topic -> last offset;
    records, rows: by key, as they are after the last input; progress: the lane's own offsets, when
    they are to be written too.
    """

    __slots__ = ("count", "first", "inputs", "offsets", "outputs", "progress", "records", "rows")

    def __init__(self, outputs: Taking) -> None:
        self.count = 0
        self.inputs: list[Any] = []
        self.first: tuple[str, int] | None = None
        self.offsets: dict[str, int] = {}
        self.records: dict[bytes, Record] = {}
        self.rows: dict[bytes, bytes] = {}
        self.outputs = outputs
        self.progress: dict[str, int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing came and nothing has to be sent again."""
        return not self.count and not self.records


class Applier(Generic[Taking]):
    """Decides the inputs of one partition for one service; the only one that changes its records.

    Inputs are gathered in `group` while the group before, `under_way`, becomes durable; a group is
    closed only once that one is settled. `new_outputs` makes what takes a group's outputs; `done` (the
    lane's) gives, per topic, the last offset whose outputs are durable. readers: topic -> names of the
    services that read it, where that is known. is_measured: sizes are checked
    at each input, not once a group.
    """

    def __init__(  # noqa: PLR0913 -- what the lane lends it, most of it given by name
        self,
        service: Service,
        read_stored: Callable[[bytes], bytes | None],
        new_outputs: Callable[[], Taking],
        *,
        epoch: int,
        done: dict[str, int],
        limits: Limits,
        counters: Counters,
        dead_letter_topic: str,
        readers: Mapping[str, Collection[str]] = MappingProxyType({}),
        is_measured: bool = False,
    ) -> None:
        self.service = service
        self._readers = readers
        self.group = Group(new_outputs())
        self.under_way: Group[Taking] | None = None
        self._records: dict[bytes, Record] = {}
        self._read_stored = read_stored
        self._new_outputs = new_outputs
        self._epoch = epoch
        self._done = done
        self._limits = limits
        self._counters = counters
        self._dead_letter_topic = dead_letter_topic
        self._measured = is_measured

    @property
    def in_flight(self) -> int:
        """Inputs applied whose outputs are not known durable."""
        return self.group.count + (self.under_way.count if self.under_way else 0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing at all is on its way, inputs or outputs that are sent again."""
        return self.under_way is None and self.group.is_empty

    def first_in_flight(self) -> tuple[str, int] | None:
        """Topic and offset of the first input whose outputs are not known durable."""
        return (self.under_way.first if self.under_way else None) or self.group.first

    def last_in_flight(self) -> dict[str, int]:
        """Topic -> last offset of the inputs whose outputs are not known durable."""
        before = self.under_way.offsets if self.under_way else {}
        return {**before, **self.group.offsets}

    def apply(self, topic: str, inputs: Sequence[Any]) -> int:
        """Take inputs, ConsumerRecords of one topic, into the group; gives how many.

        Fewer than there are: the next one's key has so many outputs that it waits for the next group.
        Raises only what means that the store can't be read.
        """
        taken = 0
        for consumed in inputs:
            try:
                if not self._take(topic, consumed):
                    break
            except UnreadableError as exc:
                self._take_unreadable(topic, consumed, exc)
            taken += 1
        if taken:
            group = self.group
            group.first = group.first or (topic, inputs[0].offset)
            group.inputs += inputs[:taken]
            group.count += taken
            group.offsets[topic] = inputs[taken - 1].offset
        return taken

    def record(self, key: bytes | None) -> Record:
        """A key's record as the inputs so far left it. Raises UnreadableError."""
        record = self._records.get(key)  # type: ignore[arg-type]
        if record is not None:
            return record
        name, key = readable_key(key)
        stored = self._read_stored(key)
        try:
            return Record(name, stored, self.service)
        except Exception as exc:
            raise UnloadableError(_qualified(exc)) from exc

    def _take(self, topic: str, consumed: Any) -> bool:
        """Apply an input. False: nothing was done, it waits. Raises UnreadableError."""
        record = self._records.get(consumed.key) or self.record(consumed.key)
        if record.inherited:
            self._send_again(consumed.key, record)
        offset = consumed.offset
        if offset <= record.offsets.get(topic, -1):
            self._counters.redelivered += 1
            return True
        headers = consumed.headers
        redriven = header_of(headers, REDRIVE) if headers else None
        if redriven is not None and self._is_done_by_header(topic, record, consumed, redriven):
            return True
        if consumed.value is None:
            raise UnreadableError("no value")
        try:
            header, message = self.service.parse(topic, consumed.key, consumed.value, headers)
        except UnreadableError:
            raise
        except Exception as exc:  # a parser's bug must not stop the stream either
            raise UnreadableError(_qualified(exc)) from exc
        token = "" if header.producer else ids.token(header.id)
        if self._is_duplicate(topic, record, header, token):
            self._drop(topic, record, consumed, token)
            return True
        if record.taken and self._is_hot(record):
            return False
        if record.quarantine is not None and redriven is None:
            self._turn_away(topic, record, consumed, record.quarantine)
        else:
            at_ms = came_at_ms(consumed)
            if at_ms != consumed.timestamp:
                self._counters.odd_times += 1
            given = Input(topic, record.key, header, message, at_ms, headers, offset)
            self._decide(record, consumed, given, token)
        return True

    def _send_again(self, key: bytes, record: Record) -> None:
        """At a key's first touch in this lane: what an earlier one may not have sent leaves."""
        for output in record.inherit(self._epoch, self._done):
            self.group.outputs.append(output)
            self._counters.reemitted += 1
            self._changed(key, record)

    def _is_hot(self, record: Record) -> bool:
        """Whether this group took so much of the key that its record would only grow."""
        limits = self._limits
        crowded = record.taken >= limits.key_inputs or record.taken_bytes >= limits.key_bytes
        return crowded and not self._measured

    def _is_duplicate(self, topic: str, record: Record, header: Header, token: str) -> bool:
        if token:
            return token in record.ids.get(topic, "") or header.id in record.outcomes
        source = f"{topic}/{header.producer}"
        return header.sequence <= record.sequences.get(source, -1)

    def _drop(self, topic: str, record: Record, consumed: Any, token: str) -> None:
        self._counters.duplicates += 1
        if token:
            # Written although nothing else changes: else this offset could be decided after its id has
            # left the window. Sequences have no window.
            record.offsets[topic] = consumed.offset
            self._changed(consumed.key, record)

    def _decide(self, record: Record, consumed: Any, given: Input, token: str) -> None:
        before = record.copy() if self._measured else None
        topic, header = given.topic, given.header
        try:
            decision = self.service.decide(record.state, given, self.read)
            state, outputs, rows, outcome = decision
            entry = unsent.dump(topic, given.offset, outputs) if outputs else b""
            if rows or len(entry) > self._limits.output_bytes:
                self._check(decision, entry)
            if outcome is not None:
                self._keep_outcome(record, given, outcome)
            if token:
                record.keep_id(topic, token, self._limits.ids_per_topic)
            else:
                record.sequences[f"{topic}/{header.producer}"] = header.sequence
            record.state = state
            record.offsets[topic] = given.offset
            record.version += 1
            record.take(len(consumed.value), entry)
            if before is not None:
                self._measure(record)
        except UnreadableError:
            raise  # the service says that it is none of this key's: nothing has been changed yet
        except Exception as exc:  # noqa: BLE001 -- one bad order must never stop a worker
            self._quarantine(before or record, consumed, given, exc)
            return
        for output in outputs:
            self.group.outputs.append(output)
        if rows:
            self.group.rows.update((row.encode(), value) for row, value in rows.items())
        self._counters.decided += 1
        self._changed(consumed.key, record)

    def _quarantine(self, record: Record, consumed: Any, given: Input, exc: Exception) -> None:
        reason = Quarantine(_qualified(exc), given.timestamp_ms, given.header.id, 0)
        if record.quarantine is not None:  # redriven in vain
            reason = replace(record.quarantine, reason=reason.reason)
        self._turn_away(given.topic, record, consumed, reason, str(exc))

    def _keep_outcome(self, record: Record, given: Input, outcome: Outcome) -> None:
        record.keep_outcome(
            given.header.id,
            outcome,
            given.header.body_hash,
            given.timestamp_ms,
            ttl_ms=self._limits.outcome_ttl_s * 1000,
            cap=self._limits.outcomes,
        )

    def _measure(self, record: Record) -> None:
        size = len(record.dump(self.service)) - record.unsent_bytes
        if size > self._limits.record_bytes:
            raise TooLargeError(f"a record of more than {self._limits.record_bytes} bytes")

    def _check(self, decision: Decision, entry: bytes) -> None:
        """Raise when an output or a row is none that may be, or the outputs are too much to store."""
        limit = self._limits.output_bytes
        for output in decision.outputs:
            headers = sum(len(name) + len(value) for name, value in output.headers)
            if len(output.value) + headers > limit:
                raise TooLargeError(f"an output of more than {limit} bytes")
        if len(entry) > self._limits.entry_bytes:
            raise TooLargeError(f"outputs of more than {self._limits.entry_bytes} bytes as stored")
        for row, value in decision.rows.items():
            if "/" not in row:
                raise BadRowError
            if len(value) > limit:
                raise TooLargeError(f"a row of more than {limit} bytes")

    def _is_done_by_header(self, topic: str, record: Record, consumed: Any, redriven: str) -> bool:
        """Whether a redriven record is another service's, or releases the key and is no input.

        Raises UnreadableError for one that no service would take.
        """
        if redriven != self.service.name:
            if redriven not in self._readers.get(topic, (redriven,)):
                raise UnreadableError(f"redriven for {redriven[:64]!r}, which reads no {topic}")
            return True
        if consumed.value is not None or header_of(consumed.headers, RELEASE) is None:
            return False
        self._release(topic, record, consumed)
        return True

    def _release(self, topic: str, record: Record, consumed: Any) -> None:
        """Lift the quarantine without deciding anything, if it is still the one that was meant."""
        stamp = header_of(consumed.headers, RELEASE)
        if record.quarantine is not None and record.quarantine.stamp == stamp:
            record.quarantine = None
            record.offsets[topic] = consumed.offset
            record.version += 1
            self._changed(consumed.key, record)

    def _take_unreadable(self, topic: str, consumed: Any, exc: Exception) -> None:
        """Pass over offsets that have no record; make a dead letter of a record that can't be read."""
        kind = type(consumed)
        if kind is OffsetGap:
            self._counters.gaps += consumed.offset - consumed.first + 1
            return
        if kind is UnreadableRecord:
            exc = UnreadableError(f"the record itself is broken: {consumed.error}")
        self._bury(topic, consumed, exc)

    def _changed(self, key: bytes, record: Record) -> None:
        self._records[key] = self.group.records[key] = record

    def _bury(self, topic: str, consumed: Any, exc: Exception) -> None:
        """Make a dead letter of an input that touches no record."""
        self._counters.unreadable += 1
        self.group.outputs.append(self._dead_letter(topic, consumed, _qualified(exc), str(exc)))

    def _turn_away(
        self,
        topic: str,
        record: Record,
        consumed: Any,
        quarantine: Quarantine,
        message: str = "the key is quarantined",
    ) -> None:
        """Make a dead letter of an input of a quarantined key; the record remembers and counts it."""
        self._counters.quarantined += 1
        quarantine = replace(quarantine, dead_lettered=quarantine.dead_lettered + 1)
        letter = self._dead_letter(
            topic, consumed, quarantine.reason, message, quarantine=quarantine.stamp
        )
        output = Output(letter.topic, record.key, letter.value or b"", letter.headers)
        record.take(len(consumed.value or b""), unsent.dump(topic, consumed.offset, (output,)))
        record.quarantine = quarantine
        record.offsets[topic] = consumed.offset
        record.version += 1
        self.group.outputs.append(output)
        self._changed(consumed.key, record)

    def _dead_letter(
        self, topic: str, consumed: Any, reason: str, message: str, *, quarantine: str = ""
    ) -> DeadLetter:
        return dead_letter(
            self._dead_letter_topic,
            consumed,
            origin=topic,
            service=self.service.name,
            reason=reason,
            message=message,
            max_value_bytes=self._limits.dead_letter_bytes,
            quarantine=quarantine,
        )

    def read(self, row: str) -> bytes | None:
        """A row as the inputs so far left it; what `decide` is given."""
        key = row.encode()
        for group in (self.group, self.under_way):
            if group is not None and key in group.rows:
                return group.rows[key]
        return self._read_stored(key)

    def close_group(self) -> tuple[Group[Taking], list[tuple[bytes, bytes]]]:
        """End the group and begin the next; gives it with its records serialised.

        The group before must be settled. When a record has become too large or can't be serialised,
        the group is undone and decided again one input at a time, so that the input that did it is
        found and its key quarantined.
        """
        group = self.group
        try:
            values, fits = self._dump(group)
        except Exception:  # noqa: BLE001 -- a service's dump: the second pass finds whose
            fits = False
        if not fits:
            group = self._redo(group)
            values, _ = self._dump(group)
        group.inputs = []
        self.group, self.under_way = Group(self._new_outputs()), group
        return group, list(zip(group.records, values, strict=True))

    def _dump(self, group: Group[Taking]) -> tuple[list[bytes], bool]:
        """Give the group's records, serialised, and whether none is too large."""
        values, fits = [], True
        for record in group.records.values():
            record.epoch = self._epoch
            value = record.dump(self.service)
            values.append(value)
            fits = fits and len(value) - record.unsent_bytes <= self._limits.record_bytes
            record.end_group()
        return values, fits

    def _redo(self, undone: Group[Taking]) -> Group[Taking]:
        """Decide a group's inputs anew, upon what the store has: all groups before."""
        self._counters.regrouped += 1
        for key in undone.records:
            del self._records[key]
        self.group = Group(self._new_outputs())
        self._measured = True
        try:
            for consumed in undone.inputs:
                self.apply(consumed.topic, (consumed,))
        finally:
            self._measured = False
        for key in undone.records.keys() - self.group.records.keys():
            self._send_again(key, self.record(key))  # its first input waits for the next group
        return self.group

    def stored(self) -> None:
        """The group under way is in the store: forget the records that were known longest."""
        records, needed = self._records, self.group.records
        excess = max(0, len(records) - self._limits.cached_records)
        for key in [key for key in islice(records, excess) if key not in needed]:
            del records[key]

    def settled(self) -> None:
        """The outputs of the group under way are durable, and `done` says so."""
        self.under_way = None


def _qualified(exc: Exception) -> str:
    return f"{type(exc).__module__}.{type(exc).__qualname__}"
