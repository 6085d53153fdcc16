"""A courier's steps: takes a delivery, picks it up, brings it to the door.

How many deliveries a courier has is a matter of many orders, and those lie in many partitions. So an
assign goes first to the worker that owns the key `courier:<id>`: there, one at a time, every partition
is asked what the courier has, *after* it has decided what commands lay in its input, and only then is
the request passed on to the order's owner, which sends the command. A partition that does not answer
refuses the assign (503). What is left: for the moment of a rebalance two workers may both believe that
they own the courier's key, and a command that was let through may reach Kafka only after another
worker, the next owner, has asked; then a courier may get one delivery too many.
"""

import asyncio
from typing import Final

from aiohttp import web

from models.commands import AssignDelivery, CommandType, NoData
from models.delivery import DeliveryRecord
from models.messages import Message
from models.order import OrderRecord
from models.topics import ORDER_EVENTS
from tables import StoredRecord
from web.api import steps
from web.api.deliveries import courier_capacity
from web.http.auth import authorize
from web.http.bodies import read_json
from web.http.commands import OutcomePendingError, check_order_is_known, wait
from web.http.context import (
    CONTEXT,
    DELIVERIES,
    ORDERS,
    Context,
)
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.tokens import Identity, Role

ADMISSION: Final = "Tiffin-Admission"
"""From the courier's owner to the order's: this courier has room for this order."""
MAX_ASSIGN_HOPS: Final = 2
"""To the courier's owner, and from there to the order's."""


async def assign_delivery(request: web.Request) -> web.StreamResponse:
    """PENDING -> ASSIGNED, to the courier who asks, unless that one has too many."""
    context, order_id, body, identity = await _begun(request)
    deps, courier_id = context.deps, identity.subject
    admission = request.headers.get(ADMISSION)
    if admission and deps.order_tokens.is_admitted(admission, courier_id, order_id):
        return await _at_order(request, context, order_id, body, identity)
    forwarded = await context.forwarder.forwarded(
        request, f"courier:{courier_id}", context.tables[DELIVERIES]
    )
    if forwarded is not None:
        return forwarded
    # Held until the answer: by then the command is in Kafka, where the next check finds it.
    async with context.courier_locks.setdefault(courier_id, asyncio.Lock()):
        await _check_capacity(request, courier_id, order_id)
        admission = deps.order_tokens.issue_admission(courier_id, order_id)
        return await _at_order(request, context, order_id, body, identity, admission)


async def pick_up_delivery(request: web.Request) -> web.StreamResponse:
    """ASSIGNED -> PICKED_UP, once the kitchen has marked the order ready; moves the order too."""
    context, order_id, body, identity = await _begun(request)
    return await _at_order(
        request, context, order_id, body, identity, command_type=CommandType.PICK_UP_DELIVERY
    )


async def complete_delivery(request: web.Request) -> web.StreamResponse:
    """PICKED_UP -> DELIVERED; moves the order too."""
    context, order_id, body, identity = await _begun(request)
    return await _at_order(
        request, context, order_id, body, identity, command_type=CommandType.COMPLETE_DELIVERY
    )


async def _begun(request: web.Request) -> tuple[Context, str, steps.Nothing, Identity]:
    context, order_id = request.app[CONTEXT], order_id_of(request)
    limit_bytes = context.deps.body_limit_bytes
    identity = await authorize(request, context.deps, order_id, Role.COURIER)
    body = await read_json(request, steps.Nothing, limit_bytes, may_be_empty=True)
    return context, order_id, body, identity


async def _check_capacity(request: web.Request, courier_id: str, order_id: str) -> None:
    """Refuse one more than a courier may have. Raises ProblemError (409, 503)."""
    room = await courier_capacity(request, courier_id)
    if room.incomplete:
        missing = ", ".join(map(str, room.incomplete))
        raise ProblemError("COURIER_UNCHECKED", f"No answer from partitions: {missing}.")
    if len(set(room.orders) - {order_id}) >= room.limit:
        raise ProblemError("COURIER_BUSY", f"At most {room.limit} at a time; deliver one first.")


async def _at_order(
    request: web.Request,
    context: Context,
    order_id: str,
    body: steps.Nothing,
    identity: Identity,
    admission: str | None = None,
    *,
    command_type: CommandType = CommandType.ASSIGN_DELIVERY,
) -> web.StreamResponse:
    """Take the step at the order's owner."""
    is_assign = command_type is CommandType.ASSIGN_DELIVERY
    forwarded = await context.forwarder.forwarded(
        request,
        order_id,
        context.tables[DELIVERIES],
        max_hops=MAX_ASSIGN_HOPS if is_assign else 1,
        headers={ADMISSION: admission} if admission else None,
    )
    if forwarded is not None:
        return forwarded
    await _wait_for_orders_events(context, order_id)
    data: Message = AssignDelivery(courier_id=identity.subject) if is_assign else NoData()
    return await steps.take(
        context,
        request,
        service=DELIVERIES,
        order_id=order_id,
        command_type=command_type,
        data=data,
        body=body,
        identity=identity,
    )


async def _wait_for_orders_events(context: Context, order_id: str) -> None:
    """Let deliveries read what orders has said by now: else it would refuse what everybody can see.

    Raises ProblemError (404) when there is no delivery even then.
    """
    check_order_is_known(context, order_id)
    record = context.record(ORDERS, order_id)
    state = record.state if record else None
    order = state.order if isinstance(state, OrderRecord) else None
    due = order.sequence if order else 0

    def has_heard(found: StoredRecord | None) -> bool:
        if found is None:
            return due == 0
        return found.quarantine is not None or found.sequences.get(ORDER_EVENTS_SOURCE, 0) >= due

    try:
        heard = await wait(
            context, DELIVERIES, order_id, has_heard, context.deps.bounds.consistency_s
        )
    except OutcomePendingError:
        heard = context.record(DELIVERIES, order_id)
    if heard is None or not isinstance(heard.state, DeliveryRecord) or not heard.state.delivery:
        raise ProblemError("DELIVERY_UNKNOWN", "It has one once it is paid; try again then.")


ORDER_EVENTS_SOURCE: Final = f"{ORDER_EVENTS}/orders"
"""Under which a record keeps the last sequence that it had from orders."""
