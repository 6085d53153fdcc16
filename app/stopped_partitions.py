"""What operators do about this worker's stopped partitions: audited first, then done."""

from collections.abc import Sequence

from aiokafka.errors import KafkaError

from app.commands import CommandSender
from app.operator_audit import put_audit
from models.events import EventType, RecordSkipped
from tables import Engines, Stop
from web.ports import KafkaUnavailableError


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
        data = RecordSkipped(
            topic=stop.topic,
            partition=stop.partition,
            offset=stop.offset,
            next_offset=stop.offset if is_retry else stop.next_offset,
            service=stop.service,
            error=stop.error,
            reason=reason,
            by=by,
        )
        cause = f"{stop.topic}/{stop.partition}/{stop.offset}/{stop.since_ms}"
        await put_audit(self._sender, EventType.RECORD_SKIPPED, cause, data)
        try:
            await self._engines.skip(stop, is_retry=is_retry)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailableError(f"it was not skipped: {type(error).__name__}") from error
        return stop
