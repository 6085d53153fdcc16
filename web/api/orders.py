"""Orders over HTTP: the joined view, now or as of a past moment, timeline, stream of changes, cancel."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Final

import orjson
from aiohttp import web

from models.commands import CancelOrder, CommandType
from models.delivery import DeliveryRecord
from models.graphs import ORDER_PATH, OrderStatus
from models.history import IncompleteError, as_of
from models.order import OrderRecord, OrderWork
from models.payment import PaymentRecord
from models.times import to_rfc3339
from models.topics import ORDER_AUDIT
from tables import StoredRecord
from web.api.order_views import OrderView, for_customer, order_view
from web.api.schemas import CancelOrderBody, OrderCancelAnswer, check_reason
from web.api.timeline import TimelineView, stored_timeline, timeline_view
from web.http.answers import as_json, json_body
from web.http.commands import CommandRequest, CommandResult, check_order_is_known
from web.http.context import DELIVERIES, ORDERS, PAYMENTS, TIMELINE, Context, state_of
from web.http.params import Params, param, time_ms
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.sse import HEARTBEAT_S, EventStream, StreamEvent
from web.http.tokens import Identity, Role

PARTS: Final = (ORDERS, PAYMENTS, DELIVERIES)
"""Services whose records the order's view joins."""
WAITS_FOR_DELIVERY: Final = frozenset(ORDER_PATH) - {OrderStatus.DELIVERED}


class OrderParams(Params):
    """as_of_ms: milliseconds since the epoch."""

    as_of_ms: int | None = param(
        time_ms(
            "a time with its zone, such as 2026-11-20T18:30:00.000Z",
            years=range(1, 10_000), has_dates=False,
        ),
        "a past moment, RFC 3339; the order as it stood then", name="asOf",
    )  # fmt: skip


async def show_order(call: Call[OrderParams, None]) -> OrderView | web.Response:
    """The order joined with its payment and delivery, as it is or as of a past moment."""
    context, order_id, identity = call.context, call.order_id, call.identity
    at_ms = call.params.as_of_ms
    if at_ms is not None:
        return _shown(context, await _view_as_of(context, order_id, at_ms), identity)
    records = [context.record(part, order_id) for part in PARTS]
    key = order_id, identity.role is Role.CUSTOMER
    body = context.order_answers.body(
        key, records, lambda: json_body(_shown(context, joined(context, order_id), identity))
    )
    return web.Response(body=body, content_type="application/json")


def _shown(context: Context, view: OrderView, identity: Identity) -> OrderView:
    """The view as the one who asks may read it."""
    if identity.role is not Role.CUSTOMER:
        return view
    code = delivery_code(context, view, identity)
    return for_customer(view).model_copy(update={"delivery_code": code})


def delivery_code(context: Context, view: OrderView, identity: Identity) -> str | None:
    """What the customer gives the courier at the door; None for others, and while there is nothing to bring."""
    deps = context.deps
    is_coming = view.as_of is None and view.status in WAITS_FOR_DELIVERY
    if not deps.asks_delivery_code or not is_coming or identity.role is not Role.CUSTOMER:
        return None
    return deps.order_tokens.delivery_code(view.order_id)


def show_timeline(call: Call[Params, None]) -> TimelineView:
    """All that happened to the order."""
    rows = stored_timeline(call.context, call.order_id)
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
        view = _shown(context, joined(context, order_id), identity)
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
    """Cancel the order; a payment is cancelled or refunded in its turn.

    Raises ProblemError (400) for a reason that is not the caller's.
    """
    check_reason(call.identity, call.body.reason)

    async def answer(settled: CommandResult) -> OrderCancelAnswer:
        state: OrderRecord = settled.record.state
        return OrderCancelAnswer(
            order_id=call.order_id,
            status=state.status_shown,
            refund=state.work.refund_initiated,
            consistency_token=settled.token.text(),
        )

    return CommandRequest(
        order_id=call.order_id, service=ORDERS, command_type=CommandType.CANCEL_ORDER,
        data=CancelOrder(reason=call.body.reason), action="cancel-order", key=call.key,
        body=call.body, identity=call.identity, answer=answer,
    )  # fmt: skip


def joined(context: Context, order_id: str) -> OrderView:
    """The parts as they are now. Raises ProblemError (404), NotOwnerError, NotReadyError."""
    records = {part: context.record(part, order_id) for part in PARTS}
    found = {part: record for part, record in records.items() if record}
    view = order_view(
        order_id,
        state_of(records[ORDERS], OrderRecord),
        state_of(records[PAYMENTS], PaymentRecord),
        state_of(records[DELIVERIES], DeliveryRecord).delivery,
        versions={part: record.version for part, record in found.items()},
        is_held=any(record.quarantine for record in found.values()),
    )
    if view is None:
        raise ProblemError("ORDER_UNKNOWN", "If it was placed a moment ago, try again.")
    return view


async def _view_as_of(context: Context, order_id: str, at_ms: int) -> OrderView:
    """The order as it stood then: all that had happened by then, and nothing of what came later.

    Deadlines are left out, for no event tells them. Raises ProblemError (404 before it was placed; 409
    when its timeline lacks something; 503, 504 when it is held up), NotOwnerError, NotReadyError.
    """
    order, payment, delivery = (context.record(part, order_id) for part in PARTS)
    check_order_is_known(context, order_id)
    now, paid = state_of(order, OrderRecord), state_of(payment, PaymentRecord)
    brought = state_of(delivery, DeliveryRecord).delivery
    emitted = {
        ORDERS: now.work.sequence,
        PAYMENTS: paid.payment.sequence if paid.payment else 0,
        DELIVERIES: brought.sequence if brought else 0,
    }
    await _hold(context, order_id, emitted)
    rows = [row for _, row in stored_timeline(context, order_id)]
    try:
        past = as_of(order_id, rows, at_ms, paid)
    except IncompleteError as error:
        detail = f"What is missing or broken first is {error}."
        raise ProblemError("HISTORY_INCOMPLETE", detail) from None
    placed = now.placed if now.placed and now.placed.placed_at <= at_ms else None
    work = OrderWork(occurred_at=placed.placed_at if placed else 0)
    record = OrderRecord(order=past.order, placed=placed, work=work)
    payment_then = past.payment or PaymentRecord()
    view = order_view(order_id, record, payment_then, past.delivery, versions={}, is_held=False)
    if view is None:
        raise ProblemError("ORDER_UNKNOWN", "It had not been placed then.")
    return view.model_copy(update={"as_of": to_rfc3339(min(at_ms, context.deps.now_ms()))})


async def _hold(context: Context, order_id: str, wanted: Mapping[str, int]) -> None:
    """Wait until the timeline has all that the order's services have emitted."""

    def is_whole(record: StoredRecord | None) -> bool:
        if record is None:
            return not any(wanted.values())
        held: dict[str, int] = {}
        for source, sequence in record.sequences.items():
            topic, _, producer = source.partition("/")
            if topic != ORDER_AUDIT:  # which has counts of its own
                held[producer] = max(sequence, held.get(producer, 0))
        return record.quarantine is not None or all(
            held.get(service, 0) >= sequence for service, sequence in wanted.items()
        )

    timeout_s = context.deps.bounds.consistency_s
    try:
        record = await context.tables[TIMELINE].wait(order_id, is_whole, timeout_s)
    except TimeoutError:
        detail = "The timeline is behind. Try again in a moment."
        raise ProblemError("CONSISTENCY_TIMEOUT", detail) from None
    if record is not None and record.quarantine is not None:
        detail = "Its timeline waits for an operator."
        raise ProblemError("ORDER_QUARANTINED", detail, retry_after_s=60)


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
