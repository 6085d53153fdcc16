"""Deliveries over HTTP: couriers' lists, what a courier has taken, and the steps from kitchen to door.

How many deliveries a courier has is a matter of many orders, and those lie in many partitions. So an
assign goes first to the worker that owns the key `courier:<id>`: there, one at a time, every partition
is asked what the courier has, *after* it has decided what commands lay in its input, and only then is
the request passed on to the order's owner, which sends the command. A partition that does not answer
refuses the assign (503). What is left: for the moment of a rebalance two workers may both believe that
they own the courier's key, and a command that was let through may reach Kafka only after another
worker, the next owner, has asked; then a courier may get one delivery too many.
"""

import asyncio
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from models import ids
from models.commands import (
    Address,
    AssignDelivery,
    CommandType,
    CompleteDelivery,
    Contact,
)
from models.delivery import DeliveryRecord
from models.delivery_code import CodeCheck
from models.graphs import DeliveryStatus, OrderStatus
from models.messages import Message
from models.order import OrderRecord
from models.topics import ORDER_EVENTS
from tables import NotReadyError, StoredRecord
from web.api.order_views import RestaurantName, restaurant_name
from web.api.steps import step
from web.api.views import view_of
from web.http.api_model import AS_MESSAGE, ApiModel
from web.http.bodies import B, Body, EmptyBody
from web.http.commands import OutcomePendingError, check_order_is_known, perform, wait
from web.http.context import DELIVERIES, ORDERS, Context, state_of
from web.http.dispatch import forward
from web.http.params import Params, limit_param
from web.http.problems import ProblemError
from web.http.route import Call, Owner
from web.http.scatter_gather import PARTITIONS, Gather, Missing, Shares
from web.http.tokens import Identity, Role
from web.indexes.orders import DeliveryEntry

ADMISSION: Final = "Tiffin-Admission"
"""From the courier's owner to the order's: this courier has room for this order."""
MAX_ASSIGN_HOPS: Final = 2
"""To the courier's owner, and from there to the order's."""
ORDER_EVENTS_SOURCE: Final = f"{ORDER_EVENTS}/orders"
"""Under which a record keeps the last sequence that it had from orders."""
MAX_LISTED: Final = 500


class DeliveryRow(ApiModel):
    """A delivery in a courier's list. contact and address: of the courier's own ones, for the door."""

    order_id: str
    reference: str
    status: str
    since: str
    order_status: str | None = None
    can_pick_up: bool
    courier_id: str | None = None
    restaurant: RestaurantName | None = None
    contact: Annotated[Contact, AS_MESSAGE] | None = None
    address: Annotated[Address, AS_MESSAGE] | None = None


class DeliveryRows(ApiModel):
    """The courier's own first, then the longest waiting. total: before the limit.

    incomplete: partitions whose deliveries are missing here.
    """

    deliveries: tuple[DeliveryRow, ...]
    total: int
    incomplete: tuple[int, ...]


class CourierCapacity(ApiModel):
    """What a courier has, and may have at a time. incomplete: partitions that did not answer."""

    orders: tuple[str, ...]
    limit: int
    incomplete: tuple[int, ...]


class DeliveriesShare(NamedTuple):
    """total: before the limit."""

    total: int
    rows: list[DeliveryRow]


class DeliverBody(Body):
    """code: the customer's, where TIFFIN_DELIVERY_CODE=1; without it the delivery has no proof."""

    code: str | None = Field(None, max_length=20)


class DeliveryParams(Params):
    """Of the list."""

    limit: int = limit_param(100, MAX_LISTED)


class ListDeliveries(Gather[DeliveriesShare, DeliveryRows]):
    """The deliveries that wait for a courier, and the courier's own; an operator's list is of all."""

    service, open_services, share_type = DELIVERIES, (DELIVERIES, ORDERS), DeliveriesShare

    async def share(self, partition: int) -> DeliveriesShare:
        """Of an owned partition."""
        identity, limit = self.call.identity, self.call.params.limit
        known = self.context.delivery_index.current(partition)
        if identity.role is not Role.OPERATOR:
            known = [entry for entry in known if entry.courier_id in {None, identity.subject}]
        entries = sorted(known, key=lambda entry: (entry.courier_id is None, entry.since_ms))
        rows = [_row(self.context, entry, identity) for entry in entries[:limit]]
        return DeliveriesShare(len(entries), rows)

    async def merged(self, shares: Shares[DeliveriesShare], missing: Missing) -> DeliveryRows:
        """The courier's own first, then the longest waiting."""
        rows = [row for share in shares.values() for row in share.rows]
        rows.sort(key=lambda row: (row.courier_id is None, row.since))
        return DeliveryRows(
            deliveries=tuple(rows[: self.call.params.limit]),
            total=sum(share.total for share in shares.values()),
            incomplete=missing,
        )


def _row(context: Context, entry: DeliveryEntry, identity: Identity) -> DeliveryRow:
    placed = state_of(context.record(ORDERS, entry.order_id), OrderRecord).placed
    is_own = identity.role is Role.COURIER and entry.courier_id == identity.subject
    is_ready = entry.order_status is OrderStatus.READY_FOR_PICKUP
    return view_of(
        DeliveryRow,
        entry,
        placed if is_own else None,
        reference=ids.reference(entry.order_id),
        can_pick_up=is_ready and entry.status is DeliveryStatus.ASSIGNED,
        restaurant=restaurant_name(placed),
    )


class ShowCourierCapacity(Gather[list[str], CourierCapacity]):
    """What the courier who asks has, once all that was asked for until now is decided."""

    service, share_type = DELIVERIES, list[str]

    async def share(self, partition: int) -> list[str]:
        """Orders of an owned partition that the courier has."""
        if self.context.is_stopped((DELIVERIES, ORDERS), partition):
            return []  # nobody's limit may wait for an operator: this one's deliveries are not counted
        await self._wait_until_decided(partition)
        for service in (DELIVERIES, ORDERS):
            self.context.check_open(service, partition)
        entries = self.context.delivery_index.of_courier(partition, self.call.identity.subject)
        return [entry.order_id for entry in entries]

    async def merged(self, shares: Shares[list[str]], missing: Missing) -> CourierCapacity:
        """Of all partitions."""
        orders = tuple(order_id for share in shares.values() for order_id in share)
        limit = self.context.deps.courier_limit
        return CourierCapacity(orders=orders, limit=limit, incomplete=missing)

    async def _wait_until_decided(self, partition: int) -> None:
        """Until the partition has decided what lay in its inputs. Raises NotReadyError."""
        deps = self.context.deps
        if deps.caught_up is not None:
            try:
                async with asyncio.timeout(deps.bounds.gather_s * 0.8):
                    await deps.caught_up((DELIVERIES,), partition)
            except TimeoutError:
                raise NotReadyError(DELIVERIES) from None


def assign_owner(call: Call[Params, EmptyBody]) -> Owner:
    """The worker that owns the courier's key, and once that has admitted the order, the order's owner."""
    if _is_admitted(call):
        return Owner(DELIVERIES, call.order_id, MAX_ASSIGN_HOPS)
    return Owner(DELIVERIES, f"courier:{call.identity.subject}")


async def assign_delivery(call: Call[Params, EmptyBody]) -> Any:
    """PENDING -> ASSIGNED, to the courier who asks, unless that one has too many."""
    if _is_admitted(call):
        return await _assign(call)
    courier_id, context = call.identity.subject, call.context
    # Held until the answer: by then the command is in Kafka, where the next check finds it.
    async with context.courier_locks.setdefault(courier_id, asyncio.Lock()):
        await _check_capacity(call)
        admission = context.deps.order_tokens.issue_admission(courier_id, call.order_id)
        owner = Owner(DELIVERIES, call.order_id, MAX_ASSIGN_HOPS)
        forwarded = await forward(call, owner, {ADMISSION: admission})
        if forwarded is not None:
            return forwarded
        return await _assign(call)


def delivery_owner(call: Call[Params, B]) -> Owner:
    """The worker that owns the order's delivery."""
    return Owner(DELIVERIES, call.order_id)


async def pick_up_delivery(call: Call[Params, EmptyBody]) -> Any:
    """ASSIGNED -> PICKED_UP, once the kitchen has marked the order ready; moves the order too."""
    return await _step(call, CommandType.PICK_UP_DELIVERY)


async def complete_delivery(call: Call[Params, DeliverBody]) -> Any:
    """PICKED_UP -> DELIVERED; moves the order too. A wrong delivery code is refused, and counted."""
    check = _code_check(call)
    # The body's hash is stored and names the command: one of four digits would tell them.
    call.body = DeliverBody(code=check)
    return await _step(call, CommandType.COMPLETE_DELIVERY, CompleteDelivery(code=check))


def _code_check(call: Call[Params, DeliverBody]) -> CodeCheck | None:
    """Compared here, so that the code gets into no record; decide counts what is wrong."""
    deps, typed = call.context.deps, call.body.code
    if not deps.asks_delivery_code:
        return None
    if not typed:
        return CodeCheck.MISSING
    is_right = deps.order_tokens.is_delivery_code(call.order_id, typed)
    return CodeCheck.MATCHED if is_right else CodeCheck.WRONG


def _is_admitted(call: Call[Params, EmptyBody]) -> bool:
    admission, tokens = call.request.headers.get(ADMISSION, ""), call.context.deps.order_tokens
    return tokens.is_admitted(admission, call.identity.subject, call.order_id)


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


async def _assign(call: Call[Params, EmptyBody]) -> Any:
    data = AssignDelivery(courier_id=call.identity.subject)
    return await _step(call, CommandType.ASSIGN_DELIVERY, data)


async def _step(
    call: Call[Params, B], command_type: CommandType, data: Message | None = None
) -> Any:
    """Take the step at the order's owner."""
    await _wait_for_orders_events(call.context, call.order_id)
    return await perform(call.context, step(call, DELIVERIES, command_type, data))


async def _wait_for_orders_events(context: Context, order_id: str) -> None:
    """Let deliveries read what orders has said by now: else it would refuse what everybody can see.

    Raises ProblemError (404) when there is no delivery even then.
    """
    check_order_is_known(context, order_id)
    order = state_of(context.record(ORDERS, order_id), OrderRecord).order
    due = order.sequence if order else 0

    def has_heard(found: StoredRecord | None) -> bool:
        if found is None:
            return due == 0
        return found.quarantine is not None or found.sequences.get(ORDER_EVENTS_SOURCE, 0) >= due

    timeout_s = context.deps.bounds.consistency_s
    try:
        heard = await wait(context, DELIVERIES, order_id, has_heard, timeout_s)
    except OutcomePendingError:
        heard = context.record(DELIVERIES, order_id)
    if state_of(heard, DeliveryRecord).delivery is None:
        raise ProblemError("DELIVERY_UNKNOWN", "It has one once it is paid; try again then.")
