"""Plays one order through all services together: what one of them decides otherwise reaches the others.

What came from outside (customers, staff, Stripe) comes as it is recorded, each record in its place. Deadlines
are asked about when they pass, as app/timers.py does. What Stripe answered to a request that is not made now
does not come; what it would answer to a new one is not known, and nothing is made up.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.rehearsal.fold import OrderReplay, ServiceFold, ServiceSet
from app.rehearsal.history import (
    Cause,
    HistoryRecord,
    OrderHistory,
    SentRecord,
    message_id,
    read_body,
)
from models import ids
from models.commands import CheckDeadline, Command, CommandType
from models.events import EventType
from models.messages import encode
from models.times import to_rfc3339
from models.topics import DEAD_LETTERS, ORDER_COMMANDS
from tables import DEAD_LETTER_PREFIX, ConsumedRecord, UnreadableRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OFFSET_SCALE: Final = 1 << 20
"""Recorded offsets are multiplied by it, so that new records find room between them."""
ORIGINAL_OFFSET: Final = f"{DEAD_LETTER_PREFIX}original-offset"
TIMERS: Final = "system:timers"
MessageKey = tuple[str, str]
"""Topic and id of a message."""


class DeadlineRule(NamedTuple):
    """When a deadline that nobody asked about is asked about all the same.

    late_ms: so long after it. end_ms: later ones have not passed yet. ran: minutes in which workers surely ran
    (by `minute_of`); None: always.
    """

    late_ms: int
    end_ms: int
    ran: frozenset[int] | None = None

    def passes(self, due_ms: int) -> bool:
        """Whether it has passed while workers ran."""
        ran = self.ran is None or minute_of(due_ms + self.late_ms) in self.ran
        return ran and due_ms + self.late_ms < self.end_ms


def minute_of(at_ms: int) -> int:
    """The minute of a time."""
    return at_ms // 60_000


@dataclass(slots=True)
class Played:
    """What came of an order. sent: by each service, each topic in order. payments: the state that it ends in.

    unanswered: effects that Stripe would have been asked for and was not.
    """

    sent: Mapping[str, Sequence[SentRecord]]
    payments: Any
    unanswered: frozenset[str]


def asked_deadlines(history: OrderHistory) -> frozenset[tuple[str, int]]:
    """Kind and time of deadlines that timers asked about."""
    found = set()
    for record in history.records:
        if record.type == CommandType.CHECK_DEADLINE:
            data = record.body.get("data") or {}
            found.add((str(data.get("deadline")), int(data.get("dueAt") or 0)))
    return frozenset(found)


def is_deadline_missed(history: OrderHistory, orders: ServiceFold, rule: DeadlineRule) -> bool:
    """Whether a deadline stands when it passes, and nobody asked about it: then it was another one."""
    asked = asked_deadlines(history)
    for here, after in itertools.zip_longest(orders.decided, orders.decided[1:]):
        until_ms = rule.end_ms if after is None else after.record.at_ms
        for kind, due_ms in here.deadlines.items():
            stands = due_ms + rule.late_ms < until_ms and (kind, due_ms) not in asked
            if stands and rule.passes(due_ms):
                return True
    return False


@dataclass(slots=True)
class _Lane:
    """One service: what it was given, in its order and with the least time at which; and what is new."""

    replay: OrderReplay
    planned: deque[tuple[int, HistoryRecord]]
    new: list[tuple[int, int, str, SentRecord]] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
    sent: list[SentRecord] = field(default_factory=list)


class Cascade:
    """One order, played once."""

    def __init__(
        self,
        build: ServiceSet,
        history: OrderHistory,
        folds: Mapping[str, ServiceFold],
        rule: DeadlineRule,
    ) -> None:
        """folds: of the services of the same order, for the order in which they took their inputs."""
        self._build, self._history, self._rule = build, history, rule
        self._count = itertools.count()
        self._partition = history.records[0].consumed.partition
        self._emitted: dict[MessageKey, SentRecord] = {}
        self._asked = set(asked_deadlines(history))
        owned = {
            (sent.topic, message_id(body)): body
            for fold in folds.values()
            for decided in fold.decided
            for sent in decided.was_sent
            if sent.topic != DEAD_LETTERS and (body := read_body(sent.value))
        }
        self._owned = frozenset(owned)
        """Messages that a service here sends, or does not send, anew."""
        self._old_effects = frozenset(_effects(owned.values()))
        self._effects: set[str] = set()
        self._done: set[tuple[str, Cause]] = set()
        """Services with the inputs that they have decided, or are not given."""
        self._lanes = {
            name: _Lane(OrderReplay(build, name, history.key, fold.cut), _planned(fold))
            for name, fold in folds.items()
        }

    def play(self) -> Played:
        """Until nothing is left to be decided."""
        while (found := self._next()) is not None:
            name, at_ms, consumed = found
            self._decide(name, at_ms, consumed)
        payments = self._lanes.get("payments")
        return Played(
            {name: lane.sent for name, lane in self._lanes.items()},
            payments.replay.state() if payments else None,
            frozenset(self._effects - self._old_effects),
        )

    def _next(self) -> tuple[str, int, ConsumedRecord] | None:
        """The earliest input that is there, without those that nobody sends any more."""
        while True:
            ready, waiting = self._heads()
            if not ready:
                if not waiting:
                    return None
                self._drop(min(waiting)[1])  # what it waits for waits for it
                continue
            at_ms, is_new, name = min(ready)
            lane = self._lanes[name]
            if is_new:
                _, _, topic, sent = heapq.heappop(lane.new)
                return name, at_ms, self._consumed(lane, topic, None, at_ms, sent)
            _, record = lane.planned.popleft()
            self._done.update((name, cause) for cause in record.causes())
            if self._is_gone(record) or self._is_stale_question(lane, record):
                continue
            sent = self._emitted.get((record.consumed.topic, record.id), record.sent())
            return name, at_ms, self._consumed(lane, record.consumed.topic, record, at_ms, sent)

    def _heads(self) -> tuple[list[tuple[int, bool, str]], list[tuple[int, str]]]:
        """What each service could decide next; and who waits for what another one has still to decide."""
        ready, waiting = [], []
        for name, lane in self._lanes.items():
            while lane.planned:
                at_ms, record = lane.planned[0]
                if not self._is_unsent(record):
                    ready.append((at_ms, False, name))
                elif (record.service, record.cause) in self._done:
                    self._drop(name)
                    continue
                else:
                    waiting.append((at_ms, name))
                break
            if lane.new:
                ready.append((lane.new[0][0], True, name))
        return ready, waiting

    def _is_unsent(self, record: HistoryRecord) -> bool:
        """Whether a service here is to send it, and has not."""
        message = (record.consumed.topic, record.id)
        return message in self._owned and message not in self._emitted

    def _drop(self, name: str) -> None:
        """Nobody sends what a service was given next."""
        _, record = self._lanes[name].planned.popleft()
        self._done.update((name, cause) for cause in record.causes())

    def _is_gone(self, record: HistoryRecord) -> bool:
        """Whether it is Stripe's word about a request that is not made now."""
        data = record.body.get("data")
        data = data if isinstance(data, dict) else {}
        refund = record.body.get("refund")
        effects = {data.get("effectId")}
        if isinstance(refund, dict) and refund.get("refundId"):
            effects.add(f"refund:{refund['refundId']}")
        return bool(effects & (self._old_effects - self._effects))

    def _is_stale_question(self, lane: _Lane, record: HistoryRecord) -> bool:
        """Whether timers asked about a deadline that the order does not have now: they would not have."""
        if record.type != CommandType.CHECK_DEADLINE or record.consumed.topic != ORDER_COMMANDS:
            return False
        data = record.body.get("data") or {}
        return lane.replay.deadlines().get(str(data.get("deadline"))) != data.get("dueAt")

    def _consumed(
        self, lane: _Lane, topic: str, record: HistoryRecord | None, at_ms: int, sent: SentRecord
    ) -> ConsumedRecord:
        """The record as the engine is given it, behind all others of its topic."""
        offset = lane.last.get(topic, 0) + 1
        if record is None:
            key, value = sent.key, sent.value
            sizes = (len(key or b""), len(value or b""))
            lane.last[topic] = offset
            return ConsumedRecord(
                topic, self._partition, offset, at_ms, 1, key, value, None, *sizes, sent.headers
            )
        lane.last[topic] = offset = max(offset, record.consumed.offset * OFFSET_SCALE)
        if (record.consumed.topic, record.id) not in self._owned:
            moved = record.consumed._replace(offset=offset)
            if isinstance(record.consumed, UnreadableRecord):
                vars(moved).update(vars(record.consumed))
            return moved
        return record.consumed._replace(offset=offset, value=sent.value, headers=sent.headers)

    def _decide(self, name: str, at_ms: int, consumed: ConsumedRecord) -> None:
        lane = self._lanes[name]
        for sent in map(_with_recorded_offset, lane.replay.decide(consumed)):
            lane.sent.append(sent)
            if sent.topic == DEAD_LETTERS:
                continue
            body = read_body(sent.value)
            message = (sent.topic, message_id(body))
            self._effects.update(_effects((body,)))
            if message in self._emitted:
                continue
            self._emitted[message] = sent
            if message not in self._owned:
                self._pass_on(at_ms, sent)
        if name == "orders":
            self._set_timers(lane, at_ms)

    def _pass_on(self, at_ms: int, sent: SentRecord) -> None:
        for reader in self._build.readers.get(sent.topic, ()):
            if lane := self._lanes.get(reader):
                heapq.heappush(lane.new, (at_ms, next(self._count), sent.topic, sent))

    def _set_timers(self, lane: _Lane, at_ms: int) -> None:
        for kind, due_ms in lane.replay.deadlines().items():
            if (kind, due_ms) in self._asked or not self._rule.passes(due_ms):
                continue
            self._asked.add((kind, due_ms))
            asked_ms = max(at_ms, due_ms + self._rule.late_ms)
            heapq.heappush(
                lane.new,
                (asked_ms, next(self._count), ORDER_COMMANDS, self._question(kind, due_ms)),
            )

    def _question(self, kind: str, due_ms: int) -> SentRecord:
        order_id = self._history.order_id
        asked = CheckDeadline(deadline="KITCHEN" if kind == "KITCHEN" else "PAYMENT", due_at=due_ms)
        command = Command(
            order_id=order_id, command_id=ids.command_id(order_id, "deadline", kind, due_ms, 0),
            command_type=CommandType.CHECK_DEADLINE, issued_at=to_rfc3339(due_ms), issued_by=TIMERS,
            correlation_id=order_id, data=asked,
        )  # fmt: skip
        return SentRecord(ORDER_COMMANDS, self._history.key, encode(command), ())


def _planned(fold: ServiceFold) -> deque[tuple[int, HistoryRecord]]:
    """Each input with the least time at which it can have been decided: none before those before it."""
    planned: deque[tuple[int, HistoryRecord]] = deque()
    at_ms = 0
    for decided in fold.decided:
        at_ms = max(at_ms, decided.record.at_ms)
        planned.append((at_ms, decided.record))
    return planned


def _effects(bodies: Any) -> Iterator[str]:
    for body in bodies:
        if body.get("eventType") == EventType.EFFECT_REQUESTED:
            yield str((body.get("data") or {}).get("effectId"))


def _with_recorded_offset(sent: SentRecord) -> SentRecord:
    """A dead letter that names its origin by the offset which it has in Kafka."""
    if sent.topic != DEAD_LETTERS:
        return sent
    headers = tuple(
        (name, str(int(value) // OFFSET_SCALE).encode() if name == ORIGINAL_OFFSET else value)
        for name, value in sent.headers
    )
    return sent._replace(headers=headers)
