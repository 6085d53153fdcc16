"""Finds, in what a worker left in Kafka, in which steps each service went through its inputs.

A changelog says what was written after which inputs; in which order inputs of several topics were taken
is tried out, until the same bytes come out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.compatibility.adapter import READERS, Replay
from tests.compatibility.replay import failing
from tests.compatibility.stored import PROGRESS, RESERVED, Group, Recording, Stored

CLAIM = b"\0claim"
MOST_ORDERS = 5_000


class UnexplainedError(Exception):
    """Today's code does not write what was recorded, in whatever order the inputs are taken."""


@dataclass
class _Walk:
    """Through one changelog partition. next: topic -> the input that is due."""

    recording: Recording
    service: str
    partition: int
    starts_ms: Sequence[int]
    groups: list[Group] = field(default_factory=list)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)
    epoch: int = -1
    run: int = 0

    def __post_init__(self) -> None:
        topics = [topic for topic, readers in READERS.items() if self.service in readers]
        self.inputs = {topic: self.recording.at(topic, self.partition) for topic in topics}
        self.failing = failing(self.recording, self.service, self.partition)
        self.claimed_at = self.next = dict.fromkeys(topics, 0)
        self.lane: Replay | None = None

    def go(self) -> list[Group]:
        changelog = self.recording.at(self.recording.changelog(self.service), self.partition)
        at = 0
        while at < len(changelog):
            record = changelog[at]
            key = record.key or b""
            if not key.startswith(RESERVED):
                end = at + _length(changelog[at:])
                self._explain(changelog[at:end])
                at = end
                continue
            if key == CLAIM:
                self._claim(record)
            elif key == PROGRESS:
                self.progress = json.loads(record.value or b"")["offsets"]
                self._pass_over(self.progress, at)
            at += 1
        ends = {topic: len(found) - 1 for topic, found in self.inputs.items()}
        self._pass_over(ends, at)
        return self.groups

    def _claim(self, record: Stored) -> None:
        told = json.loads(record.value or b"")
        self.epoch = told["producerId"] << 16 | told["epoch"]
        self.run = sum(start <= record.timestamp_ms for start in self.starts_ms) - 1
        self.next = {topic: self.progress.get(topic, -1) + 1 for topic in self.inputs}
        self.claimed_at = dict(self.next)
        self.lane = None

    def _pass_over(self, ends: dict[str, int], at: int) -> None:
        """Inputs that led to no write: dead letters that are no key's, and repeated ones."""
        taken = self._take(ends)
        if taken and not self._try(_by_time(taken), [], at, at):
            raise UnexplainedError(f"{self.service}/{self.partition}: {taken} wrote something")

    def _take(self, ends: dict[str, int]) -> list[list[Stored]]:
        """Inputs of each topic up to these offsets that have not been taken."""
        found = []
        for topic, end in ends.items():
            due = self.next[topic]
            if due <= end:
                found.append(self.inputs[topic][due : end + 1])
                self.next[topic] = end + 1
        return found

    def _explain(self, written: Sequence[Stored]) -> None:
        ends: dict[str, int] = {}
        for record in written:
            if b"/" not in (record.key or b""):
                for topic, offset in json.loads(record.value or b"")["offsets"].items():
                    ends[topic] = max(offset, ends.get(topic, -1))
        wanted = [(record.key or b"", record.value or b"") for record in written]
        first, last = written[0].offset, written[-1].offset + 1
        taken = self._take(ends)
        orders = itertools.chain([_by_time(taken)], _orders(taken))
        for order in itertools.islice(orders, MOST_ORDERS):
            if self._try(order, wanted, first, last):
                return
        raise UnexplainedError(
            f"{self.service}/{self.partition}: what the changelog has from {first} to {last} is not "
            f"what {[[r.offset for r in part] for part in taken]} lead to"
        )

    def _try(
        self, inputs: list[Stored], wanted: list[tuple[bytes, bytes]], first: int, last: int
    ) -> bool:
        done = {topic: offset - 1 for topic, offset in self.claimed_at.items()}
        before = dict(self.stored)
        # Anew for each step: of the epoch that wrote it last, a record holds nothing to be sent again.
        lane = self.lane or Replay(
            self.service, self.recording.runs[self.run], self.stored, epoch=self.epoch,
            done=done, failing=self.failing,
        )  # fmt: skip
        writes, _ = lane.sent(inputs)
        if writes != wanted:
            self.stored.clear()
            self.stored.update(before)
            self.lane = None
            return False
        self.lane = lane
        places = [(each.topic, each.offset) for each in inputs]
        self.groups.append(
            Group(
                self.service, self.partition, self.epoch, self.run, done, places, (first, last)
            )
        )  # fmt: skip
        return True


def _length(changelog: Sequence[Stored]) -> int:
    """How many records at the beginning belong together: rows, then records, no key twice."""
    keys: set[bytes] = set()
    has_record = False
    for number, record in enumerate(changelog):
        key = record.key or b""
        is_row = b"/" in key
        if key.startswith(RESERVED) or key in keys or (is_row and has_record):
            return number
        keys.add(key)
        has_record = has_record or not is_row
    return len(changelog)


def _by_time(parts: Sequence[Sequence[Stored]]) -> list[Stored]:
    """As Kafka took them, each topic in order."""
    times = {(r.topic, r.offset): r.timestamp_ms for part in parts for r in part}
    merged = [record for part in parts for record in part]
    return sorted(merged, key=lambda r: (times[r.topic, r.offset], r.topic, r.offset))


def _orders(parts: Sequence[Sequence[Stored]]) -> Iterator[list[Stored]]:
    """All ways to take them, each topic in order."""
    if not any(parts):
        yield []
        return
    for number, part in enumerate(parts):
        if part:
            rest = [each[1:] if at == number else each for at, each in enumerate(parts)]
            for others in _orders(rest):
                yield [part[0], *others]


def schedule(
    recording: Recording, services: Iterable[str], partitions: int, starts_ms: Sequence[int]
) -> list[Group]:
    """The steps of all services. starts_ms: when the workers of each run were started."""
    return [
        group
        for service in services
        for partition in range(partitions)
        for group in _Walk(recording, service, partition, starts_ms).go()
    ]
