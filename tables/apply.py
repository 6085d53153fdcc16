"""The in-memory half of a lane: inputs are decided one by one, their effects gathered in groups.

Nothing here awaits, sends or writes. A `Group` is what goes through the lane's pipeline as one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from models import ids
from models.transition import Input, Output, UnreadableError
from tables.letters import (
    REDRIVE,
    RELEASE,
    DeadLetter,
    dead_letter,
    header_of,
    readable_key,
)
from tables.record import Quarantine, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.transition import Decision, Header, Service
    from tables.limits import Counters, Limits


class TooLargeError(Exception):
    """A decision made a record, an output or a row that is larger than the limits allow."""


class UnloadableError(UnreadableError):
    """A stored state that its service can't load: the key's inputs become dead letters."""


class BadRowError(Exception):
    """A decision named a row without a slash, which could be taken for a record."""


class Group:
    """Consecutive inputs and all their effects: durable together, step by step.

    inputs: ConsumerRecords; offsets: topic -> last offset; records, rows: by key, as they are
    after the last input; progress: the lane's own offsets, when they are to be written too.
    """

    __slots__ = ("inputs", "number", "offsets", "outputs", "progress", "records", "rows")

    def __init__(self, number: int) -> None:
        self.number = number
        self.inputs: list[Any] = []
        self.offsets: dict[str, int] = {}
        self.records: dict[bytes, Record] = {}
        self.rows: dict[bytes, bytes] = {}
        self.outputs: list[Output | DeadLetter] = []
        self.progress: dict[str, int] | None = None


class Applier:
    """Decides the inputs of one partition for one service; the only one that changes its records.

    `overlay` holds the records that RocksDB does not have yet (those that it has since a little while
    are cached, for a key's inputs come in bursts); `done` (the lane's) gives, per
    topic, the last offset whose outputs are durable. is_measured: sizes are checked at each input,
    not once a group.
    """

    def __init__(
        self,
        service: Service,
        read_stored: Callable[[bytes], bytes | None],
        *,
        epoch: int,
        done: dict[str, int],
        limits: Limits,
        counters: Counters,
        dead_letter_topic: str,
        is_measured: bool = False,
    ) -> None:
        self.service = service
        self.group = Group(0)
        self.in_flight = 0
        self.overlay: dict[bytes, Record] = {}
        self._cache: dict[bytes, Record] = {}
        self._unstored = [self.group]
        self._settled = 0
        self._read_stored = read_stored
        self._epoch = epoch
        self._done = done
        self._limits = limits
        self._counters = counters
        self._dead_letter_topic = dead_letter_topic
        self._measured = is_measured

    def apply(self, consumed: Any) -> bool:
        """Take one input into the group. False: its key waits until earlier outputs are durable.

        `consumed` is a ConsumerRecord. Raises only what means that the store can't be read.
        """
        topic, group = consumed.topic, self.group
        try:
            if not self._take(topic, consumed, self.record(consumed.key)):
                return False
        except UnreadableError as exc:
            self._bury(topic, consumed, exc)
        group.inputs.append(consumed)
        group.offsets[topic] = consumed.offset
        self.in_flight += 1
        return True

    def record(self, key: bytes | None) -> Record:
        """A key's record as the inputs so far left it. Raises UnreadableError."""
        record = self.overlay.get(key) or self._cache.pop(key, None)  # type: ignore[arg-type]
        if record is not None:
            return record
        name, key = readable_key(key)
        stored = self._read_stored(key)
        try:
            return Record(name, stored, self.service)
        except Exception as exc:
            raise UnloadableError(_qualified(exc)) from exc

    def _take(self, topic: str, consumed: Any, record: Record) -> bool:
        """Apply an input. False: nothing was done, it waits. Raises UnreadableError."""
        if record.unsent.entries:
            self._settle(consumed.key, record)
        offset = consumed.offset
        if offset <= record.offsets.get(topic, -1):
            self._counters.redelivered += 1
            return True
        headers: tuple[tuple[str, bytes], ...] = ()
        redriven = None
        if consumed.headers:
            headers = tuple(consumed.headers)
            redriven = header_of(headers, REDRIVE)
            if redriven is not None and redriven != self.service.name:
                return True
            if redriven is not None and consumed.value is None:
                self._release(topic, record, consumed)
                return True
        header, message = self._parse(topic, consumed)
        token = "" if header.producer else ids.token(header.id)
        if self._is_duplicate(topic, record, header, token):
            self._counters.duplicates += 1
            if token:
                # Written although nothing else changes: else this offset could be decided after its
                # id has left the window. Sequences have no window.
                record.offsets[topic] = offset
                self._changed(consumed.key, record)
            return True
        if record.unsent.entries and self._is_hot(record):
            return False
        if record.quarantine is not None and redriven is None:
            self._turn_away(topic, record, consumed, record.quarantine)
        else:
            given = Input(topic, record.key, header, message, consumed.timestamp, headers, offset)
            self._decide(record, consumed, given, token)
        return True

    def _parse(self, topic: str, consumed: Any) -> tuple[Header, Any]:
        if consumed.value is None:
            raise UnreadableError("no value")
        try:
            return self.service.parse(topic, consumed.key, consumed.value, consumed.headers)
        except UnreadableError:
            raise
        except Exception as exc:  # a parser's bug must not stop the stream either
            raise UnreadableError(_qualified(exc)) from exc

    def _is_hot(self, record: Record) -> bool:
        """Whether the key has so many outputs under way that its record would only grow."""
        limits, unsent = self._limits, record.unsent
        crowded = len(unsent.entries) >= limits.unsent_inputs or unsent.size >= limits.unsent_bytes
        return crowded and self.in_flight > 0 and not self._measured

    def _settle(self, key: bytes, record: Record) -> None:
        """Forget outputs known durable; send those again that an earlier lane may not have sent.

        At the first touch of a key in a lane all of them leave, in order, before anything new.
        """
        if record.settled_at == self._settled:
            return
        record.settled_at = self._settled
        unsent = record.unsent
        if record.epoch == self._epoch:
            unsent.forget(self._done)
            return
        unsent.forget_all(self._done)
        if unsent.entries:
            self.group.outputs.extend(unsent)
            self._counters.reemitted += len(unsent)
            self._changed(key, record)

    def _is_duplicate(self, topic: str, record: Record, header: Header, token: str) -> bool:
        if token:
            return token in record.ids.get(topic, "") or header.id in record.outcomes
        source = f"{topic}/{header.producer}"
        return header.sequence <= record.sequences.get(source, -1)

    def _decide(self, record: Record, consumed: Any, given: Input, token: str) -> None:
        before = record.copy() if self._measured else None
        outputs_before = len(self.group.outputs)
        try:
            decision = self.service.decide(record.state, given, self.read)
            self._check(decision)
            self._adopt(record, given, token, decision)
            if before is not None and len(record.dump(self.service)) > self._limits.record_bytes:
                raise TooLargeError(f"a record of more than {self._limits.record_bytes} bytes")
        except Exception as exc:  # noqa: BLE001 -- one bad order must never stop a worker
            if before is not None:
                record = before
                del self.group.outputs[outputs_before:]
            reason = Quarantine(_qualified(exc), consumed.timestamp, given.header.id, 0)
            if record.quarantine is not None:  # redriven in vain
                reason = replace(record.quarantine, reason=reason.reason)
            self._turn_away(given.topic, record, consumed, reason, str(exc))
            return
        for row, value in decision.rows.items():
            self.group.rows[row.encode()] = value
        self._counters.decided += 1
        self._changed(consumed.key, record)

    def _check(self, decision: Decision) -> None:
        limit = self._limits.output_bytes
        for output in decision.outputs:
            if len(output.value) > limit:
                raise TooLargeError(f"an output of more than {limit} bytes")
        for row, value in decision.rows.items():
            if "/" not in row:
                raise BadRowError
            if len(value) > limit:
                raise TooLargeError(f"a row of more than {limit} bytes")

    def _adopt(self, record: Record, given: Input, token: str, decision: Decision) -> None:
        topic, header, offset = given.topic, given.header, given.offset
        if decision.outputs:
            record.unsent.keep(topic, offset, decision.outputs)
            self.group.outputs.extend(decision.outputs)
        outcome = decision.outcome
        if outcome is not None:
            record.keep_outcome(
                header.id,
                outcome,
                header.body_hash,
                given.timestamp_ms,
                ttl_ms=self._limits.outcome_ttl_s * 1000,
                cap=self._limits.outcomes,
            )
        if token:
            record.keep_id(topic, token, self._limits.ids_per_topic)
        else:
            record.sequences[f"{topic}/{header.producer}"] = header.sequence
        record.state = decision.state
        record.offsets[topic] = offset
        record.version += 1

    def _release(self, topic: str, record: Record, consumed: Any) -> None:
        """Lift the quarantine without deciding anything, if it is still the one that was meant."""
        stamp = header_of(consumed.headers, RELEASE)
        if record.quarantine is not None and record.quarantine.stamp == stamp:
            record.quarantine = None
            record.offsets[topic] = consumed.offset
            record.version += 1
            self._changed(consumed.key, record)

    def _changed(self, key: bytes, record: Record) -> None:
        record.epoch = self._epoch
        record.changed_in = self.group.number
        self.overlay[key] = self.group.records[key] = record

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
        record.unsent.keep(topic, consumed.offset, [output])
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
        for group in reversed(self._unstored):
            if key in group.rows:
                return group.rows[key]
        return self._read_stored(key)

    def close_group(self) -> tuple[Group, list[tuple[bytes, bytes]]]:
        """End the group and begin the next; gives it with its records serialised.

        When a record has become too large or can't be serialised, the group is undone and decided
        again one input at a time, so that the input that did it is found and its key quarantined.
        """
        limit = self._limits.record_bytes
        group = self.group
        try:
            values = [record.dump(self.service) for record in group.records.values()]
            fits = all(len(value) <= limit for value in values)
        except Exception:  # noqa: BLE001 -- a service's dump: the second pass finds whose
            fits = False
        if not fits:
            group = self._redo(group)
            values = [record.dump(self.service) for record in group.records.values()]
        for record, value in zip(group.records.values(), values, strict=True):
            record.raw = value
        self.group = Group(group.number + 1)
        self._unstored.append(self.group)
        return group, list(zip(group.records, values, strict=True))

    def _redo(self, undone: Group) -> Group:
        self._counters.regrouped += 1
        group = self.group = self._unstored[-1] = Group(undone.number)
        self.in_flight -= len(undone.inputs)
        for key, record in undone.records.items():
            before = self._read_stored(key) if record.raw is None else record.raw
            self.overlay[key] = Record(record.key, before or None, self.service)
        self._measured = True
        try:
            for consumed in undone.inputs:
                self.apply(consumed)
        finally:
            self._measured = False
        for key in undone.records.keys() - group.records.keys():
            self._changed(key, self.overlay[key])
        return group

    def settled(self, group: Group) -> None:
        """A group's outputs are durable, and `done` says so."""
        self.in_flight -= len(group.inputs)
        self._settled += 1

    def stored(self, group: Group) -> None:
        """Drop what RocksDB has now: the oldest group's records and rows."""
        self._unstored.remove(group)
        cache = self._cache
        for key, record in group.records.items():
            if record.changed_in == group.number:
                del self.overlay[key]
                record.raw = None
                cache[key] = record
        for key in list(islice(cache, max(0, len(cache) - self._limits.cached_records))):
            del cache[key]


def _qualified(exc: Exception) -> str:
    return f"{type(exc).__module__}.{type(exc).__qualname__}"
