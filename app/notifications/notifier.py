"""The notifier: sends the messages that notifications' table holds, and reports how each try ended.

The table is the work list: a message is durable before it is sent, and stays pending until the
result of its try, a command, has been decided. After a crash it is found again and sent with the
same id.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from agents.notifications import CONTACT_LIMIT
from app.notifications.attempt import (
    NotificationAttempt,
    NotificationSender,
    NotifierCounters,
    Orders,
    Sender,
)
from app.notifications.channels import MessageChannel
from app.notifications.contact_limit import ContactLimit
from app.notifications.rendering import MessageRenderer
from models.commands import SendResult
from models.notification import Channel, NotificationRecord, NotificationStatus
from tables import StoredRecord

BACKOFF_S: Final = (2.0, 900.0)
MAX_SLEEP_S: Final = 30.0


@dataclass(slots=True)
class _PendingAttempt:
    """An attempt and the task that makes it. is_held: the task waits until the message may be sent."""

    attempt: NotificationAttempt
    is_wanted: bool = True
    is_held: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def since_ms(self) -> int:
        """When it was requested."""
        return self.attempt.notification.requested_at

    def drop(self) -> None:
        """It is not wanted any more; what is being sent is not broken off."""
        self.is_wanted = False
        if self.is_held and self.task:
            self.task.cancel()


@dataclass(slots=True)
class _Order:
    """What is known of one order: tries by notification id, and how many messages wait."""

    tries: dict[str, _PendingAttempt] = field(default_factory=dict)
    waiting: int = 0


class Notifier:
    """A listener of notifications' table. All methods run on the worker's event loop.

    Each pending message of an owned partition has one task, from the moment its try is due until
    Kafka has the result; the next try begins when that has been decided.
    """

    def __init__(  # noqa: PLR0913 -- settings, each given by name
        self,
        channels: Mapping[Channel, MessageChannel],
        letters: MessageRenderer,
        orders: Orders,
        sender: Sender,
        *,
        concurrency: int = 8,
        backoff_s: tuple[float, float] = BACKOFF_S,
        max_age_s: float = 86_400.0,
        contacts: ContactLimit | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """concurrency: messages being sent at one time. backoff_s: first and longest between two tries.

        max_age_s: after that nobody wants to read it, as when a service is added to old topics.
        contacts: how many messages one address gets; None: as many as there are.
        """
        self.counters = NotifierCounters()
        self._attempts = NotificationSender(
            channels=channels, letters=letters, contacts=contacts or ContactLimit(0), orders=orders,
            sender=sender,
            counters=self.counters, backoff_s=backoff_s, max_age_s=max_age_s, now_s=now_s,
        )  # fmt: skip
        self._sending = asyncio.Semaphore(concurrency)
        self._now_s = now_s
        self._partitions: dict[int, dict[str, _Order]] = {}
        self._opened_ms: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Messages that wait for their next try, are being sent, or whose result is not decided."""
        return sum(not each.is_held for order in self._orders() for each in order.tries.values())

    @property
    def held(self) -> int:
        """Messages that are held back until their order or contact may be told more."""
        return sum(each.is_held for order in self._orders() for each in order.tries.values())

    @property
    def waiting(self) -> int:
        """Messages that wait for an operator."""
        return sum(order.waiting for order in self._orders())

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Begin the tries that are new in the record, forget those that are gone from it."""
        state: NotificationRecord = record.state
        opened_ms = self._opened_ms.setdefault(partition, self._now_s() * 1000)
        orders = self._partitions.setdefault(partition, {})
        order = orders.get(key) or _Order()
        pending = {each.notification_id: each for each in state.with_status(_PENDING, _HELD)}
        for name, made in list(order.tries.items()):
            now = pending.get(name)
            # An operator sends what is held at once.
            is_released = made.is_held and now is not None and now.requested_at > made.since_ms
            if now is None or now.tries >= made.attempt.number or is_released:
                order.tries.pop(name).drop()
        for name, notification in pending.items():
            if name not in order.tries:
                maybe_sent = notification.tries > 0 or notification.requested_at <= opened_ms
                order.tries[name] = self._begin(
                    NotificationAttempt(key, state.correlation_id, notification, maybe_sent)
                )
        order.waiting = sum(1 for _ in state.with_status(_WAITING))
        if order.tries or order.waiting:
            orders[key] = order
        else:
            orders.pop(key, None)

    def closed(self, partition: int) -> None:
        """Stop all work of a partition that is not ours any more."""
        self._opened_ms.pop(partition, None)
        for order in self._partitions.pop(partition, {}).values():
            for each in order.tries.values():
                if each.task:
                    each.task.cancel()

    async def stop(self) -> None:
        """Stop all work for good; what was under way is tried again after the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self._attempts.channels.values():
            await channel.close()

    def _orders(self) -> Iterator[_Order]:
        return (order for orders in self._partitions.values() for order in orders.values())

    def _begin(self, attempt: NotificationAttempt) -> _PendingAttempt:
        each = _PendingAttempt(attempt)
        name = f"notification {attempt.notification.notification_id}"
        each.task = asyncio.create_task(self._make(each), name=name)
        self._tasks.add(each.task)
        each.task.add_done_callback(self._tasks.discard)
        return each

    async def _make(self, each: _PendingAttempt) -> None:
        attempt = each.attempt
        structlog.contextvars.clear_contextvars()  # of whoever happened to store the record
        structlog.contextvars.bind_contextvars(orderId=attempt.order_id)
        await self._attempts.pause(attempt.notification.failures)
        held_until_ms = attempt.notification.held_until or 0
        is_told = attempt.notification.code == CONTACT_LIMIT
        while True:
            await self._hold(each, held_until_ms)
            async with self._sending:
                if not each.is_wanted:
                    return
                result = await self._attempts.make(attempt)
            if result.result is not SendResult.HELD or not is_told:
                await self._attempts.report(attempt, result)
            if result.result is not SendResult.HELD:
                return
            held_until_ms, is_told = result.held_until or 0, True

    async def _hold(self, each: _PendingAttempt, until_ms: int) -> None:
        """Wait until the message may be sent; the clock may be read anew meanwhile."""
        each.is_held = True
        while (left_s := until_ms / 1000 - self._now_s()) > 0:  # noqa: ASYNC110 - a time has no event
            await asyncio.sleep(min(left_s, MAX_SLEEP_S))
        each.is_held = False


_PENDING: Final = NotificationStatus.PENDING
_HELD: Final = NotificationStatus.HELD
_WAITING: Final = NotificationStatus.WAITING_FOR_OPERATOR
