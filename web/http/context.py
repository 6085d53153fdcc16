"""What every handler reaches: the dependencies, the forwarder, and the requests that are under way."""

import asyncio
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from aiohttp import web

from tables import NotOwnerError, StateTable, StoredRecord
from web.http.answer_cache import AnswerCache
from web.http.change_feed import ChangeFeed
from web.http.deps import OperatorDeps, WebDeps
from web.http.forwarding import Forwarder
from web.http.problems import ProblemError
from web.http.rate_limits import ClientRateLimiter
from web.http.sse import Streams
from web.indexes.notifications import NotificationIndex
from web.indexes.orders import DeliveryIndex, OrderIndex

ORDERS, PAYMENTS, DELIVERIES, TIMELINE = "orders", "payments", "deliveries", "timeline"
NOTIFICATIONS = "notifications"

ORDER_ID: Final = "orderId"
"""In structlog's context variables, so that every log line of the request names its order."""


@dataclass(slots=True)
class Context:
    """One a worker.

    under_way: ids of the commands whose first request has not been answered.
    stopping: set when the worker stops, so that streams end.
    order_index, delivery_index, notification_index: what lists are made of; the last one None where
        there are no notifications.
    changes: what notifies the boards' pages. streams: those that are open.
    limiter: what each client may ask for.
    order_answers: views of orders as they were last given.
    courier_locks: of couriers that are just being given a delivery; gone when nobody holds one.
    """

    deps: WebDeps
    forwarder: Forwarder
    order_index: OrderIndex
    changes: ChangeFeed
    limiter: ClientRateLimiter
    delivery_index: DeliveryIndex = field(default_factory=DeliveryIndex)
    notification_index: NotificationIndex | None = None
    courier_locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )
    under_way: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streams: Streams = field(init=False)
    order_answers: AnswerCache = field(default_factory=AnswerCache)

    def __post_init__(self) -> None:
        self.streams = Streams(self.stopping)

    @property
    def tables(self) -> Mapping[str, StateTable]:
        """By service name."""
        return self.deps.tables

    def record(self, service: str, order_id: str) -> StoredRecord | None:
        """An order's record; None also of a service that is not here. Raises NotOwnerError, NotReadyError."""
        table = self.tables.get(service)
        return table.get(order_id) if table else None

    def check_open(self, service: str, partition: int) -> None:
        """Raises NotOwnerError for a partition that this worker does not answer for now."""
        if partition not in self.tables[service].open_partitions():
            raise NotOwnerError(service)

    @property
    def operations(self) -> OperatorDeps:
        """What operators see and do. Raises ProblemError (404) where there is none of that."""
        if self.deps.operations is None:
            raise ProblemError("NOT_FOUND")
        return self.deps.operations

    def is_stopped(self, services: Container[str], partition: int) -> bool:
        """Whether this worker answers for a partition of these services only once an operator has acted."""
        operations = self.deps.operations
        stops = operations.stopped.all() if operations is not None else ()
        return any(stop.partition == partition and stop.service in services for stop in stops)

    async def stop(self, _app: web.Application) -> None:
        """End the streams: a worker that stops waits for what is being answered."""
        self.stopping.set()
        self.changes.stop()


T = TypeVar("T")


def state_of(record: StoredRecord | None, kind: type[T]) -> T:
    """A record's state; an empty one where there is none, or a state of another kind."""
    state = record.state if record else None
    return state if isinstance(state, kind) else kind()


CONTEXT: Final = web.AppKey("context", Context)
