"""The in-memory half of a task: decides inputs, gathers commit batches; never awaits, sends or writes."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic

from models import ids
from models.generations import base_topic
from models.levels import LevelHistory
from models.transition import Input, Output, UnreadableError, readable_key
from tables.commit_batch import CommitBatch, OutputsT
from tables.consumed_record import EmptyOffsets, UnreadableRecord, arrival_ms
from tables.dead_letters import (
    REDRIVE_HEADER,
    RELEASE_HEADER,
    BadRowError,
    DeadLetterMaker,
    TooLargeError,
    UnloadableError,
    header_of,
)
from tables.keyed_outputs import (
    KEYED_KEY,
    KEYS_BYTES,
    SOURCE_HEADER,
    KeyedOutput,
    OutputNumbers,
    Source,
    read_source,
)
from tables.outbox import dump_entry
from tables.record import TERMINAL, Quarantine, Record, due_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.transition import InputIdentity, TransitionService
    from tables.dead_letters import DeadLetterRecord
    from tables.limits import Counters, Limits


LOG = logging.getLogger("tiffin.engine")


class Processor(Generic[OutputsT]):
    """Decides the inputs of one partition for one service; nothing else changes its records.

    Inputs are gathered in `commit_batch` while the one before, `under_way`, becomes durable; it is
    closed only once that one is. new_outputs: makes what collects a commit batch's outputs.
    durable_offsets: topic -> last offset whose state and outputs are durable. readers: topic ->
    names of the services that read it, where that is known. levels: the platform's, as known now.
    measures_each_input: sizes are checked at each input, not once a commit batch.
    """

    def __init__(  # noqa: PLR0913 -- most are given by name
        self,
        service: TransitionService,
        read_stored: Callable[[bytes], bytes | None],
        new_outputs: Callable[[], OutputsT],
        *,
        epoch: int,
        limits: Limits,
        counters: Counters,
        dead_letter_topic: str,
        partition: int = 0,
        durable_offsets: Mapping[str, int] = MappingProxyType({}),
        readers: Mapping[str, Collection[str]] = MappingProxyType({}),
        levels: Callable[[], LevelHistory] = LevelHistory,
        measures_each_input: bool = False,
    ) -> None:
        self.service = service
        self._readers, self._levels = readers, levels
        self.durable_offsets = dict(durable_offsets)
        self.commit_batch = CommitBatch(new_outputs())
        self.under_way: CommitBatch[OutputsT] | None = None
        self._records: dict[bytes, Record] = {}
        self._unpacked: dict[bytes, None] = {}
        self._read_stored = read_stored
        self._new_outputs = new_outputs
        self._epoch = epoch
        self._limits = limits
        self._counters = counters
        self._dead_letters = DeadLetterMaker(
            dead_letter_topic, service.name, limits.dead_letter_bytes
        )
        self._measures_each_input = measures_each_input
        self._numbers = OutputNumbers(f"{service.name}/{partition}", read_stored)

    @property
    def in_flight(self) -> int:
        """Inputs decided whose outputs are not known durable."""
        return self.commit_batch.count + (self.under_way.count if self.under_way else 0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing at all is on its way, inputs or outputs that are sent again."""
        return self.under_way is None and self.commit_batch.is_empty

    def first_in_flight(self) -> tuple[str, int] | None:
        """Topic and offset of the first input whose outputs are not known durable."""
        return (self.under_way.first if self.under_way else None) or self.commit_batch.first

    def last_in_flight(self) -> dict[str, int]:
        """Topic -> last offset of the inputs whose outputs are not known durable."""
        before = self.under_way.offsets if self.under_way else {}
        return {**before, **self.commit_batch.offsets}

    def unsent_keyed_outputs(self) -> list[KeyedOutput]:
        """Outputs with keys of their own that an earlier task may not have sent.

        They are to leave before anything of this task is written or sent.
        """
        return self._numbers.unsent(self.service.dictionaries)

    def process(self, topic: str, inputs: Sequence[Any]) -> int:
        """Take inputs, ConsumerRecords of one topic, into the commit batch; gives how many.

        Fewer than there are: the next one waits for the next commit batch, for its key has so many outputs, or
        so many keys have outputs with keys of their own.
        Raises only what means that the store can't be read.
        """
        taken, name = 0, base_topic(topic)
        for consumed in inputs:
            if self.commit_batch.keyed_bytes > KEYS_BYTES and not self._measures_each_input:
                break
            try:
                if not self._take(topic, name, consumed):
                    break
            except UnreadableError as exc:
                self._handle_unreadable(topic, consumed, exc)
            taken += 1
        if taken:
            commit_batch = self.commit_batch
            commit_batch.first = commit_batch.first or (topic, inputs[0].offset)
            commit_batch.inputs += inputs[:taken]
            commit_batch.count += taken
            commit_batch.offsets[topic] = inputs[taken - 1].offset
        return taken

    def record_of(self, key: bytes | None) -> Record:
        """A key's record as the inputs so far left it. Raises UnreadableError."""
        record = self._records.get(key)  # type: ignore[arg-type]
        if record is not None:
            return record
        name = readable_key(key)
        assert key is not None
        stored = self._read_stored(key)
        try:
            return Record(name, stored, self.service)
        except Exception as exc:
            raise UnloadableError(_qualified_name(exc)) from exc

    def _take(self, topic: str, name: str, consumed: Any) -> bool:
        """Decide an input. name: the topic's own. False: nothing was done, it waits. Raises UnreadableError."""
        record = self._records.get(consumed.key) or self.record_of(consumed.key)
        if record.inherited_outbox:
            self._resend_outbox(consumed.key, record)
        offset = consumed.offset
        if offset <= record.offsets.get(topic, -1):
            self._counters.redelivered += 1
            return True
        headers = consumed.headers
        redriven = header_of(headers, REDRIVE_HEADER) if headers else None
        if redriven is not None and self._is_handled_by_header(topic, record, consumed, redriven):
            return True
        if consumed.value is None:
            raise UnreadableError("no value")
        if record.taken and self._is_over_key_limits(record):
            return False
        identity, message = self._parse(name, consumed)
        token = "" if identity.producer else ids.token(identity.id)
        if self._is_duplicate(name, record, identity, token, is_redriven=redriven is not None):
            self._drop_duplicate(topic, record, consumed, token)
            return True
        if record.quarantine is not None and redriven is None:
            why = "the key is quarantined"
            self._dead_letter_quarantined(topic, record, consumed, record.quarantine, why)
        else:
            at_ms = arrival_ms(consumed)
            if at_ms != consumed.timestamp:
                self._counters.odd_times += 1
            level = self._levels().at(at_ms)
            given = Input(name, record.key, identity, message, at_ms, headers, offset, level)
            self._decide(record, consumed, given, token)
        return True

    def _parse(self, name: str, consumed: Any) -> tuple[InputIdentity, Any]:
        """Read an input; one with a number goes by that. Raises UnreadableError."""
        numbered = _source_of(consumed) if consumed.headers else None
        try:
            identity, message = self.service.parse(name, consumed.key, consumed.value)
        except UnreadableError:
            raise
        except Exception as exc:  # a parser's bug must not stop the stream either
            raise UnreadableError(_qualified_name(exc)) from exc
        if numbered is not None:
            identity = identity._replace(producer=numbered.producer, sequence=numbered.number)
        return identity, message

    def _resend_outbox(self, key: bytes, record: Record) -> None:
        """At a key's first touch in this task: what an earlier one may not have sent leaves."""
        for output in record.take_over_outbox(self._epoch, self.durable_offsets):
            self.commit_batch.outputs.append(output)
            self._counters.reemitted += 1
        if record.outbox:
            self._changed(key, record)

    def _is_over_key_limits(self, record: Record) -> bool:
        """Whether this commit batch took so much of the key that its record would only grow."""
        limits = self._limits
        crowded = record.taken >= limits.key_inputs or record.taken_bytes >= limits.key_bytes
        return crowded and not self._measures_each_input

    def _is_duplicate(
        self, name: str, record: Record, identity: InputIdentity, token: str, *, is_redriven: bool
    ) -> bool:
        if token:
            return token in record.ids.get(name, "") or identity.id in record.outcomes
        source = f"{name}/{identity.producer}"
        return record.is_known(source, identity.sequence, is_redriven=is_redriven)

    def _drop_duplicate(self, topic: str, record: Record, consumed: Any, token: str) -> None:
        self._counters.duplicates += 1
        if token:
            # Written although nothing else changes: else this offset could be decided after its id has
            # left the window. Sequences have no window.
            record.offsets[topic] = consumed.offset
            self._changed(consumed.key, record)

    def _decide(self, record: Record, consumed: Any, given: Input, token: str) -> None:
        before = record.copy() if self._measures_each_input else None
        identity, topic, name = given.identity, consumed.topic, given.topic
        try:
            decision = self.service.decide(record.state, given, self.read)
            state, outputs, rows, outcome = decision
            key = record.key
            is_keyed = False
            for output in outputs:  # a generator in any() costs three calls an input
                is_keyed = is_keyed or output.key != key
            if is_keyed:
                outputs = [
                    output if output.key == key else self._numbers.number(output)
                    for output in outputs
                ]
            entry = dump_entry(topic, given.offset, outputs) if outputs else b""
            if rows or len(entry) > self._limits.output_bytes:
                self._check(outputs, rows, entry)
            if outcome is not None:
                record.keep_outcome(identity, outcome, given.timestamp_ms, self._limits)
            if token:
                record.keep_id(name, token, self._limits.ids_per_topic)
            else:
                record.keep_sequence(f"{name}/{identity.producer}", identity.sequence)
            record.state = state
            record.offsets[topic] = given.offset
            record.version += 1
            record.count_input(len(consumed.value), entry)
            if before is not None and not self._fits(
                record, record.dump(self.service, self._limits)
            ):
                raise TooLargeError(f"a record of more than {self._limits.record_bytes} bytes")
        except UnreadableError:
            raise  # the service says that it is none of this key's: nothing has been changed yet
        except Exception as exc:  # noqa: BLE001 -- one bad order must never stop a worker
            self._quarantine(before or record, consumed, given, exc)
            return
        for output in outputs:
            self.commit_batch.outputs.append(output)
        if is_keyed:
            self.commit_batch.add_keyed(consumed.key)
        if rows:
            self.commit_batch.rows.update((row.encode(), value) for row, value in rows.items())
        self._counters.decided += 1
        self._changed(consumed.key, record)

    def _quarantine(self, record: Record, consumed: Any, given: Input, exc: Exception) -> None:
        reason = Quarantine(_qualified_name(exc), given.timestamp_ms, given.identity.id, 0)
        if record.quarantine is not None:  # redriven in vain
            reason = replace(record.quarantine, reason=reason.reason)
        self._dead_letter_quarantined(consumed.topic, record, consumed, reason, str(exc))

    def _fits(self, record: Record, dumped: bytes) -> bool:
        return len(dumped) - record.outbox_bytes <= self._limits.record_bytes

    def _check(self, outputs: Sequence[Output], rows: Mapping[str, bytes], entry: bytes) -> None:
        """Raise when an output or a row is none that may be, or the outputs are too much to store."""
        limit = self._limits.output_bytes
        for output in outputs:
            headers = sum(len(name) + len(value) for name, value in output.headers)
            if len(output.value) + headers > limit:
                raise TooLargeError(f"an output of more than {limit} bytes")
        if len(entry) > self._limits.entry_bytes:
            raise TooLargeError(f"outputs of more than {self._limits.entry_bytes} bytes as stored")
        for row, value in rows.items():
            if "/" not in row:
                raise BadRowError
            if len(value) > limit:
                raise TooLargeError(f"a row of more than {limit} bytes")

    def _is_handled_by_header(
        self, topic: str, record: Record, consumed: Any, redriven: str
    ) -> bool:
        """Whether a redriven record is another service's, or releases the key. Raises UnreadableError."""
        if redriven != self.service.name:
            if redriven not in self._readers.get(topic, (redriven,)):
                raise UnreadableError(f"redriven for {redriven[:64]!r}, which reads no {topic}")
            return True
        stamp = header_of(consumed.headers, RELEASE_HEADER)
        if consumed.value is not None or stamp is None:
            return False
        if record.quarantine is not None and record.quarantine.stamp == stamp:
            record.quarantine = None  # it is still the one that was meant
            record.offsets[topic] = consumed.offset
            record.version += 1
            self._changed(consumed.key, record)
        return True

    def _handle_unreadable(self, topic: str, consumed: Any, exc: Exception) -> None:
        """Pass over offsets that have no record; make a dead letter of a record that can't be read."""
        kind = type(consumed)
        if kind is EmptyOffsets:
            self._counters.gaps += consumed.offset - consumed.first + 1
            return
        if kind is UnreadableRecord:
            exc = UnreadableError(f"the record itself is broken: {consumed.error}")
        self._counters.unreadable += 1
        letter = self._dead_letters.make(topic, consumed, _qualified_name(exc), str(exc))
        if not self._skip_numbered(topic, consumed, letter):
            self.commit_batch.outputs.append(letter)

    def _skip_numbered(self, topic: str, consumed: Any, letter: DeadLetterRecord) -> bool:
        """Keep with its key's record that an input with a number is a dead letter; whether it has one.

        Else it would seem to be decided once a later one has been, and be dropped when it is redriven.
        While the key is quarantined nothing later is decided; what is redriven then comes in order.
        """
        try:
            numbered = None if consumed.value is None else _source_of(consumed)
            if numbered is None:
                return False
            record = self.record_of(consumed.key)
        except UnreadableError:
            return False
        is_redriven = header_of(consumed.headers, REDRIVE_HEADER) is not None
        if record.quarantine is not None and not is_redriven:
            return False
        name = f"{base_topic(topic)}/{numbered.producer}"
        if record.is_known(name, numbered.number, is_redriven=is_redriven):
            self._counters.duplicates += 1
            return True
        record.skip_sequence(name, numbered.number, self._limits.ids_per_topic)
        self._keep_dead_letter(topic, record, consumed, letter)
        return True

    def _keep_dead_letter(
        self, topic: str, record: Record, consumed: Any, letter: DeadLetterRecord
    ) -> None:
        """Store a dead letter with its key's record until it has left: the record says that there is one."""
        output = Output(letter.topic, record.key, letter.value or b"", letter.headers)
        entry = dump_entry(topic, consumed.offset, (output,))
        record.count_input(len(consumed.value or b""), entry)
        record.offsets[topic] = consumed.offset
        record.version += 1
        self.commit_batch.outputs.append(output)
        self._changed(consumed.key, record)

    def _changed(self, key: bytes, record: Record) -> None:
        self._records[key] = self.commit_batch.records[key] = record

    def _dead_letter_quarantined(
        self, topic: str, record: Record, consumed: Any, quarantine: Quarantine, message: str
    ) -> None:
        """Make a dead letter of an input of a quarantined key; the record remembers and counts it."""
        self._counters.quarantined += 1
        quarantine = replace(quarantine, dead_lettered=quarantine.dead_lettered + 1)
        letter = self._dead_letters.make(
            topic, consumed, quarantine.reason, message, quarantine.stamp
        )
        record.quarantine = quarantine
        self._keep_dead_letter(topic, record, consumed, letter)

    def read(self, row: str) -> bytes | None:
        """A row as the inputs so far left it; what `decide` is given."""
        key = row.encode()
        for commit_batch in (self.commit_batch, self.under_way):
            if commit_batch is not None and key in commit_batch.rows:
                return commit_batch.rows[key]
        return self._read_stored(key)

    def pack_ended(self) -> None:
        """Write ended records once more, without the outputs that have left since: so they are packed.

        Those that inputs have come for since wait for the next time. The row of unsent keyed outputs goes, too.
        """
        row = None if self.commit_batch.keyed else self._numbers.row_once_sent()
        if row is not None:
            self.commit_batch.rows[KEYED_KEY] = row
        unpacked, self._unpacked = self._unpacked, {}
        for key in unpacked:
            if key not in self.commit_batch.records:
                with suppress(UnreadableError):  # as it is stored it stays
                    self._changed(key, self.record_of(key))

    def retain(self, key: bytes, at_ms: int, due: str | None) -> bool:
        """Write an ended record without what its time is over for; whether it is to be written.

        One that inputs have come for since the last commit batch, or that can't be read, is left as it is, and
        one of which nothing goes and whose entry `due` is right. Only while no commit batch is under way: what
        is written has no outputs.
        """
        if key in self.commit_batch.records:
            return False
        try:
            record = self.record_of(key)
        except UnreadableError:
            return False
        if not record.has_ended(self.service):
            return False
        try:
            is_changed = record.remove_due(self.service, self._limits, at_ms)
            due_ms = record.due_ms(self.service, self._limits)
        except Exception as exc:  # noqa: BLE001 -- a bug here must not stop what comes in
            extra = {"service": self.service.name, "key": record.key, "error": _qualified_name(exc)}
            LOG.error("an ended record can't be swept", extra=extra)  # noqa: TRY400 -- no values in logs
            return False
        if not is_changed and due == (None if due_ms is None else due_entry(due_ms)):
            return False
        self._resend_outbox(key, record)
        self._changed(key, record)
        self._counters.retained += 1
        return True

    def close_commit_batch(self) -> tuple[CommitBatch[OutputsT], list[tuple[bytes, bytes]]]:
        """End the commit batch and begin the next; gives it with its records serialised.

        The one before must be settled. When a record has become too large or can't be serialised, all is
        decided again one input at a time, so that the input that did it is found and its key quarantined.
        """
        commit_batch = self.commit_batch
        try:
            values, fits = self._dump(commit_batch)
        except Exception:  # noqa: BLE001 -- a service's dump: the second pass finds whose
            fits = False
        if not fits:
            commit_batch = self._reprocess_one_by_one(commit_batch)
            values, _ = self._dump(commit_batch)
        if commit_batch.keyed:
            commit_batch.rows[KEYED_KEY] = self._numbers.row_of(commit_batch.keyed)
        commit_batch.inputs = []
        self.commit_batch, self.under_way = CommitBatch(self._new_outputs()), commit_batch
        return commit_batch, list(zip(commit_batch.records, values, strict=True))

    def _dump(self, commit_batch: CommitBatch[OutputsT]) -> tuple[list[bytes], bool]:
        """Give the commit batch's records, serialised, and whether none is too large."""
        values, fits = [], True
        for key, record in commit_batch.records.items():
            record.epoch = self._epoch
            value = record.dump(self.service, self._limits)
            values.append(value)
            fits = fits and self._fits(record, value)
            if record.outbox and value.startswith(TERMINAL):
                self._unpacked[key] = None
            record.end_commit_batch()
        return values, fits

    def _reprocess_one_by_one(self, undone: CommitBatch[OutputsT]) -> CommitBatch[OutputsT]:
        """Decide a commit batch's inputs anew, upon what the store has: all commit batches before."""
        self._counters.regrouped += 1
        for key in undone.records:
            del self._records[key]
        self.commit_batch = CommitBatch(self._new_outputs())
        self._measures_each_input = True
        try:
            for consumed in undone.inputs:
                self.process(consumed.topic, (consumed,))
        finally:
            self._measures_each_input = False
        # The first input of these waits for the next commit batch.
        for key in undone.records.keys() - self.commit_batch.records.keys():
            self._resend_outbox(key, self.record_of(key))
        return self.commit_batch

    def trim_cache(self) -> None:
        """The commit batch under way is in the store: forget the records that were known longest."""
        records, needed = self._records, self.commit_batch.records
        excess = max(0, len(records) - self._limits.cached_records)
        for key in [key for key in islice(records, excess) if key not in needed]:
            del records[key]

    def advance(self) -> None:
        """The outputs of the commit batch under way are durable too."""
        assert self.under_way is not None
        self.durable_offsets.update(self.under_way.offsets)
        self.under_way = None


def _source_of(consumed: Any) -> Source | None:
    """Of an output with a key of its own. Raises UnreadableError."""
    header = header_of(consumed.headers, SOURCE_HEADER)
    return None if header is None else read_source(header)


def _qualified_name(exc: Exception) -> str:
    return f"{type(exc).__module__}.{type(exc).__qualname__}"
