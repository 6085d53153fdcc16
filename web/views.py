"""What the API shows of orders, payments and timelines: records of several services as one answer."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import orjson

from models.commands import Address, Contact
from models.messages import Message, from_rfc3339, to_rfc3339
from models.money import decimal_text
from models.order_state import OrderRecord
from models.payment_state import Dispute as DisputeRecord
from models.payment_state import PaymentRecord
from models.payment_state import Refund as RefundRecord
from models.topics import ORDER_AUDIT
from web.declines import explained

PLACED = "PLACED"
REQUIRES_ACTION = "REQUIRES_ACTION"


class Money(Message):
    """amount: minor units. display: 2500.00."""

    amount: int
    currency: str
    display: str

    @classmethod
    def of(cls, amount: int, currency: str) -> Self:
        """Minor units of a currency."""
        return cls(amount=amount, currency=currency, display=decimal_text(amount, currency))


class Refund(Message):
    """One refund; by: the role that asked. retryOf: the failed refund that it repeats."""

    refund_id: str
    status: str
    amount: Money
    reason: str
    by: str
    failure_reason: str | None = None
    stripe_refund_id: str | None = None
    requested_at: str | None = None
    ended_at: str | None = None
    retry_of: str | None = None


class Dispute(Message):
    """One dispute; status is Stripe's word. blocksRefunds: Stripe refuses refunds meanwhile."""

    dispute_id: str
    status: str
    amount: Money
    reason: str
    is_open: bool
    blocks_refunds: bool
    evidence_due_by: str | None = None
    opened_at: str | None = None
    changed_at: str | None = None


class PaymentView(Message):
    """A payment; net: captured - refunded - disputed + reinstated, pending refunds apart."""

    order_id: str
    payment_id: str
    status: str
    attempt: int
    amount: Money
    captured: Money
    refunded: Money
    refund_pending: Money
    refundable: Money
    disputed: Money
    net: Money
    refunds: tuple[Refund, ...]
    disputes: tuple[Dispute, ...]
    failure_reason: str | None = None
    failure_code: str | None = None
    next_action: str | None = None
    cancel_reason: str | None = None
    receipt_url: str | None = None
    stripe_intent_id: str
    stripe_charge_id: str | None = None
    initiated_at: str
    completed_at: str | None = None
    updated_at: str


class Line(Message):
    """One line of an order."""

    dish_id: str
    name: str
    quantity: int
    unit_price: Money
    total: Money


class RestaurantName(Message):
    """Where an order goes."""

    id: str
    name: str


class OrderView(Message):
    """An order joined with its payment and delivery. reached: status -> when it was last reached.

    status is PLACED until Stripe has opened the payment. contact and address: for the customer and
    operators alone. asOf: the past moment that it shows.
    """

    order_id: str
    payment_id: str
    status: str
    restaurant: RestaurantName | None = None
    items: tuple[Line, ...] = ()
    amount: Money
    contact: Contact | None = None
    address: Address | None = None
    placed_at: str | None = None
    updated_at: str
    reached: dict[str, str]
    deadlines: dict[str, str]
    cancel_reason: str | None = None
    cancelled_by: str | None = None
    payment: PaymentView | None = None
    delivery: dict[str, Any] | None = None
    held_for_operator: bool = False
    versions: dict[str, int]
    as_of: str | None = None


class TimelineEntry(Message):
    """One thing that happened; tMs: since the order's first."""

    t_ms: int
    occurred_at: str
    service: str
    event_type: str
    event_id: str
    causation_id: str | None = None
    sequence: int | None = None
    detail: dict[str, Any]


class TimelineView(Message):
    """All that happened to an order, in the order of time."""

    order_id: str
    started_at: str | None
    entries: tuple[TimelineEntry, ...]


def refund_view(refund: RefundRecord, currency: str) -> Refund:
    """Show a refund."""
    return Refund(
        refund_id=refund.refund_id,
        status=refund.status,
        amount=Money.of(refund.amount, currency),
        reason=refund.reason,
        by=_role(refund.by),
        failure_reason=refund.failure_reason,
        stripe_refund_id=refund.stripe_refund_id,
        requested_at=_time(refund.requested_at),
        ended_at=_time(refund.ended_at),
        retry_of=refund.retry_of,
    )


def dispute_view(dispute: DisputeRecord, currency: str) -> Dispute:
    """Show a dispute."""
    return Dispute(
        dispute_id=dispute.dispute_id,
        status=dispute.status,
        amount=Money.of(dispute.amount, currency),
        reason=dispute.reason,
        is_open=dispute.is_open,
        blocks_refunds=dispute.is_open and not dispute.is_charge_refundable,
        evidence_due_by=dispute.evidence_due_by,
        opened_at=_time(dispute.opened_at),
        changed_at=_time(dispute.changed_at),
    )


def payment_view(record: PaymentRecord) -> PaymentView | None:
    """Show a payment; None until Stripe has opened it."""
    payment = record.payment
    if payment is None:
        return None
    currency = payment.currency

    def money(amount: int) -> Money:
        return Money.of(amount, currency)

    return PaymentView(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=payment.status,
        attempt=payment.attempt,
        amount=money(payment.amount),
        captured=money(payment.captured),
        refunded=money(payment.refunded),
        refund_pending=money(record.refund_pending),
        refundable=money(record.refundable),
        disputed=money(payment.disputed),
        net=money(payment.net),
        refunds=tuple(refund_view(refund, currency) for refund in record.refunds().values()),
        disputes=tuple(dispute_view(each, currency) for each in payment.disputes.values()),
        failure_reason=explained(payment.failure_reason),
        failure_code=payment.failure_reason,
        next_action=payment.next_action,
        cancel_reason=payment.cancel_reason,
        receipt_url=payment.receipt_url,
        stripe_intent_id=payment.stripe_intent_id,
        stripe_charge_id=payment.stripe_charge_id,
        initiated_at=to_rfc3339(payment.initiated_at),
        completed_at=_time(payment.completed_at),
        updated_at=to_rfc3339(payment.occurred_at),
    )


def order_view(
    order_id: str,
    record: OrderRecord,
    payment: PaymentRecord | None,
    delivery: dict[str, Any] | None,
    *,
    versions: dict[str, int],
    is_held: bool,
) -> OrderView | None:
    """Show an order; None when there is none, placed or opened."""
    order, placed = record.order, record.placed
    known = order or placed
    if known is None:
        return None
    shown = payment_view(payment) if payment else None
    items = placed.items if placed else ()
    occurred_at = order.occurred_at if order else record.work.occurred_at
    return OrderView(
        order_id=order_id,
        payment_id=order.payment_id if order else (shown.payment_id if shown else ""),
        status=order.status if order else PLACED,
        restaurant=RestaurantName(id=placed.restaurant_id, name=placed.restaurant_name)
        if placed
        else None,
        items=tuple(
            Line(
                dish_id=item.dish_id,
                name=item.name,
                quantity=item.quantity,
                unit_price=Money.of(item.unit_price, known.currency),
                total=Money.of(item.unit_price * item.quantity, known.currency),
            )
            for item in items
        ),
        amount=Money.of(known.amount, known.currency),
        contact=placed.contact if placed else None,
        address=placed.address if placed else None,
        placed_at=_time(placed.placed_at) if placed else None,
        updated_at=to_rfc3339(occurred_at),
        reached={status: to_rfc3339(at) for status, at in order.reached.items()} if order else {},
        deadlines={kind: to_rfc3339(at) for kind, at in record.work.deadlines.items()},
        cancel_reason=order.cancel_reason if order else None,
        cancelled_by=_role(order.cancelled_by) if order and order.cancelled_by else None,
        payment=shown,
        delivery=delivery,
        held_for_operator=is_held,
        versions=versions,
    )


def timeline_view(
    order_id: str, rows: Iterable[tuple[str, bytes]], *, names_people: bool
) -> TimelineView:
    """Show a timeline: by time; within a millisecond causes stand before effects, the audit last.

    names_people: show who acted ("operator:alice"), not only the role.
    """
    entries = [orjson.loads(value) for _, value in rows]
    causes = {entry["eventId"]: entry.get("causationId") for entry in entries}
    entries.sort(
        key=lambda entry: (
            from_rfc3339(entry["occurredAt"]),
            entry.get("topic") == ORDER_AUDIT,
            _depth(causes, entry["eventId"]),
            entry.get("sequence") or 0,
        )
    )
    start_ms = from_rfc3339(entries[0]["occurredAt"]) if entries else 0
    return TimelineView(
        order_id=order_id,
        started_at=entries[0]["occurredAt"] if entries else None,
        entries=tuple(
            TimelineEntry(
                t_ms=from_rfc3339(entry["occurredAt"]) - start_ms,
                occurred_at=entry["occurredAt"],
                service=entry["service"],
                event_type=entry["eventType"],
                event_id=entry["eventId"],
                causation_id=entry.get("causationId"),
                sequence=entry.get("sequence"),
                detail=_detail(entry.get("detail") or {}, names_people=names_people),
            )
            for entry in entries
        ),
    )


def _depth(causes: Mapping[str, str | None], event_id: str) -> int:
    """How many events of this order led to an event, one after the other."""
    depth, cause = 0, causes.get(event_id)
    while cause is not None and cause in causes and depth < len(causes):
        depth, cause = depth + 1, causes[cause]
    return depth


def _detail(detail: dict[str, Any], *, names_people: bool) -> dict[str, Any]:
    if names_people or not isinstance(detail.get("by"), str):
        return detail
    return {**detail, "by": _role(detail["by"])}


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else to_rfc3339(at_ms)


def _role(by: str) -> str:
    """Who did it, without the name: "operator:alice" is an operator."""
    return by.partition(":")[0]
