"""What operators' routes are made of on this worker: dead letters, offsets, the audit, the worker itself."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.audit_pages import cursor_of, page_of
from app.clock import BrokerClock
from app.commands import CommandSender
from app.dead_letters import DeadLetterReader
from app.effects import EffectsService
from app.kafka_reads import KafkaReads, by_name
from app.kafka_security import KafkaSecurity
from app.operator_audit import put_audit
from app.redrive import Redriver
from app.settings import Settings
from app.stopped_partitions import EngineStops
from models import ids
from models.events import EventType, OrdersSearched
from models.topics import ORDER_AUDIT, ORDER_EVENTS, PAYMENT_EVENTS
from tables import Engines
from web.ops_ports import (
    AuditAsked,
    AuditPage,
    Letter,
    LetterState,
    Offsets,
    Operations,
    WorkerFacts,
)
from web.waiting import WaitingIndex

log = structlog.stdlib.get_logger(__name__)

AUDITED: Final = (ORDER_AUDIT, PAYMENT_EVENTS, ORDER_EVENTS)
"""Where operators' acts are: those on orders and refunds are events like any other."""
WINDOW: Final = 500
"""Records of a partition that one page of the audit looks at."""
OFFSETS_KEPT_S: Final = 1.0


class Operators(Collector):
    """One a worker. `ports` and `waiting` are what web/ is given; a collector of metrics."""

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        sender: CommandSender,
        effects: EffectsService,
        clock: BrokerClock,
    ) -> None:
        self.waiting = WaitingIndex()
        self._engines = engines
        self._effects = effects
        self._sender = sender
        self._clock = clock
        self._started_ms = time.time_ns() // 1_000_000  # before Kafka's clock is known
        security = KafkaSecurity.of(settings)
        self._reads = KafkaReads(settings.kafka_bootstrap, settings.app_id, security)
        self._offsets: tuple[float, Mapping[tuple[str, int], Offsets]] = (-OFFSETS_KEPT_S, {})
        self._reader = DeadLetterReader(
            settings.kafka_bootstrap, self._reads, security=security, arrived=self._log_letter
        )
        self.ports = Operations(
            dead_letters=self._reader,
            stopped=EngineStops(engines, sender),
            settling=Redriver(self._reader, engines.tables, sender, engines.positions),
            positions=engines.positions,
            offsets=self._input_offsets,
            audit=self._audit,
            note_search=self._note_search,
            worker=self._worker,
        )

    def collect(self) -> Iterator[Metric]:
        """Dead letters (every worker knows all of them), and what is stuck in this worker's partitions."""
        counts = Counter(letter.state for letter in self._reader.all())
        letters = GaugeMetricFamily(
            "tiffin_dead_letters", "Dead letters by state", labels=["state"]
        )
        for state in LetterState:
            letters.add_metric([state], counts[state])
        yield letters
        now_ms = self._clock.now_ms()
        found = Counter(
            (each.row.subject, each.row.actor)
            for partition in self.waiting.partitions()
            for _, _, each in self.waiting.stuck(partition, now_ms)
        )
        stuck = GaugeMetricFamily(
            "tiffin_stuck", "What is overdue, and who must act", labels=["subject", "actor"]
        )
        for (subject, actor), count in found.items():
            stuck.add_metric([subject, actor], count)
        yield stuck
        yield GaugeMetricFamily(
            "tiffin_dead_letter_batches_unread",
            "Batches of the dead-letter topic that can't be read",
            value=len(self._reader.unread),
        )
        stopped = GaugeMetricFamily(
            "tiffin_stopped_partitions",
            "Partitions that are read no further until an operator skips a record",
            labels=["topic", "partition", "service"],
        )
        for stop in self._engines.stops():
            stopped.add_metric([stop.topic, str(stop.partition), stop.service], 1)
        yield stopped
        broken = GaugeMetricFamily(
            "tiffin_broken_records",
            "Stored records that were met and can't be read",
            labels=["service"],
        )
        for name, table in self._engines.tables.items():
            broken.add_metric([name], len(table.broken))
        yield broken

    def start(self) -> None:
        """Begin reading the dead letters."""
        self._reader.start()

    async def stop(self) -> None:
        """End that."""
        await self._reader.stop()

    def _log_letter(self, letter: Letter, headers: Any) -> None:
        """Say it in the log of the worker that owns the partition: where it is from, never what it says."""
        table = self._engines.tables.get(letter.service)
        if table is None or letter.origin.partition not in table.open_partitions():
            return
        named = by_name((name, part or b"") for name, part in headers)
        tell, what = log.warning, "an input became a dead letter"
        if letter.number == 1:
            tell, what = log.error, "an order is quarantined: its inputs become dead letters"
        tell(
            what,
            orderId=letter.order_key,
            eventId=named.get("ce_id"),
            traceparent=named.get("traceparent"),
            deadLetterId=letter.name,
            error=letter.error,
        )

    async def _input_offsets(self) -> Mapping[tuple[str, int], Offsets]:
        """Of every input; for a second the same, however many ask."""
        kept_s, offsets = self._offsets
        if time.monotonic() - kept_s >= OFFSETS_KEPT_S:
            tables = self._engines.tables.values()
            topics = sorted({topic for table in tables for topic in table.service.inputs})
            offsets = await self._reads.offsets(topics, self._engines.partitions)
            self._offsets = (time.monotonic(), offsets)
        return offsets

    def _worker(self) -> WorkerFacts:
        return WorkerFacts(
            started_ms=self._started_ms,
            effects_pending=self._effects.pending,
            stripe_errors=dict(self._effects.counters.errors),
            clock_trouble=self._clock.trouble(),
        )

    async def _note_search(self, by: str, kinds: Sequence[str], found: int) -> None:
        """Put into the audit that somebody looked for orders by a person's data."""
        cause = ids.derived("act", "search", uuid.uuid4())
        data = OrdersSearched(kinds=tuple(kinds), found=found, by=by)
        await put_audit(self._sender, EventType.ORDERS_SEARCHED, cause, data)

    async def _audit(self, limit: int, before: str, asked: AuditAsked) -> AuditPage:
        """The latest acts and refusals, exactly in the order of Kafka's timestamps."""
        partitions = list(range(self._engines.partitions))
        size = WINDOW
        if asked.order is not None:  # they all lie in one partition, which may be looked at longer
            size *= len(partitions)
            partitions = [next(iter(self._engines.tables.values())).partition_of(asked.order)]
        windows = await self._reads.windows(AUDITED, partitions, cursor_of(before), size)
        return page_of(windows, limit, asked)
