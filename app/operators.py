"""What operators' routes are made of on this worker: dead letters, offsets, the audit, the worker itself."""

import base64
import binascii
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.commands import CommandSender, record_headers
from app.dead_letters import DeadLetterReader
from app.effects import EffectsService
from app.kafka_reads import KafkaReads, Window, by_name
from app.kafka_security import KafkaSecurity
from app.redrive import Redriver
from app.redrive_puts import SOURCE
from app.settings import Settings
from models import ids
from models.events import NO_ORDER, OPERATORS, Event, EventType, OrdersSearched
from models.messages import encode, to_rfc3339
from models.topics import ORDER_AUDIT, ORDER_EVENTS, PAYMENT_EVENTS
from tables import Engines
from web.ops_ports import AuditPage, Letter, LetterState, Offsets, Operations, WorkerFacts
from web.problems import ProblemError
from web.waiting import WaitingIndex

log = structlog.stdlib.get_logger(__name__)

AUDITED: Final = (ORDER_AUDIT, PAYMENT_EVENTS, ORDER_EVENTS)
"""Where operators' acts are: those on orders and refunds are events like any other."""
ACTS: Final = frozenset(
    {
        EventType.COMMAND_REFUSED, EventType.NOTIFICATION_RETRIED,
        EventType.DEAD_LETTER_REDRIVEN, EventType.DEAD_LETTER_DISCARDED, EventType.ORDERS_SEARCHED,
    }
)  # fmt: skip
"""Of the audit; whatever else an operator asked for names him in `by`."""
WINDOW: Final = 500
"""Records of a partition that one page of the audit looks at."""
OFFSETS_KEPT_S: Final = 1.0


class Operators(Collector):
    """One a worker. `ports` and `waiting` are what web/ is given; a collector of metrics."""

    def __init__(
        self, settings: Settings, engines: Engines, sender: CommandSender, effects: EffectsService
    ) -> None:
        self.waiting = WaitingIndex()
        self._engines = engines
        self._effects = effects
        self._sender = sender
        self._started_ms = time.time_ns() // 1_000_000
        security = KafkaSecurity.of(settings)
        self._reads = KafkaReads(settings.kafka_bootstrap, settings.app_id, security)
        self._offsets: tuple[float, Mapping[tuple[str, int], Offsets]] = (-OFFSETS_KEPT_S, {})
        self._reader = DeadLetterReader(
            settings.kafka_bootstrap, self._reads, security=security, arrived=self._log_letter
        )
        self.ports = Operations(
            dead_letters=self._reader,
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
        now_ms = time.time_ns() // 1_000_000
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
        )

    async def _note_search(self, by: str, kinds: Sequence[str], found: int) -> None:
        """Put into the audit that somebody looked for orders by a person's data."""
        cause = ids.derived("act", "search", uuid.uuid4())
        event = Event(
            event_id=ids.event_id(cause, OPERATORS, 1),
            event_type=EventType.ORDERS_SEARCHED,
            occurred_at=to_rfc3339(time.time_ns() // 1_000_000),
            order_id=NO_ORDER,
            payment_id=None,
            sequence=1,
            causation_id=cause,
            correlation_id=cause,
            producer=OPERATORS,
            data=OrdersSearched(kinds=tuple(kinds), found=found, by=by),
        )
        headers = record_headers(event.event_id, event.event_type, SOURCE, event.occurred_at)
        await self._sender.put(ORDER_AUDIT, NO_ORDER.encode(), encode(event), headers)

    async def _audit(self, limit: int, before: str) -> AuditPage:
        """The latest acts and refusals, exactly in the order of Kafka's timestamps."""
        windows = await self._reads.windows(
            AUDITED, self._engines.partitions, _cursor(before), WINDOW
        )
        return _page(windows, limit)


def _page(windows: Sequence[Window], limit: int) -> AuditPage:
    """Merge: whatever is older than a window that goes on is left to the next page."""
    oldest = [_at_ms(w.records[0]) for w in windows if w.records and not w.is_first]
    horizon_ms = max(oldest, default=0)
    acts = [
        (_at_ms(record), event)
        for window in windows
        for record in window.records
        if (event := _act(record)) is not None
    ]
    acts.sort(key=lambda act: -act[0])
    if len(acts) > limit:
        horizon_ms = max(horizon_ms, acts[limit - 1][0])
    ends = {}
    for window in windows:
        later = [r.offset() + 1 for r in window.records if _at_ms(r) < horizon_ms]
        ends[window.place] = max(later, default=window.start)
    is_all = all(window.is_first and ends[window.place] == window.start for window in windows)
    return AuditPage(
        events=[event for at_ms, event in acts if at_ms >= horizon_ms],
        scanned=sum(len(window.records) for window in windows),
        before="" if is_all else _token(ends),
    )


def _at_ms(record: Any) -> int:
    return int(record.timestamp()[1])


def _act(record: Any) -> Mapping[str, Any] | None:
    try:
        event = orjson.loads(record.value() or b"")
        by = event["data"].get("by") or ""
        is_act = event["eventType"] in ACTS or by.startswith("operator:")
        return event if is_act else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # no event of ours: it is among the dead letters


def _token(ends: Mapping[str, int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(ends)).decode()


def _cursor(before: str) -> dict[str, int]:
    if not before:
        return {}
    try:
        ends = orjson.loads(base64.urlsafe_b64decode(before))
        return {str(place): max(0, int(end)) for place, end in ends.items()}
    except (ValueError, binascii.Error, AttributeError, TypeError):
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("before", "accepted: `before` of the page before")]
        ) from None
