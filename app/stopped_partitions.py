"""What operators do about this worker's stopped partitions: audited first, then done."""

import time
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import KafkaError

from app.commands import CommandSender, record_headers
from models import ids
from models.events import NO_ORDER, OPERATORS, Event, EventType, RecordSkipped
from models.messages import encode, to_rfc3339
from models.topics import ORDER_AUDIT
from tables import Engines, Stop
from web.ports import KafkaUnavailableError

SOURCE: Final = f"/tiffin/{OPERATORS}"


class EngineStops:
    """`web.ops_ports.StoppedPartitions`, of this worker's engines."""

    def __init__(self, engines: Engines, sender: CommandSender) -> None:
        self._engines = engines
        self._sender = sender

    def all(self) -> Sequence[Stop]:
        """All of them."""
        return self._engines.stops()

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
    ) -> Stop:
        """Go on behind what can't be read, or at it; gives what was stopped.

        Raises NotStoppedError, KafkaUnavailableError.
        """
        stop = self._engines.find_stop(topic, partition, offset, service)
        if dry_run:
            return stop
        event = _audit(stop, by=by, reason=reason, is_retry=is_retry)
        headers = record_headers(event.event_id, event.event_type, SOURCE, event.occurred_at)
        await self._sender.put(ORDER_AUDIT, NO_ORDER.encode(), encode(event), headers)
        try:
            await self._engines.skip(stop, is_retry=is_retry)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailableError(f"it was not skipped: {type(error).__name__}") from error
        return stop


def _audit(stop: Stop, *, by: str, reason: str, is_retry: bool) -> Event:
    place = f"{stop.topic}/{stop.partition}/{stop.offset}"
    return Event(
        event_id=ids.event_id(f"{place}/{stop.since_ms}", OPERATORS, 1),
        event_type=EventType.RECORD_SKIPPED,
        occurred_at=to_rfc3339(time.time_ns() // 1_000_000),
        order_id=NO_ORDER,
        payment_id=None,
        sequence=1,
        causation_id=place,
        correlation_id=place,
        producer=OPERATORS,
        data=RecordSkipped(
            topic=stop.topic,
            partition=stop.partition,
            offset=stop.offset,
            next_offset=stop.offset if is_retry else stop.next_offset,
            service=stop.service,
            error=stop.error,
            reason=reason,
            by=by,
        ),
    )
