"""One rehearsal: partition by partition, read, kept by order on disk, decided again, summed up."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from aiokafka.partitioner import murmur2

from app.configured_services import (
    catalogue_of,
    channels_of,
    decide_by,
    limits_of,
    payment_methods,
)
from app.dead_letters.log import MARKER
from app.rehearsal.cascade import DeadlineRule, minute_of
from app.rehearsal.fold import ServiceSet
from app.rehearsal.history import OrderHistory, history_record
from app.rehearsal.order import BEGAN_BEFORE, OrderResult, begins_here, rehearse_order
from app.rehearsal.report import RehearsalReport
from app.rehearsal.source import RehearsalSource, SourceError, Window
from app.rehearsal.store import RecordStore
from models.topics import DEAD_LETTERS, TOPICS
from tables import DEAD_LETTER_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.kafka.records import FetchedRecord
    from app.settings import Settings
    from tables import ConsumedRecord

LATE_MS: Final = 10_000
"""A deadline that nobody asked about so long after it was another one, or no worker ran."""
WORKERS_WRITE: Final = frozenset(name for name, topic in TOPICS.items() if not topic.clients)
"""Topics of which each record shows that a worker ran then."""


class Progress(Protocol):
    """Is told how far it is."""

    def begin(self, what: str, total: int) -> None:
        """Begin a part. total: of what `advance` is given."""

    def advance(self, count: int) -> None:
        """So many more are done."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be rehearsed.

    since_ms: milliseconds since the epoch; 0: all that is retained. orders: these alone, where there are any.
    rate: records read in a second at most. what_if: settings that are compared with the present ones.
    """

    since_ms: int = 0
    orders: frozenset[str] = frozenset()
    rate: float = math.inf
    what_if: Settings | None = None


def build_of(settings: Settings) -> ServiceSet:
    """This build's services, as the settings have them decide. Raises SettingsError, CatalogueError."""
    catalogue = catalogue_of(settings)
    methods = payment_methods(settings, catalogue)
    made = decide_by(settings, catalogue, methods, channels_of(settings))
    return ServiceSet.of(made, limits_of(settings))


def rehearse(
    settings: Settings, asked: Asked, progress: Progress, is_stopped: Callable[[], bool]
) -> RehearsalReport:
    """Rehearse everything that is asked for. Blocks. Raises SourceError, SettingsError, CatalogueError."""
    build = build_of(settings)
    what_if = build_of(asked.what_if) if asked.what_if else None
    report, seen = RehearsalReport(), set[str]()
    source = RehearsalSource(settings, asked.rate, is_stopped)
    try:
        count = source.partitions()
        levels = source.levels()
        build = replace(build, levels=levels)
        what_if = replace(what_if, levels=levels) if what_if else None
        wanted = sorted({_partition_of(order, count) for order in asked.orders}) or range(count)
        for partition in wanted:
            part = PartitionRehearsal(source, asked, progress, report, partition)
            part.rehearse(build, what_if)
            seen |= part.seen
            if is_stopped():
                raise SourceError("stopped")
    finally:
        source.close()
    for order in sorted(asked.orders - seen):
        report.say_nothing_of(order, "no record of it is left in Kafka")
    return report


def _partition_of(order_id: str, partitions: int) -> int:
    return int(murmur2(order_id.encode()) & 0x7FFFFFFF) % partitions


class PartitionRehearsal:
    """One partition: read whole, then decided order by order."""

    def __init__(
        self,
        source: RehearsalSource,
        asked: Asked,
        progress: Progress,
        report: RehearsalReport,
        partition: int,
    ) -> None:
        self._source, self._asked, self._partition = source, asked, partition
        self._progress, self._report = progress, report
        self._keys = frozenset(order.encode() for order in asked.orders)
        self._ran: set[int] = set()
        self.seen: set[str] = set()
        """Of the orders that are asked for, where there are any."""
        self._end_ms = 0
        self._store = RecordStore()

    def rehearse(self, build: ServiceSet, what_if: ServiceSet | None) -> None:
        """Add what is found to the report."""
        try:
            window = self._read()
            rule = DeadlineRule(LATE_MS, self._end_ms, frozenset(self._ran))
            if what_if is not None:
                rule = DeadlineRule(0, self._end_ms)
            self._progress.begin(f"Partition {self._partition}: deciding", self._store.count())
            for key, records in self._store.orders():
                if self._keys and key is not None:
                    self.seen.add(key.decode())
                history = self._history(window, key, records)
                if history is not None:
                    self._report.add(rehearse_order(build, history, rule, what_if))
                self._progress.advance(len(records))
        finally:
            self._store.close()

    def _read(self) -> Window:
        window = self._source.window(self._partition, self._asked.since_ms)
        self._progress.begin(f"Partition {self._partition}: reading", window.records)
        for records in self._source.read(window):
            self._take(records)
            self._progress.advance(len(records))
        if window.since_ms:
            for service, records in self._source.read_changelogs(self._partition, window.since_ms):
                self._store.add_cuts(service, (each for each in records if self._is_wanted(each)))
        return window

    def _take(self, records: Iterable[FetchedRecord]) -> None:
        kept = []
        for record in records:
            self._end_ms = max(self._end_ms, record.timestamp_ms)
            if record.topic in WORKERS_WRITE:
                self._ran.add(minute_of(record.timestamp_ms))
            if self._is_wanted(record) and self._is_ours(record):
                kept.append(record)
        self._store.add(kept)

    def _is_wanted(self, record: FetchedRecord) -> bool:
        return not self._keys or record.key in self._keys

    def _is_ours(self, record: FetchedRecord) -> bool:
        """Whether it is of this partition: all have one topic of dead letters."""
        if record.topic != DEAD_LETTERS:
            return True
        headers = dict(record.headers)
        origin = headers.get(f"{DEAD_LETTER_PREFIX}original-partition")
        return MARKER not in headers and origin == str(self._partition).encode()

    def _history(
        self, window: Window, key: bytes | None, records: Iterable[ConsumedRecord]
    ) -> OrderHistory | None:
        """What there is of an order; None where nothing can be decided again."""
        read = [history_record(record) for record in records]
        history = OrderHistory(key, read, ends=window.decided)
        if not window.since_ms or begins_here(history):
            return history
        cuts = self._store.cuts(key)
        if cuts:
            return replace(history, cuts=cuts)
        self._report.add(OrderResult(history.order_id, BEGAN_BEFORE))
        return None
