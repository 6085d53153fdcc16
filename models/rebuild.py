"""States folded anew from the topics kept for ever, and compared with the live ones: the rebuild proof.

Pure: app/ reads the topics and asks the workers. What else a service's record holds (work under way,
contacts) no event gives, so it is no part of the proof.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b, sha256
from typing import Any, Final

import orjson

from models import delivery, order, payment_fold, topics
from models.events import Event
from models.messages import Message, full_values

MARK_BYTES: Final = 8
MAX_SEQUENCE_JUMP: Final = 1_000
"""No order lacks so many events; a sequence beyond that is forged."""


@dataclass(frozen=True, slots=True)
class EventFold:
    """How the events of a service make its state.

    topic: where the events are that `evolve` folds; other events of the producer, elsewhere, count in its
    sequence alone. derived: that state in the service's record.
    """

    topic: str
    evolve: Callable[[Any, Event], Any]
    derived: Callable[[Any], Any]


EVENT_FOLDS: Final[Mapping[str, EventFold]] = {
    "payments": EventFold(topics.PAYMENT_EVENTS, payment_fold.evolve, lambda state: state.payment),
    "orders": EventFold(topics.ORDER_EVENTS, order.evolve, lambda state: state.order),
    "deliveries": EventFold(topics.DELIVERY_EVENTS, delivery.evolve, lambda state: state.delivery),
}
"""Service, which is its table and the producer of its events -> how they make its state."""


def derived_state(service: str, state: Any) -> Message | None:
    """What evolve derives, of the state in a service's record; None before the first event."""
    found: Message | None = None if state is None else EVENT_FOLDS[service].derived(state)
    return found


def as_json(state: Message) -> dict[str, Any]:
    """A derived state as JSON values; the same for the same state, however it came about."""
    return full_values(state)


@dataclass(frozen=True, slots=True)
class Digest:
    """Digest of a derived state; sequence: of the last event folded into it."""

    sequence: int
    sha256: str


def digest(state: Any) -> Digest:
    """Digest of a derived state: SHA-256 of its JSON with sorted names."""
    canonical = orjson.dumps(as_json(state), option=orjson.OPT_SORT_KEYS)
    return Digest(state.sequence, sha256(canonical).hexdigest())


class Fault(StrEnum):
    """How a rebuilt state differs from the live one."""

    CONTENT = "the states differ"
    NOT_LIVE = "no worker has it"
    NO_EVENTS = "its events are missing"
    BEHIND = "its last events are missing"
    AHEAD = "the live state lacks its last events"
    SEQUENCE_GAP = "events in between are missing"
    CONFLICT = "two different events have one sequence"
    UNFOLDABLE = "an event can't be folded"


@dataclass(frozen=True, slots=True)
class StateDifference:
    """A state that differs; live, rebuilt: None where there is none. sequences: of the events at fault."""

    order_id: str
    service: str
    fault: Fault
    live: Digest | None
    rebuilt: Digest | None
    sequences: tuple[int, ...] = ()


@dataclass(slots=True)
class RebuiltState:
    """One service's state of an order, folded from its events.

    state, sequence: after the last event folded. conflicts, unfoldable: sequences of such events.
    """

    state: Any = None
    sequence: int = 0
    conflicts: set[int] = field(default_factory=set)
    unfoldable: set[int] = field(default_factory=set)
    _marks: bytearray = field(default_factory=bytearray)

    def add(self, part: EventFold, topic: str, event: Event, value: bytes) -> None:
        """Take in the next event; one that was emitted again is the same bytes, and is skipped."""
        sequence = event.sequence
        if sequence > self.sequence + MAX_SEQUENCE_JUMP:
            self.conflicts.add(sequence)
            return
        mark = blake2b(value, digest_size=MARK_BYTES).digest()
        at = (sequence - 1) * MARK_BYTES
        known = bytes(self._marks[at : at + MARK_BYTES])
        if any(known):
            if known != mark:
                self.conflicts.add(sequence)
            return
        self._marks.extend(bytes(max(0, at + MARK_BYTES - len(self._marks))))
        self._marks[at : at + MARK_BYTES] = mark
        if topic != part.topic:
            return
        try:
            if sequence < self.sequence:
                raise ValueError("an event after its successors")
            self.state = part.evolve(self.state, event)
            self.sequence = sequence
        except Exception:  # noqa: BLE001 -- whatever a forged event brings about, the proof goes on
            self.unfoldable.add(sequence)

    @property
    def last_sequence(self) -> int:
        """Of all events of the producer, those that are not folded included."""
        return len(self._marks) // MARK_BYTES

    def missing_sequences(self) -> tuple[int, ...]:
        """Sequences missing below the last one folded."""
        return tuple(
            number
            for number in range(1, self.sequence)
            if not any(self._marks[(number - 1) * MARK_BYTES : number * MARK_BYTES])
        )


@dataclass(slots=True)
class Rebuild:
    """A second state, of one partition: fold its events, learn the live digests, fold on up to these.

    Live digests are taken after a first reading to the end: a state is durable before its events leave, so
    it holds at least what was read, and an order that moves meanwhile is only ever folded further.
    """

    folds: dict[tuple[str, str], RebuiltState] = field(default_factory=dict)
    live: dict[tuple[str, str], Digest] | None = None
    events: int = 0
    _unsettled: set[tuple[str, str]] = field(default_factory=set)

    def add(self, topic: str, event: Event, value: bytes) -> None:
        """Take in one record of a topic, in the topic's order."""
        part = EVENT_FOLDS.get(event.producer)
        if part is None:
            return
        key = (event.producer, event.order_id)
        if self.live is not None:
            live = self.live.get(key)
            if live is None or event.sequence > live.sequence:
                return  # it began, or moved on, since the live digests were taken
        self.events += 1
        fold = self.folds.setdefault(key, RebuiltState())
        fold.add(part, topic, event, value)
        if key in self._unsettled and self._is_settled(key):
            self._unsettled.discard(key)

    def compare_with(
        self, live: dict[tuple[str, str], Digest], services: Collection[str] = tuple(EVENT_FOLDS)
    ) -> None:
        """From now on fold up to these states only; (service, order id) -> digest.

        services: those that the workers run; the others' events prove nothing.
        """
        self.live = live
        self.folds = {key: fold for key, fold in self.folds.items() if key[0] in services}
        self._unsettled = {key for key in live if not self._is_settled(key)}

    @property
    def unsettled(self) -> int:
        """How many states are behind their live ones: not all of their events have been read."""
        return len(self._unsettled)

    def _is_settled(self, key: tuple[str, str]) -> bool:
        fold, live = self.folds.get(key), (self.live or {})[key]
        return fold is not None and fold.sequence >= live.sequence and not fold.missing_sequences()

    def differences(self) -> Iterator[StateDifference]:
        """All differences, by service and order."""
        live = self.live or {}
        for key in sorted({*live, *self.folds}):
            found = _fault(live.get(key), self.folds.get(key))
            if found:
                service, order_id = key
                fold = self.folds.get(key)
                rebuilt = digest(fold.state) if fold and fold.state is not None else None
                yield StateDifference(order_id, service, found[0], live.get(key), rebuilt, found[1])


def _fault(live: Digest | None, fold: RebuiltState | None) -> tuple[Fault, tuple[int, ...]] | None:
    if fold is None:
        return Fault.NO_EVENTS, ()
    if fold.conflicts:
        return Fault.CONFLICT, tuple(sorted(fold.conflicts))
    if fold.unfoldable:
        return Fault.UNFOLDABLE, tuple(sorted(fold.unfoldable))
    if live is None:
        return Fault.NOT_LIVE, ()
    if fold.sequence != live.sequence:
        return (Fault.BEHIND if fold.sequence < live.sequence else Fault.AHEAD), ()
    if missing_sequences := fold.missing_sequences():
        return Fault.SEQUENCE_GAP, missing_sequences
    return None if digest(fold.state) == live else (Fault.CONTENT, ())
