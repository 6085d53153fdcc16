"""The notifier: sends the messages that notifications' table holds, and reports how each try ended.

The table is the work list: a message is durable before it is sent, and stays pending until the
result of its try, a command, has been decided. After a crash it is found again and sent with the
same id.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from app.channels import DeferredError, MessageChannel, RefusedError, SendError
from app.letters import Letters
from models import ids
from models.commands import Command, CommandType, NotificationResult, SendResult
from models.messages import to_rfc3339
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from models.order_state import OrderRecord, Placed
from tables import NotOwnerError, NotReadyError, StoredRecord
from web.ports import KafkaUnavailableError

log = structlog.stdlib.get_logger(__name__)

ISSUER: Final = "system:notifier"
PAUSES_S: Final = (2.0, 900.0)
ORDERS_PAUSE_S: Final = 0.2


class Sender(Protocol):
    """What is needed of a command sender."""

    async def send(self, command: Command) -> None:
        """Return once Kafka has it. Raises KafkaUnavailableError."""


class Orders(Protocol):
    """What is needed of the orders table, whose partitions are this worker's too."""

    def get(self, key: str) -> StoredRecord | None:
        """The order's record. Raises NotOwnerError, NotReadyError."""


@dataclass(slots=True)
class NotifierCounters:
    """Counts since the start. results: (channel, how a try ended) -> reports."""

    in_flight: int = 0
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Try:
    """One try of a pending message and the task that makes it.

    may_have_left: an earlier try, perhaps another worker's, may have sent it.
    """

    order_id: str
    correlation_id: str
    notification: Notification
    may_have_left: bool
    is_wanted: bool = True
    task: asyncio.Task[None] | None = None

    @property
    def attempt(self) -> int:
        """The number of the try."""
        return self.notification.tries + 1


@dataclass(slots=True)
class _Order:
    """What is known of one order: tries by notification id, and how many messages wait."""

    tries: dict[str, _Try] = field(default_factory=dict)
    waiting: int = 0


class Notifier:
    """A listener of notifications' table. All methods run on the worker's event loop.

    Each pending message of an owned partition has one task, from the moment its try is due until
    Kafka has the result; the next try begins when that has been decided.
    """

    def __init__(
        self,
        channels: Mapping[Channel, MessageChannel],
        letters: Letters,
        orders: Orders,
        sender: Sender,
        *,
        concurrency: int = 8,
        pauses_s: tuple[float, float] = PAUSES_S,
        max_age_s: float = 86_400.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """concurrency: messages being sent at one time. pauses_s: first and longest between two tries.

        max_age_s: after that nobody wants to read it, as when a service is added to old topics.
        """
        self.counters = NotifierCounters()
        self._channels, self._letters = channels, letters
        self._orders_table, self._sender = orders, sender
        self._sending = asyncio.Semaphore(concurrency)
        self._pauses_s = pauses_s
        self._max_age_s = max_age_s
        self._now_s = now_s
        self._partitions: dict[int, dict[str, _Order]] = {}
        self._opened_ms: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Messages that wait for their next try, are being sent, or whose result is not decided."""
        return sum(len(order.tries) for order in self._orders())

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
        pending = {each.notification_id: each for each in state.with_status(_PENDING)}
        for name, made in list(order.tries.items()):
            if name not in pending or pending[name].tries >= made.attempt:
                order.tries.pop(name).is_wanted = False
        for name, notification in pending.items():
            if name not in order.tries:
                may_have_left = notification.tries > 0 or notification.requested_at <= opened_ms
                order.tries[name] = self._begin(
                    _Try(key, state.correlation_id, notification, may_have_left)
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
        for channel in self._channels.values():
            await channel.close()

    def _orders(self) -> Iterator[_Order]:
        return (order for orders in self._partitions.values() for order in orders.values())

    def _begin(self, each: _Try) -> _Try:
        name = f"notification {each.notification.notification_id}"
        each.task = asyncio.create_task(self._make(each), name=name)
        self._tasks.add(each.task)
        each.task.add_done_callback(self._tasks.discard)
        return each

    async def _make(self, each: _Try) -> None:
        structlog.contextvars.clear_contextvars()  # of whoever happened to store the record
        structlog.contextvars.bind_contextvars(orderId=each.order_id)
        await self._pause(each.notification.failures)
        result, code, provider_id = SendResult.SENT, None, None
        async with self._sending:
            if not each.is_wanted:
                return
            self.counters.in_flight += 1
            try:
                provider_id = await self._send(each)
            except RefusedError as error:
                result, code = SendResult.REFUSED, error.code
            except DeferredError as error:
                result, code = SendResult.DEFERRED, error.code
            finally:
                self.counters.in_flight -= 1
        data = NotificationResult(
            notification_id=each.notification.notification_id,
            attempt=each.attempt,
            result=result,
            provider_id=provider_id,
            code=code,
        )
        await self._report(each, data)

    async def _send(self, each: _Try) -> str | None:
        """Send it now. Raises RefusedError and DeferredError, the latter for a bug of ours too."""
        notification = each.notification
        if self._now_s() - notification.requested_at / 1000 > self._max_age_s:
            raise RefusedError("TOO_OLD")
        channel = self._channels.get(notification.channel)
        if channel is None:
            raise RefusedError("CHANNEL_OFF")
        placed = await self._placed(each.order_id)
        if placed is None:
            raise RefusedError("NO_CONTACT")
        try:
            letter = self._letters.write(each.order_id, notification, placed)
            return await channel.send(letter, may_have_left=each.may_have_left)
        except SendError:
            raise
        except Exception as error:  # noqa: BLE001 -- the others still have to be sent
            # Neither its text nor the locals of its frames are told: the address may be in them.
            name, where = type(error).__name__, _where(error)
            self.counters.errors[name] += 1
            log.error("sending a notification met a bug", error=name, where=where)  # noqa: TRY400
            raise DeferredError(f"BUG_{name}"[:60]) from None

    async def _placed(self, key: str) -> Placed | None:
        """Whom to write to and about what: the contact is in the orders table and nowhere else."""
        while True:
            try:
                stored = self._orders_table.get(key)
            except (NotOwnerError, NotReadyError):  # it opens, or `closed` cancels us, in a moment
                await asyncio.sleep(ORDERS_PAUSE_S)
                continue
            state: OrderRecord | None = stored.state if stored else None
            return state.placed if state else None

    async def _report(self, each: _Try, data: NotificationResult) -> None:
        """Send the result until Kafka has it; its id makes a second one harmless."""
        command = Command(
            order_id=each.order_id,
            command_id=ids.command_id("notified", data.notification_id, data.attempt, data.result),
            command_type=CommandType.NOTIFICATION_RESULT,
            issued_at=to_rfc3339(round(self._now_s() * 1000)),
            issued_by=ISSUER,
            causation_id=each.notification.event_id,
            correlation_id=each.correlation_id,
            data=data,
        )
        failures = 0
        while True:
            try:
                await self._sender.send(command)
            except KafkaUnavailableError as error:
                self.counters.errors[type(error).__name__] += 1
                failures += 1
                await self._pause(failures)
                continue
            break
        self.counters.results[each.notification.channel, data.result] += 1
        log.info(
            "a notification was tried",
            notification=data.notification_id,
            about=each.notification.event_type,
            channel=each.notification.channel,
            attempt=data.attempt,
            result=data.result,
            code=data.code,
        )

    async def _pause(self, failures: int) -> None:
        """Nothing before the first try, then longer each time."""
        if failures:
            first_s, longest_s = self._pauses_s
            pause_s = min(longest_s, first_s * 2 ** min(failures - 1, 16))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311


_PENDING: Final = NotificationStatus.PENDING
_WAITING: Final = NotificationStatus.WAITING_FOR_OPERATOR


def _where(error: BaseException) -> str:
    """File and line of the innermost frame."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
