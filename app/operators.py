"""What operators see and do on this worker: dead letters, offsets, stopped partitions, the audit, its state."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.audit import audit_page, publish_audit_event
from app.clock import BrokerClock
from app.dead_letters.reader import DeadLetterReader
from app.dead_letters.redrive import Redriver
from app.kafka.headers import decoded_headers
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.metrics.families import values
from app.platform_level import PlatformLevel
from app.staff_revocations import StaffRevocations
from app.stripe.effects import EffectsService
from models import ids
from models.dead_letter import DeadLetter, RecordLocation
from models.errors import KafkaUnavailableError
from models.events import EventType, OrdersSearched, RecordSkipped
from models.fields import MAX_TEXT
from models.operations import AuditFilter, AuditPage, Offsets, WorkerStatus
from models.sender import CommandSender
from models.times import machine_now_ms
from models.topics import ORDER_AUDIT, ORDER_EVENTS, PAYMENT_EVENTS
from tables import PartitionStop, ServiceRuntime
from web.http.admission import Admission, WorkClass
from web.http.deps import OperatorDeps
from web.indexes.waiting import WaitingIndex

log = structlog.stdlib.get_logger(__name__)

AUDIT_TOPICS: Final = (ORDER_AUDIT, PAYMENT_EVENTS, ORDER_EVENTS)
"""Where operators' acts are: those on orders and refunds are events like any other."""
AUDIT_WINDOW_RECORDS: Final = 500
"""Records of a partition that one page of the audit looks at."""
OFFSETS_CACHE_S: Final = 1.0


class StoppedPartitionActions:
    """`web.http.deps.StoppedPartitions`, of this worker's runtime: audited first, then done."""

    def __init__(self, runtime: ServiceRuntime, sender: CommandSender) -> None:
        self._runtime, self._sender = runtime, sender

    def all(self) -> Sequence[PartitionStop]:
        """All of them."""
        return self._runtime.stops.all()

    async def skip(
        self,
        topic: str,
        partition: int,
        offset: int,
        service: str | None,
        *,
        by: str,
        reason: str,
        is_retry: bool,
        dry_run: bool,
    ) -> PartitionStop:
        """Go on behind what can't be read, or at it; gives what was stopped.

        Raises NotStoppedError, KafkaUnavailableError.
        """
        stop = self._runtime.stops.find(topic, partition, offset, service)
        if dry_run:
            return stop
        data = RecordSkipped(
            topic=stop.topic, partition=stop.partition, offset=stop.offset,
            next_offset=stop.offset if is_retry else stop.next_offset, service=stop.service,
            error=stop.error[:MAX_TEXT], reason=reason, by=by,
        )  # fmt: skip
        cause = f"{stop.topic}/{stop.partition}/{stop.offset}/{stop.since_ms}"
        await publish_audit_event(self._sender, EventType.RECORD_SKIPPED, cause, data)
        try:
            await self._runtime.stops.skip(stop, is_retry=is_retry)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailableError(f"it was not skipped: {type(error).__name__}") from error
        return stop


class Operators(Collector):
    """What they see and do here. `ports` and `waiting` are what web/ is given; a collector of metrics."""

    def __init__(  # noqa: PLR0913 -- the worker's parts
        self,
        group: str,
        runtime: ServiceRuntime,
        sender: CommandSender,
        effects: EffectsService,
        clock: BrokerClock,
        kafka: KafkaReader,
        admission: Admission,
        *,
        level: PlatformLevel,
        revocations: StaffRevocations,
        account_problem: Callable[[], str],
    ) -> None:
        """group: of the workers.

        account_problem: what is wrong with the Stripe account, or with our id there; "" when nothing is.
        """
        self.waiting = WaitingIndex()
        self._runtime, self._sender, self._effects, self._clock = runtime, sender, effects, clock
        self._started_ms = machine_now_ms()  # before Kafka's clock is known
        self._kafka, self._group = kafka, group
        self._account_problem, self._admission = account_problem, admission
        self._offsets: tuple[float, Mapping[tuple[str, int], Offsets]] = (-OFFSETS_CACHE_S, {})
        self.dead_letters = DeadLetterReader(kafka, self._log_dead_letter)
        self.ports = OperatorDeps(
            dead_letters=self.dead_letters,
            stopped=StoppedPartitionActions(runtime, sender),
            settling=Redriver(self.dead_letters, runtime.tables, sender, runtime.positions),
            positions=runtime.positions, offsets=self._input_offsets, audit=self._audit,
            audit_search=self._audit_search, worker=self._worker, level=level,
            records=self._records,
            revocations=revocations,
        )  # fmt: skip

    def collect(self) -> Iterator[Metric]:
        """What is stuck in this worker's partitions."""
        now_ms = self._clock.now_ms()
        found = Counter(
            (each.rule.subject, each.rule.actor)
            for partition in self.waiting.partitions()
            for _, _, each in self.waiting.stuck(partition, now_ms)
        )
        yield values("tiffin_stuck", found)

    def _log_dead_letter(self, letter: DeadLetter, record: FetchedRecord) -> None:
        """Log it at the worker that owns the partition: where it is from, never its content."""
        table = self._runtime.tables.get(letter.service)
        if table is None or letter.origin.partition not in table.open_partitions():
            return
        named = decoded_headers(record.headers)
        log_it, what = log.warning, "an input became a dead letter"
        if letter.number == 1:
            log_it, what = log.error, "an order is quarantined: its inputs become dead letters"
        log_it(
            what, orderId=letter.order_key, eventId=named.get("ce_id"), error=letter.error,
            traceparent=named.get("traceparent"), deadLetterId=letter.name,
        )  # fmt: skip

    async def _input_offsets(self) -> Mapping[tuple[str, int], Offsets]:
        """Of every input; for a second the same, however many ask."""
        kept_s, offsets = self._offsets
        if time.monotonic() - kept_s >= OFFSETS_CACHE_S:
            tables = self._runtime.tables.values()
            topics = sorted({topic for table in tables for topic in table.service.inputs})
            offsets = await self._kafka.offsets(self._group, topics, self._runtime.partitions)
            self._offsets = (time.monotonic(), offsets)
        return offsets

    def _worker(self) -> WorkerStatus:
        recovery = self._runtime.recovery()
        return WorkerStatus(
            started_ms=self._started_ms, effects_pending=self._effects.pending,
            stripe_errors=dict(self._effects.counters.errors), clock_trouble=self._clock.problem(),
            stripe_trouble=self._account_problem(),
            recovery_rows_left=recovery.rows_left, recovery_seconds_left=recovery.seconds_left,
            refused_share=self._admission.share(WorkClass.NEW_ORDER),
        )  # fmt: skip

    async def _records(
        self, places: Sequence[RecordLocation]
    ) -> Mapping[RecordLocation, tuple[bytes, bytes]]:
        """Key and value of the records at these places, of topics by their own names."""
        asked = {place: self._kafka.located(place) for place in places}
        found = await self._kafka.records(list(asked.values()))
        return {
            place: (found[at].key or b"", found[at].value or b"")
            for place, at in asked.items()
            if at in found
        }

    async def _audit_search(self, by: str, kinds: Sequence[str], found: int) -> None:
        """Put into the audit that somebody looked for orders by a person's data."""
        cause = ids.derive_id("act", "search", uuid.uuid4())
        data = OrdersSearched(kinds=tuple(kinds), found=found, by=by)
        await publish_audit_event(self._sender, EventType.ORDERS_SEARCHED, cause, data)

    async def _audit(self, limit: int, ends: Mapping[str, int], asked: AuditFilter) -> AuditPage:
        """The latest acts and refusals, exactly in the order of Kafka's timestamps."""
        partitions = list(range(self._runtime.partitions))
        size = AUDIT_WINDOW_RECORDS
        if asked.order is not None:  # they all lie in one partition, which may be looked at longer
            size *= len(partitions)
            partitions = [next(iter(self._runtime.tables.values())).partition_of(asked.order)]
        windows = await self._kafka.windows(AUDIT_TOPICS, partitions, ends, size)
        return audit_page(windows, limit, asked)
