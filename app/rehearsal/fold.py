"""Decides one order's inputs again for one service, in the order in which the service took them.

Kafka keeps the order within a topic only. In which order a service took inputs of several topics is found
again: the numbers of what it sent say most of it, Kafka's times the rest, and where that does not give the same
bytes other orders are tried, a bounded number of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agents.service import topic_uses
from app.rehearsal.history import HistoryRecord, OrderHistory, SentRecord, read_body, sent_record
from models.order import OrderRecord
from models.topics import DEAD_LETTERS
from models.transition import UnreadableError
from tables.packing import unpack
from tables.record import Record
from tables.replay import NO_LEVELS, Replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agents.service import Service
    from models.levels import LevelHistory
    from tables import ConsumedRecord, Limits

EPOCH: Final = -2
ALL_LEFT: Final = 2**62
"""What a table held at some time has left since: nothing of it is to be sent again."""
MAX_TRIES: Final = 500
"""Inputs decided in vain before an order of inputs is no longer looked for."""
NO_DEADLINES: Final[Mapping[str, int]] = MappingProxyType({})
Lanes = dict[str, list[HistoryRecord]]


class Decided(NamedTuple):
    """An input, what this build sends because of it, and what was sent.

    deadlines: that the order has then: kind -> milliseconds since the epoch.
    """

    record: HistoryRecord
    sent: list[SentRecord]
    was_sent: list[SentRecord]
    deadlines: Mapping[str, int] = NO_DEADLINES

    @property
    def is_same(self) -> bool:
        """Whether it is the same, byte for byte."""
        return self.sent == self.was_sent


@dataclass(frozen=True, slots=True)
class ServiceSet:
    """The services of a build with some settings. readers: topic -> names of those that read it.

    levels: the platform's.
    """

    services: Mapping[str, Service[Any]]
    limits: Limits
    readers: Mapping[str, frozenset[str]]
    levels: LevelHistory = NO_LEVELS

    @classmethod
    def of(cls, services: Iterable[Service[Any]], limits: Limits) -> ServiceSet:
        """Of these services."""
        made = {service.name: service for service in services}
        uses = topic_uses(made.values())
        return cls(made, limits, {use.topic.name: frozenset(use.read_by) for use in uses})


class OrderReplay:
    """One service's table, of one order, in memory."""

    def __init__(
        self, build: ServiceSet, service: str, key: bytes | None, cut: bytes | None
    ) -> None:
        """cut: what the table held; None: nothing."""
        self._build, self._service, self._key = build, build.services[service], key
        self.stored = {key: cut} if key is not None and cut is not None else {}
        self._replay: Replay | None = None

    def decide(self, consumed: ConsumedRecord) -> list[SentRecord]:
        """Decide an input; gives what is sent, by topic."""
        if self._replay is None:
            self._replay = Replay(
                self._service, self.stored, epoch=EPOCH, dead_letter_topic=DEAD_LETTERS,
                done=dict.fromkeys(self._service.inputs, ALL_LEFT), limits=self._build.limits,
                readers=self._build.readers, levels=self._build.levels,
            )  # fmt: skip
        _, outputs = self._replay.step([consumed])
        sent = (sent_record(*output) for output in outputs)
        # What has another key is numbered by its partition's engine, and lies among that key's records.
        own = (each for each in sent if each.key == self._key or each.topic == DEAD_LETTERS)
        return sorted(own, key=lambda each: each.topic)

    def go_back(self, stored: Mapping[bytes, bytes]) -> None:
        """Hold again what it held before."""
        self.stored, self._replay = dict(stored), None

    def deadlines(self) -> Mapping[str, int]:
        """Of an order that the service has: kind -> milliseconds since the epoch."""
        state = self.state()
        return state.work.deadlines if isinstance(state, OrderRecord) else NO_DEADLINES

    def state(self) -> Any:
        """The service's state; None where this build can't read it."""
        try:
            if self._replay is not None:
                return self._replay.processor.record_of(self._key).state
            return self._record().state
        except (UnreadableError, TypeError, ValueError, KeyError):
            return None

    def _record(self) -> Record:
        raw = self.stored.get(self._key) if self._key is not None else None
        return Record((self._key or b"").decode(errors="replace"), raw, self._service)


@dataclass(slots=True)
class ServiceFold:
    """What became of one service. decided: in the order found. replay: the table behind the last of them."""

    service: str
    decided: list[Decided]
    replay: OrderReplay
    cut: bytes | None = None

    @property
    def is_same(self) -> bool:
        """Whether all that is sent is what was sent."""
        return all(each.is_same for each in self.decided)


def inputs_of(build: ServiceSet, history: OrderHistory, service: str) -> Lanes:
    """What a service has to decide: its inputs behind its cut."""
    lanes = history.inputs(build.services[service].inputs)
    if history.cuts is None:
        return lanes
    cut = unpack(history.cuts[service], build.services[service].dictionaries)
    done = read_body(cut).get("offsets") or {}
    left = {
        topic: [record for record in lane if record.consumed.offset > done.get(topic, -1)]
        for topic, lane in lanes.items()
    }
    return {topic: lane for topic, lane in left.items() if lane}


def fold(build: ServiceSet, history: OrderHistory, service: str, lanes: Lanes) -> ServiceFold:
    """Decide a service's inputs again, each lane in order."""
    return _Search(build, history, service, lanes).run()


@dataclass(slots=True)
class _Choice:
    """A place in the search: what was held and taken, and which lanes are still to be tried."""

    stored: Mapping[bytes, bytes]
    left: list[str]


class _Search:
    def __init__(
        self, build: ServiceSet, history: OrderHistory, service: str, lanes: Lanes
    ) -> None:
        self._history, self._service, self._lanes = history, service, lanes
        self._cut = history.cuts[service] if history.cuts is not None else None
        self._replay = OrderReplay(build, service, history.key, self._cut)
        self._topics = frozenset(build.services[service].inputs)
        self._next = dict.fromkeys(lanes, 0)
        self._least = {topic: self._least_numbers(lane) for topic, lane in lanes.items()}
        self._count = sum(map(len, lanes.values()))
        self._ids = self._ids_before()
        """Of the inputs taken: what is sent because of one that is repeated was sent at the first time."""

    def run(self) -> ServiceFold:
        path: list[tuple[str, Decided]] = []
        choices: list[_Choice] = []
        best: list[str] = []
        tries = 0
        while len(path) < self._count:
            if len(choices) == len(path):
                choices.append(_Choice(dict(self._replay.stored), self._candidates()))
            topic = self._try(choices[-1], path)
            if topic is not None:
                continue
            tries += 1
            if len(path) >= len(best):
                best = [name for name, _ in path]
            choices.pop()
            if not path or tries > MAX_TRIES:
                return self._in_order(best)
            last, undone = path.pop()
            self._next[last] -= 1
            self._ids[undone.record.id] -= 1
        return self._folded([decided for _, decided in path])

    def _try(self, choice: _Choice, path: list[tuple[str, Decided]]) -> str | None:
        """Take the first lane left whose next input leads to what was sent."""
        while choice.left:
            topic = choice.left.pop(0)
            if self._replay.stored != choice.stored:
                self._replay.go_back(choice.stored)
            decided = self._decide(topic)
            if decided.is_same:
                path.append((topic, decided))
                self._go_on(topic, decided)
                return topic
        return None

    def _decide(self, topic: str) -> Decided:
        record = self._lanes[topic][self._next[topic]]
        sent = self._replay.decide(record.consumed)
        is_repeated = bool(record.id) and self._ids[record.id] > 0
        was_sent = self._history.sent_by(self._service, record, is_repeated=is_repeated)
        return Decided(record, sent, was_sent, self._replay.deadlines())

    def _ids_before(self) -> Counter[str]:
        """The ids of inputs that the table had at the beginning."""
        lanes = self._history.inputs(self._topics)
        left = {topic: len(lane) for topic, lane in self._lanes.items()}
        return Counter(
            record.id
            for topic, lane in lanes.items()
            for record in lane[: len(lane) - left.get(topic, 0)]
        )

    def _go_on(self, topic: str, decided: Decided) -> None:
        self._next[topic] += 1
        self._ids[decided.record.id] += 1

    def _in_order(self, begin: Sequence[str]) -> ServiceFold:
        """Decide everything, whatever it leads to: what was the same first, then by evidence."""
        self._replay.go_back({} if self._cut is None else {self._history.key or b"": self._cut})
        self._next = dict.fromkeys(self._lanes, 0)
        self._ids = self._ids_before()
        decided = []
        for number in range(self._count):
            topic = begin[number] if number < len(begin) else self._candidates()[0]
            decided.append(self._decide(topic))
            self._go_on(topic, decided[-1])
        return self._folded(decided)

    def _folded(self, decided: list[Decided]) -> ServiceFold:
        return ServiceFold(self._service, decided, self._replay, self._cut)

    def _candidates(self) -> list[str]:
        """Lanes that have inputs left, the likeliest first: by the numbers of what they led to, by time."""
        open_lanes = [topic for topic, lane in self._lanes.items() if self._next[topic] < len(lane)]
        if len(open_lanes) == 1:
            return open_lanes

        def rank(topic: str) -> tuple[bool, int, str]:
            at = self._next[topic]
            record = self._lanes[topic][at]
            mine = self._history.numbers(self._service, record)
            is_later = any(
                self._least[other][self._next[other]].get(count, number) < number
                for other in open_lanes
                if other != topic
                for count, number in mine.items()
            )
            return is_later, record.at_ms, topic

        return sorted(open_lanes, key=rank)

    def _least_numbers(self, lane: Sequence[HistoryRecord]) -> list[dict[str, int]]:
        """For each place in a lane, count -> the least number that it and what follows led to."""
        least: list[dict[str, int]] = []
        below: dict[str, int] = {}
        for record in reversed(lane):
            own = self._history.numbers(self._service, record)
            below = {**below, **{c: min(n, below.get(c, n)) for c, n in own.items()}}
            least.append(below)
        return least[::-1]
