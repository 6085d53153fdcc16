"""What operators do about this worker's stopped partitions: audited first, then done."""

from collections.abc import Sequence

from aiokafka.errors import KafkaError

from app.audit.publish import publish_audit_event
from models.errors import KafkaUnavailableError
from models.events import EventType, RecordSkipped
from models.sender import CommandSender
from tables import PartitionStop, ServiceRuntime


class StoppedPartitionActions:
    """`web.http.deps.StoppedPartitions`, of this worker's runtime."""

    def __init__(self, runtime: ServiceRuntime, sender: CommandSender) -> None:
        self._runtime = runtime
        self._sender = sender

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
        await publish_audit_event(self._sender, EventType.RECORD_SKIPPED, cause, data)
        try:
            await self._runtime.stops.skip(stop, is_retry=is_retry)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailableError(f"it was not skipped: {type(error).__name__}") from error
        return stop
