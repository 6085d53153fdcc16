"""The notifier: sends the messages that notifications' table holds, and reports how each try ended.

A message is a row (app/task_runner.py): stored before it is sent, and pending until the result of its try, a
command, has been decided. After a crash it is found again and sent with the same id.
"""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agents.notifications import CONTACT_LIMIT
from app.metrics.families import values
from app.notifications.channels import (
    DeferredError,
    HeldError,
    MessageChannel,
    RefusedError,
    SendError,
)
from app.notifications.contact_limit import ContactLimit
from app.notifications.rendering import MessageRenderer
from app.task_runner import Backoff, RowTask, RowTasks
from models import ids, tracing
from models.commands import Command, CommandType, NotificationResult, SendResult
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from models.order import OrderRecord, Placed
from models.sender import CommandSender
from models.times import to_rfc3339
from tables import NotOwnerError, NotReadyError, StoredRecord

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:notifier"
MAX_SLEEP_S: Final = 30.0
TABLE_RETRY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class NotificationAttempt:
    """One try of a pending message. maybe_sent: an earlier one, of any worker, may have sent it."""

    order_id: str
    correlation_id: str
    notification: Notification
    maybe_sent: bool


class Notifier(RowTasks[Notification, NotificationAttempt], Collector):
    """One task for each pending message, from the moment its try is due. A collector of metrics too.

    The next try of a message begins when the result of this one has been decided.
    """

    def __init__(  # noqa: PLR0913 -- settings, each given by name
        self,
        channels: Mapping[Channel, MessageChannel],
        letters: MessageRenderer,
        order: Callable[[str], StoredRecord | None],
        sender: CommandSender,
        *,
        concurrency: int,
        backoff: Backoff,
        max_age_s: float,
        session_s: float,
        contacts: ContactLimit | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """order: an order's record, whose partition is this worker's too; raises as `StateTable.get`.

        concurrency: messages being sent at one time. backoff: between two tries.
        max_age_s: after that nobody wants to read it, as when a service is added to old topics.
        session_s: this worker may have hung for longer, and another one have sent the message meanwhile.
        contacts: how many messages one address gets; None: as many as there are.
        """
        super().__init__(sender, backoff, now_s)
        self._channels, self._letters, self._order = channels, letters, order
        self._contacts, self._max_age_s = contacts or ContactLimit(0), max_age_s
        self._session_s = session_s
        self._sending = asyncio.Semaphore(concurrency)
        self._waiting: dict[int, dict[str, int]] = {}

    @property
    def pending(self) -> int:
        """Messages that wait for their next try, are being sent, or whose result is not decided."""
        return sum(not each.is_held for each in self._all())

    @property
    def held(self) -> int:
        """Messages that are held back until their order or contact may be told more."""
        return sum(each.is_held for each in self._all())

    @property
    def waiting(self) -> int:
        """Messages that wait for an operator."""
        return sum(sum(rows.values()) for rows in self._waiting.values())

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        states = {"pending": self.pending, "held": self.held, "waiting_for_operator": self.waiting}
        yield values("tiffin_notifications", states)
        yield values("tiffin_notification_tries_total", self.counters.results)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Begin the tries that are new in the record, drop those that are gone from it."""
        super().updated(partition, key, record)
        rows = self._waiting.setdefault(partition, {})
        rows[key] = len(list(record.state.with_status(NotificationStatus.WAITING_FOR_OPERATOR)))
        if not rows[key]:
            del rows[key]

    def closed(self, partition: int) -> None:
        """Stop all work of a partition that is not this worker's any more."""
        super().closed(partition)
        self._waiting.pop(partition, None)

    async def stop(self) -> None:
        """Stop all work for good; what was under way is tried again after the next start."""
        await super().stop()
        for channel in self._channels.values():
            await channel.close()

    def _wanted(self, state: NotificationRecord) -> Mapping[str, Notification]:
        pending = state.with_status(NotificationStatus.PENDING, NotificationStatus.HELD)
        return {f"{each.notification_id}/{each.tries + 1}": each for each in pending}

    def _begin(
        self, key: str, item: Notification, state: NotificationRecord, opened_ms: float
    ) -> NotificationAttempt:
        maybe_sent = item.tries > 0 or item.requested_at <= opened_ms
        return NotificationAttempt(key, state.correlation_id, item, maybe_sent)

    def _keep(self, each: RowTask[NotificationAttempt], item: Notification, _state: Any) -> bool:
        # An operator sends what is held at once.
        return not each.is_held or item.requested_at <= each.work.notification.requested_at

    def _log_context(self, work: NotificationAttempt) -> Mapping[str, str]:
        # Known where traces are on, and of what was decided here a moment ago: no row holds it.
        traceparent = tracing.decision("notifications", work.notification.event_id)
        return {tracing.TRACEPARENT: traceparent} if traceparent else {}

    def _failures_before(self, work: NotificationAttempt) -> int:
        return work.notification.failures

    async def _attempt(self, each: RowTask[NotificationAttempt]) -> bool:
        """Send it when it is due; a failed try ends the task, the next one is decided by the service."""
        attempt = each.work
        held_until_ms = attempt.notification.held_until or 0
        is_reported = attempt.notification.code == CONTACT_LIMIT
        while True:
            await self._hold(each, held_until_ms)
            async with self._sending:
                if not each.is_wanted:
                    return True
                with tracing.span("notification", tracing.SpanKind.INTERNAL) as span:
                    result = await self._make(attempt)
                    span.set("tiffin.result", result.result)
            if result.result is not SendResult.HELD or not is_reported:
                await self._report_result(attempt, result)
            if result.result is not SendResult.HELD:
                return True
            held_until_ms, is_reported = result.held_until or 0, True

    async def _hold(self, each: RowTask[NotificationAttempt], until_ms: int) -> None:
        """Wait until the message may be sent; the clock may be read anew meanwhile."""
        each.is_held = True
        while (left_s := until_ms / 1000 - self._now_s()) > 0:  # noqa: ASYNC110 - a time has no event
            await asyncio.sleep(min(left_s, MAX_SLEEP_S))
        each.is_held = False

    async def _make(self, attempt: NotificationAttempt) -> NotificationResult:
        """Send the message and give how that ended; takes at most the channel's time-out."""
        self.counters.in_flight += 1
        result, code, provider_id, held_until = SendResult.SENT, None, None, None
        try:
            provider_id = await self._send(attempt)
        except SendError as error:
            result, code = error.result, error.code
            if isinstance(error, HeldError):
                held_until = round((self._now_s() + error.wait_s) * 1000)
        finally:
            self.counters.in_flight -= 1
        return NotificationResult(
            notification_id=attempt.notification.notification_id,
            attempt=attempt.notification.tries + 1, result=result, provider_id=provider_id,
            code=code, held_until=held_until,
        )  # fmt: skip

    async def _send(self, attempt: NotificationAttempt) -> str | None:
        """Send it now. Raises RefusedError, HeldError, and DeferredError, also for an unexpected error."""
        notification = attempt.notification
        if self._age_s(notification) > self._max_age_s:
            raise RefusedError("TOO_OLD")
        channel = self._channels.get(notification.channel)
        if channel is None:
            raise RefusedError("CHANNEL_OFF")
        placed = await self._placed(attempt.order_id)
        if placed is None or placed.contact is None:
            raise RefusedError("NO_CONTACT")
        name = notification.notification_id
        wait_s = self._contacts.take(notification.channel, placed.contact, name)
        if wait_s:
            raise HeldError(CONTACT_LIMIT, wait_s)
        try:
            letter = self._letters.write(attempt.order_id, notification, placed)
            with tracing.span(f"send {notification.channel}", tracing.SpanKind.CLIENT):
                maybe_sent = attempt.maybe_sent or self._age_s(notification) > self._session_s
                return await channel.send(letter, maybe_sent=maybe_sent)
        except RefusedError:
            self._contacts.release_slot(notification.channel, placed.contact, name)
            raise
        except SendError:
            raise
        except Exception as error:  # noqa: BLE001 -- the others still have to be sent
            # Neither its text nor the locals of its frames are told: the address may be in them.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            name, where = type(error).__name__, f"{Path(frame.filename).name}:{frame.lineno}"
            self.counters.errors[name] += 1
            log.error("unexpected error in sending a notification", error=name, where=where)  # noqa: TRY400
            raise DeferredError(f"BUG_{name}"[:60]) from None

    def _age_s(self, notification: Notification) -> float:
        return self._now_s() - notification.requested_at / 1000

    async def _placed(self, key: str) -> Placed | None:
        """Whom to write to and about what: the contact is in the orders table and nowhere else."""
        while True:
            try:
                stored = self._order(key)
            except (NotOwnerError, NotReadyError):  # it opens, or `closed` cancels us, in a moment
                await asyncio.sleep(TABLE_RETRY_S)
                continue
            state: OrderRecord | None = stored.state if stored else None
            return state.placed if state else None

    async def _report_result(self, attempt: NotificationAttempt, data: NotificationResult) -> None:
        # A message may be held more than once in one try.
        held = () if data.held_until is None else (data.held_until,)
        name = ("notified", data.notification_id, data.attempt, data.result, *held)
        await self._report(
            Command(
                order_id=attempt.order_id, command_id=ids.command_id(*name),
                command_type=CommandType.NOTIFICATION_RESULT,
                issued_at=to_rfc3339(round(self._now_s() * 1000)), issued_by=ISSUER,
                causation_id=attempt.notification.event_id, correlation_id=attempt.correlation_id,
                data=data,
            )
        )  # fmt: skip
        self.counters.results[attempt.notification.channel, data.result] += 1
        log.info(
            "a notification was tried", notification=data.notification_id,
            about=attempt.notification.event_type, channel=attempt.notification.channel,
            attempt=data.attempt, result=data.result, code=data.code,
        )  # fmt: skip
