"""An order as of a past moment, over HTTP."""

from collections.abc import Mapping
from typing import Any, Final

from models.delivery import DeliveryRecord
from models.history import IncompleteError, as_of
from models.order import OrderRecord, OrderWork
from models.payment import PaymentRecord
from models.times import to_rfc3339
from models.topics import ORDER_AUDIT
from tables import StoredRecord
from web.api.order_views import OrderView, order_view
from web.http.context import DELIVERIES, ORDERS, PAYMENTS, TIMELINE, Context
from web.http.params import time_ms
from web.http.problems import ProblemError

AS_OF: Final = time_ms(
    "a time with its zone, such as 2026-11-20T18:30:00.000Z",
    years=range(1, 10_000),
    has_dates=False,
)
"""Parser of a past moment."""


async def view_as_of(context: Context, order_id: str, at_ms: int) -> OrderView:
    """The order as it stood then: all that had happened by then, and nothing of what came later.

    Deadlines are left out, for no event tells them. Raises ProblemError (404 before it was placed; 409
    when its timeline lacks something; 503, 504 when it is held up), NotOwnerError, NotReadyError.
    """
    states = {part: _state(context, part, order_id) for part in (ORDERS, PAYMENTS, DELIVERIES)}
    now, payment = states[ORDERS], states[PAYMENTS]
    if not isinstance(now, OrderRecord):
        raise ProblemError("ORDER_UNKNOWN", "If it was placed a moment ago, try again.")
    await _hold(context, order_id, _emitted(states))
    rows = [row for _, row in context.tables[TIMELINE].rows(f"{order_id}/")]
    try:
        past = as_of(order_id, rows, at_ms, payment if isinstance(payment, PaymentRecord) else None)
    except IncompleteError as error:
        raise ProblemError(
            "HISTORY_INCOMPLETE", f"What is missing or broken first is {error}."
        ) from None
    placed = now.placed if now.placed and now.placed.placed_at <= at_ms else None
    work = OrderWork(occurred_at=placed.placed_at if placed else 0)
    delivery = past.delivery
    view = order_view(
        order_id,
        OrderRecord(order=past.order, placed=placed, work=work),
        past.payment,
        delivery.model_dump(mode="json", by_alias=True) if delivery else None,
        versions={},
        is_held=False,
    )
    if view is None:
        raise ProblemError("ORDER_UNKNOWN", "It had not been placed then.")
    shown_ms = min(at_ms, context.deps.now_ms())
    return view.model_copy(update={"as_of": to_rfc3339(shown_ms)})


def _state(context: Context, service: str, order_id: str) -> Any:
    record = context.record(service, order_id)
    return record.state if record else None


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

    try:
        record = await context.tables[TIMELINE].wait(
            order_id, is_whole, context.deps.bounds.consistency_s
        )
    except TimeoutError:
        raise ProblemError(
            "CONSISTENCY_TIMEOUT", "The timeline is behind. Try again in a moment."
        ) from None
    if record is not None and record.quarantine is not None:
        raise ProblemError(
            "ORDER_QUARANTINED", "Its timeline waits for an operator.", retry_after_s=60
        )


def _emitted(states: Mapping[str, Any]) -> dict[str, int]:
    """Service -> sequence of its last event."""
    order, payment, delivery = states[ORDERS], states[PAYMENTS], states[DELIVERIES]
    found = {}
    if isinstance(order, OrderRecord):
        found[ORDERS] = order.work.sequence
    if isinstance(payment, PaymentRecord) and payment.payment:
        found[PAYMENTS] = payment.payment.sequence
    if isinstance(delivery, DeliveryRecord) and delivery.delivery:
        found[DELIVERIES] = delivery.delivery.sequence
    return found
