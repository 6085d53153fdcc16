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
from typing import Any, Final

from models.commands import AssignDelivery, CommandType
from models.delivery import DeliveryRecord
from models.order import OrderRecord
from models.topics import ORDER_EVENTS
from tables import StoredRecord
from web.api.deliveries import ShowCourierCapacity
from web.api.steps import step
from web.http.bodies import EmptyBody
from web.http.commands import OutcomePendingError, check_order_is_known, perform, wait
from web.http.context import DELIVERIES, ORDERS, Context
from web.http.dispatch import forward
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call, Owner
from web.http.scatter_gather import PARTITIONS

ADMISSION: Final = "Tiffin-Admission"
"""From the courier's owner to the order's: this courier has room for this order."""
MAX_ASSIGN_HOPS: Final = 2
"""To the courier's owner, and from there to the order's."""


def assign_owner(call: Call[Params, EmptyBody]) -> Owner:
    """The worker that owns the courier's key, and once that has admitted the order, the order's owner."""
    if _is_admitted(call):
        return _order_owner(call)
    return Owner(DELIVERIES, f"courier:{call.identity.subject}")


async def assign_delivery(call: Call[Params, EmptyBody]) -> Any:
    """PENDING -> ASSIGNED, to the courier who asks, unless that one has too many."""
    if _is_admitted(call):
        return await _step(call, CommandType.ASSIGN_DELIVERY)
    courier_id, context = call.identity.subject, call.context
    # Held until the answer: by then the command is in Kafka, where the next check finds it.
    async with context.courier_locks.setdefault(courier_id, asyncio.Lock()):
        await _check_capacity(call)
        admission = context.deps.order_tokens.issue_admission(courier_id, call.order_id)
        forwarded = await forward(call, _order_owner(call), {ADMISSION: admission})
        if forwarded is not None:
            return forwarded
        return await _step(call, CommandType.ASSIGN_DELIVERY)


def delivery_owner(call: Call[Params, EmptyBody]) -> Owner:
    """The worker that owns the order's delivery."""
    return Owner(DELIVERIES, call.order_id)


async def pick_up_delivery(call: Call[Params, EmptyBody]) -> Any:
    """ASSIGNED -> PICKED_UP, once the kitchen has marked the order ready; moves the order too."""
    return await _step(call, CommandType.PICK_UP_DELIVERY)


async def complete_delivery(call: Call[Params, EmptyBody]) -> Any:
    """PICKED_UP -> DELIVERED; moves the order too."""
    return await _step(call, CommandType.COMPLETE_DELIVERY)


def _is_admitted(call: Call[Params, EmptyBody]) -> bool:
    admission, tokens = call.request.headers.get(ADMISSION), call.context.deps.order_tokens
    return bool(admission) and tokens.is_admitted(
        admission or "", call.identity.subject, call.order_id
    )


def _order_owner(call: Call[Params, EmptyBody]) -> Owner:
    return Owner(DELIVERIES, call.order_id, MAX_ASSIGN_HOPS)


async def _check_capacity(call: Call[Params, EmptyBody]) -> None:
    """Refuse one more than a courier may have. Raises ProblemError (400, 409, 503)."""
    if PARTITIONS in call.request.headers:  # made to look like another worker's question
        raise ProblemError("BAD_REQUEST")
    capacity = await ShowCourierCapacity(call).collect()
    if capacity.incomplete:
        missing = ", ".join(map(str, capacity.incomplete))
        raise ProblemError("COURIER_UNCHECKED", f"No answer from partitions: {missing}.")
    if len({*capacity.orders} - {call.order_id}) >= capacity.limit:
        raise ProblemError(
            "COURIER_BUSY", f"At most {capacity.limit} at a time; deliver one first."
        )


async def _step(call: Call[Params, EmptyBody], command_type: CommandType) -> Any:
    """Take the step at the order's owner."""
    await _wait_for_orders_events(call.context, call.order_id)
    is_assign = command_type is CommandType.ASSIGN_DELIVERY
    data = AssignDelivery(courier_id=call.identity.subject) if is_assign else None
    return await perform(call.context, step(call, DELIVERIES, command_type, data))


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
