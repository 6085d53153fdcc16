"""What every handler reaches: the dependencies, the forwarder, and the requests that are under way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from aiohttp import web

from tables import StoredRecord
from web.http.change_feed import ChangeFeed
from web.http.deps import Table, WebDeps
from web.http.forwarding import Forwarder
from web.http.rate_limits import ClientRateLimiter
from web.http.sse import Streams
from web.indexes.notifications import NotificationIndex
from web.indexes.orders import DeliveryIndex, OrderIndex

ORDERS, PAYMENTS, DELIVERIES, TIMELINE = "orders", "payments", "deliveries", "timeline"
NOTIFICATIONS = "notifications"


@dataclass(slots=True)
class Context:
    """One a worker.

    under_way: ids of the commands whose first request has not been answered.
    stopping: set when the worker stops, so that streams end.
    order_index, delivery_index, notification_index: what lists are made of; the last one None where
        there are no notifications.
    changes: what the boards' pages are told of. streams: those that are open.
    limiter: what each client may ask for.
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

    def __post_init__(self) -> None:
        self.streams = Streams(self.stopping)

    @property
    def tables(self) -> Mapping[str, Table]:
        """By service name."""
        return self.deps.tables

    def record(self, service: str, order_id: str) -> StoredRecord | None:
        """An order's record of one service; None also for a service that this application lacks.

        Raises NotOwnerError, NotReadyError.
        """
        table = self.tables.get(service)
        return table.get(order_id) if table else None

    async def stop(self, _app: web.Application) -> None:
        """End the streams: a worker that stops waits for what is being answered."""
        self.stopping.set()
        self.changes.stop()


CONTEXT: Final = web.AppKey("context", Context)
