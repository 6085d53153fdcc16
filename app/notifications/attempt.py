"""One try of a message to a customer: who it goes to, what it says, and how it ended."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from agents.notifications import CONTACT_LIMIT
from app.notifications.channels import (
    DeferredError,
    HeldError,
    MessageChannel,
    RefusedError,
    SendError,
)  # fmt: skip
from app.notifications.contact_limit import ContactLimit
from app.notifications.rendering import MessageRenderer
from app.task_runner import TaskCounters
from models.commands import NotificationResult, SendResult
from models.notification import Channel, Notification
from models.order import OrderRecord, Placed
from tables import NotOwnerError, NotReadyError, StoredRecord

log = structlog.stdlib.get_logger(__name__)

TABLE_RETRY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class NotificationAttempt:
    """One try of a pending message.

    maybe_sent: an earlier try, perhaps another worker's, may have sent it.
    """

    order_id: str
    correlation_id: str
    notification: Notification
    maybe_sent: bool

    @property
    def number(self) -> int:
        """The first one is 1."""
        return self.notification.tries + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSender:
    """Makes attempts. order, max_age_s: see Notifier."""

    channels: Mapping[Channel, MessageChannel]
    letters: MessageRenderer
    contacts: ContactLimit
    order: Callable[[str], StoredRecord | None]
    counters: TaskCounters
    max_age_s: float
    now_s: Callable[[], float]

    async def make(self, attempt: NotificationAttempt) -> NotificationResult:
        """Send the message and give how that ended; takes at most the channel's time-out."""
        self.counters.in_flight += 1
        result, code, provider_id, held_until = SendResult.SENT, None, None, None
        try:
            provider_id = await self._send(attempt)
        except SendError as error:
            result, code = error.result, error.code
            if isinstance(error, HeldError):
                held_until = round((self.now_s() + error.wait_s) * 1000)
        finally:
            self.counters.in_flight -= 1
        return NotificationResult(
            notification_id=attempt.notification.notification_id, attempt=attempt.number,
            result=result, provider_id=provider_id, code=code, held_until=held_until,
        )  # fmt: skip

    async def _send(self, attempt: NotificationAttempt) -> str | None:
        """Send it now. Raises RefusedError, HeldError, and DeferredError, also for an unexpected error."""
        notification = attempt.notification
        if self.now_s() - notification.requested_at / 1000 > self.max_age_s:
            raise RefusedError("TOO_OLD")
        channel = self.channels.get(notification.channel)
        if channel is None:
            raise RefusedError("CHANNEL_OFF")
        placed = await self._placed(attempt.order_id)
        if placed is None:
            raise RefusedError("NO_CONTACT")
        name = notification.notification_id
        wait_s = self.contacts.take(notification.channel, placed.contact, name)
        if wait_s:
            raise HeldError(CONTACT_LIMIT, wait_s)
        try:
            letter = self.letters.write(attempt.order_id, notification, placed)
            return await channel.send(letter, maybe_sent=attempt.maybe_sent)
        except RefusedError:
            self.contacts.release_slot(notification.channel, placed.contact, name)
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

    async def _placed(self, key: str) -> Placed | None:
        """Whom to write to and about what: the contact is in the orders table and nowhere else."""
        while True:
            try:
                stored = self.order(key)
            except (NotOwnerError, NotReadyError):  # it opens, or `closed` cancels us, in a moment
                await asyncio.sleep(TABLE_RETRY_S)
                continue
            state: OrderRecord | None = stored.state if stored else None
            return state.placed if state else None
