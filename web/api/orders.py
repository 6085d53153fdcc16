"""Orders over HTTP: the joined view, the timeline, the stream of changes, and the cancel."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Final

import orjson

from models.commands import CancelOrder, CommandType
from models.order import OrderRecord
from models.payment import PaymentRecord
from tables import StoredRecord
from web.api import history
from web.api.order_views import OrderView, for_customer, order_view
from web.api.schemas import CancelOrderBody, OrderCancelAnswer
from web.api.timeline import TimelineView, timeline_view
from web.http.answers import as_json
from web.http.commands import CommandRequest, CommandResult
from web.http.context import DELIVERIES, ORDERS, PAYMENTS, TIMELINE, Context
from web.http.params import Params, param
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.sse import HEARTBEAT_S, EventStream, StreamEvent
from web.http.tokens import Identity, Role

PARTS: Final = (ORDERS, PAYMENTS, DELIVERIES)
"""Services whose records the order's view joins."""


class OrderParams(Params):
    """as_of_ms: milliseconds since the epoch."""

    as_of_ms: int | None = param(
        history.AS_OF, "a past moment, RFC 3339; the order as it stood then", name="asOf"
    )


async def show_order(call: Call[OrderParams, None]) -> OrderView:
    """The order joined with its payment and delivery, as it is or as of a past moment."""
    at_ms = call.params.as_of_ms
    if at_ms is not None:
        return _shown(await history.view_as_of(call.context, call.order_id, at_ms), call.identity)
    return _shown(joined(call.context, call.order_id), call.identity)


def _shown(view: OrderView, identity: Identity) -> OrderView:
    """The view as the one who asks may read it."""
    return for_customer(view) if identity.role is Role.CUSTOMER else view


def show_timeline(call: Call[Params, None]) -> TimelineView:
    """All that happened to the order."""
    rows = call.context.tables[TIMELINE].rows(f"{call.order_id}/")
    return timeline_view(call.order_id, rows, role=call.identity.role)


def stream_order(call: Call[Params, None]) -> EventStream:
    """The order's view, now and whenever it changes, as server-sent events.

    A client that names the last event it has (Last-Event-ID, or ?lastEventId= of its first connection)
    hears of it only when there is a newer one.
    """
    joined(call.context, call.order_id)  # raises before the stream begins
    request = call.request
    seen = request.headers.get("Last-Event-ID") or request.query.get("lastEventId")
    return EventStream(call.order_id, _views(call.context, call.order_id, call.identity, seen))


async def _views(
    context: Context, order_id: str, identity: Identity, seen: str | None
) -> AsyncGenerator[StreamEvent | None]:
    """The view whenever it changes. Raises NotOwnerError and NotReadyError when the partition moves."""
    while True:
        view = _shown(joined(context, order_id), identity)
        if stream_event_id(view) == seen:
            yield None
        else:
            seen = stream_event_id(view)
            yield StreamEvent("order", orjson.dumps(as_json(view)).decode(), seen)
        await _change(context, order_id, view.versions)


def stream_event_id(view: OrderView) -> str:
    """The stream's id of a view: the versions of the records that it joins."""
    return ".".join(f"{part}-{version}" for part, version in view.versions.items())


def cancel_order(call: Call[Params, CancelOrderBody]) -> CommandRequest:
    """Cancel the order; a payment is cancelled or refunded in its turn."""
    return cancel_command(call.order_id, call.key, call.body, call.identity)


def cancel_command(
    order_id: str, key: str, body: CancelOrderBody, identity: Identity
) -> CommandRequest:
    """The command that cancels an order."""

    async def answer(settled: CommandResult) -> OrderCancelAnswer:
        state: OrderRecord = settled.record.state
        return OrderCancelAnswer(
            order_id=order_id,
            status=state.status_shown,
            refund=state.work.refund_initiated,
            consistency_token=settled.token.text(),
        )

    return CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.CANCEL_ORDER,
        data=CancelOrder(reason=body.reason), action="cancel-order", key=key, body=body,
        identity=identity, answer=answer,
    )  # fmt: skip


def joined(context: Context, order_id: str) -> OrderView:
    """The parts as they are now. Raises ProblemError (404), NotOwnerError, NotReadyError."""
    records = {part: context.record(part, order_id) for part in PARTS}
    found = {part: record for part, record in records.items() if record}
    order = found.get(ORDERS)
    view = None
    if order is not None and isinstance(order.state, OrderRecord):
        payment = found[PAYMENTS].state if PAYMENTS in found else None
        view = order_view(
            order_id,
            order.state,
            payment if isinstance(payment, PaymentRecord) else None,
            _delivery(found.get(DELIVERIES)),
            versions={part: record.version for part, record in found.items()},
            is_held=any(record.quarantine for record in found.values()),
        )
    if view is None:
        raise ProblemError("ORDER_UNKNOWN", "If it was placed a moment ago, try again.")
    return view


def _delivery(record: StoredRecord | None) -> dict[str, Any] | None:
    """The delivery, as its own model shows itself."""
    delivery = getattr(record.state, "delivery", None) if record else None
    return delivery.model_dump(mode="json", by_alias=True) if delivery else None


async def _change(context: Context, order_id: str, versions: dict[str, int]) -> None:
    """Wait until a part changes or this worker stops. Raises NotOwnerError, NotReadyError."""

    def newer(part: str) -> Callable[[StoredRecord | None], bool]:
        return lambda record: (record.version if record else 0) > versions.get(part, 0)

    waits = [
        asyncio.ensure_future(context.tables[part].wait(order_id, newer(part), HEARTBEAT_S))
        for part in PARTS
        if part in context.tables
    ]
    stop = asyncio.ensure_future(context.stopping.wait())
    try:
        done, _ = await asyncio.wait([*waits, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(TimeoutError):  # nothing new: the same view again does no harm
                task.result()
    finally:
        for task in [*waits, stop]:
            task.cancel()
        await asyncio.gather(*waits, stop, return_exceptions=True)
