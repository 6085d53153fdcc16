"""Orders over HTTP: the joined view, the timeline, the stream of changes, and the cancel."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Final

import orjson
from aiohttp import web

from models.commands import CancelOrder, CommandType
from models.order import OrderRecord
from models.payment import PaymentRecord
from tables import StoredRecord
from web.api.history import as_of_ms, view_as_of
from web.api.order_views import OrderView, for_customer, order_view
from web.api.schemas import CancelOrderBody, OrderCancelAnswer
from web.api.timeline import timeline_view
from web.http import auth, consistency
from web.http.bodies import read_json
from web.http.commands import (
    CommandRequest,
    CommandResult,
    answered,
    check_order_is_known,
    forwarded_to_owner,
    json_response,
)
from web.http.context import (
    CONTEXT,
    DELIVERIES,
    ORDERS,
    PAYMENTS,
    TIMELINE,
    Context,
)
from web.http.params import idempotency_key, order_id_of
from web.http.problems import ProblemError
from web.http.sse import HEARTBEAT_S, Event
from web.http.tokens import Identity, Role

PARTS: Final = (ORDERS, PAYMENTS, DELIVERIES)
"""Services whose records the order's view joins."""


async def show_order(request: web.Request) -> web.StreamResponse:
    """The order joined with its payment and delivery, as it is or as of a past moment."""
    at_ms = as_of_ms(request)
    context, order_id, identity, forwarded = await reader(request, *PARTS)
    if forwarded is not None:
        return forwarded
    if at_ms is not None:
        return json_response(_shown(await view_as_of(context, order_id, at_ms), identity))
    return json_response(_shown(joined(context, order_id), identity))


def _shown(view: OrderView, identity: Identity) -> OrderView:
    """The view as the one who asks may read it."""
    return for_customer(view) if identity.role is Role.CUSTOMER else view


async def show_timeline(request: web.Request) -> web.StreamResponse:
    """All that happened to the order."""
    context, order_id, identity, forwarded = await reader(request, TIMELINE)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    rows = context.tables[TIMELINE].rows(f"{order_id}/")
    return json_response(timeline_view(order_id, rows, role=identity.role))


async def stream_order(request: web.Request) -> web.StreamResponse:
    """The order's view, now and whenever it changes, as server-sent events.

    A client that names the last event it has (Last-Event-ID, or ?lastEventId= of its first connection)
    hears of it only when there is a newer one.
    """
    context, order_id, identity, forwarded = await reader(request, *PARTS)
    if forwarded is not None:
        return forwarded
    joined(context, order_id)  # raises before the stream begins
    seen = request.headers.get("Last-Event-ID") or request.query.get("lastEventId")
    return await context.streams.send(request, order_id, _views(context, order_id, identity, seen))


async def _views(
    context: Context, order_id: str, identity: Identity, seen: str | None
) -> AsyncGenerator[Event | None]:
    """The view whenever it changes. Raises NotOwnerError and NotReadyError when the partition moves."""
    while True:
        view = _shown(joined(context, order_id), identity)
        if stream_event_id(view) == seen:
            yield None
        else:
            seen = stream_event_id(view)
            shown = view.model_dump(mode="json", by_alias=True, exclude_none=True)
            yield Event("order", orjson.dumps(shown).decode(), seen)
        await _change(context, order_id, view.versions)


def stream_event_id(view: OrderView) -> str:
    """The stream's id of a view: the versions of the records that it joins."""
    return ".".join(f"{part}-{version}" for part, version in view.versions.items())


async def cancel_order(request: web.Request) -> web.StreamResponse:
    """Cancel the order; a payment is cancelled or refunded in its turn."""
    context = request.app[CONTEXT]
    order_id = order_id_of(request)
    key = idempotency_key(request)
    identity = await auth.authorize(request, context.deps, order_id, Role.CUSTOMER, Role.OPERATOR)
    body = await read_json(
        request, CancelOrderBody, context.deps.body_limit_bytes, may_be_empty=True
    )
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    write = CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.CANCEL_ORDER,
        data=CancelOrder(reason=body.reason), action="cancel-order", key=key, body=body,
        identity=identity,
    )  # fmt: skip

    def answer(settled: CommandResult, token: str) -> OrderCancelAnswer:
        state: OrderRecord = settled.record.state
        return OrderCancelAnswer(
            order_id=order_id,
            status=state.status_shown,
            refund=state.work.refund_initiated,
            consistency_token=token,
        )

    return await answered(context, write, answer)


async def reader(
    request: web.Request, *parts: str, roles: tuple[Role, ...] = (Role.CUSTOMER, Role.OPERATOR)
) -> tuple[Context, str, Identity, web.StreamResponse | None]:
    """What every view begins with: who asks, the owner's answer if it is not us, and the token's wait."""
    context, order_id = request.app[CONTEXT], order_id_of(request)
    identity = await auth.authorize(request, context.deps, order_id, *roles)
    token = consistency.token_of_request(request, order_id)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is None:
        await consistency.hold(context, order_id, token, parts)
    return context, order_id, identity, forwarded


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
