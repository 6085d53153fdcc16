"""The evidence for a disputed payment, from the order's records and timeline, as JSON or a page to print."""

from collections.abc import Iterable
from typing import Any, Final

from models.commands import Address, Contact
from models.delivery import DeliveryRecord
from models.events import EventType
from models.messages import Message
from models.order import OrderRecord
from models.payment import Payment, PaymentRecord
from models.times import to_rfc3339, to_rfc3339_or_none
from web.api.order_views import (
    OrderLine,
    OrderView,
    RestaurantName,
    order_view,
)
from web.api.payment_views import DisputeView, RefundView, dispute_view, refund_view
from web.api.timeline import TimelineEntry, timeline_view
from web.http.answers import Money
from web.http.context import (
    DELIVERIES,
    ORDERS,
    PAYMENTS,
    TIMELINE,
    Context,
)
from web.http.params import Params, choice_param
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.tokens import Role

E = EventType
PARTS: Final = (ORDERS, PAYMENTS, DELIVERIES, TIMELINE)


class EvidenceParams(Params):
    """How it is shown."""

    format: str | None = choice_param(("json", "html"), "json or html; by default as Accept says")


class AttemptEvidence(Message):
    """One attempt to pay. authentication: what the bank asked of the customer (3-D Secure), if it did.

    isAuthenticated: and the customer passed it.
    """

    attempt: int
    began_at: str
    ended_at: str | None = None
    result: str
    authentication: str | None = None
    is_authenticated: bool = False


class PaymentEvidence(Message):
    """How and when the customer paid."""

    payment_id: str
    stripe_intent_id: str
    stripe_charge_id: str | None = None
    receipt_url: str | None = None
    amount: Money
    captured: Money
    refunded: Money
    initiated_at: str
    completed_at: str | None = None
    attempts: tuple[AttemptEvidence, ...]


class DeliveryEvidence(Message):
    """Who brought it where, and when."""

    status: str
    courier_id: str | None = None
    assigned_at: str | None = None
    picked_up_at: str | None = None
    delivered_at: str | None = None


class SentMessage(Message):
    """A message to the customer that was sent."""

    at: str
    channel: str
    about: str


class Evidence(Message):
    """All that an operator sends to the bank about a disputed payment. Holds no secret and no card.

    broken: rows of the timeline that can't be shown. stripeFields: the same as Stripe's dispute takes it
    in `evidence`.
    """

    order_id: str
    made_at: str
    dispute: DisputeView
    customer: Contact | None = None
    address: Address | None = None
    restaurant: RestaurantName | None = None
    items: tuple[OrderLine, ...]
    placed_at: str | None = None
    payment: PaymentEvidence
    refunds: tuple[RefundView, ...]
    order_status: str
    delivery: DeliveryEvidence | None = None
    messages: tuple[SentMessage, ...]
    stripe_fields: dict[str, str]
    timeline: tuple[TimelineEntry, ...]
    broken: tuple[str, ...] = ()


def show_evidence(call: Call[EvidenceParams, None]) -> Evidence:
    """Everything that speaks for a disputed payment, from the order's records and its timeline."""
    return _evidence(call.context, call.order_id, call.id_of("dispute_id"))


def _evidence(context: Context, order_id: str, dispute_id: str) -> Evidence:
    """Raises ProblemError (404), NotOwnerError, NotReadyError."""
    order, paid = context.record(ORDERS, order_id), context.record(PAYMENTS, order_id)
    state: PaymentRecord = paid.state if paid else PaymentRecord()
    payment = state.payment
    if payment is None or dispute_id not in payment.disputes:
        raise ProblemError("DISPUTE_UNKNOWN", "The payment's view lists those that it has.")
    view = order_view(
        order_id, order.state if order else OrderRecord(), state, None, versions={}, is_held=False
    )
    if view is None:
        raise ProblemError("ORDER_UNKNOWN")
    rows = context.tables[TIMELINE].rows(f"{order_id}/")
    told = timeline_view(order_id, rows, role=Role.OPERATOR)
    entries = told.entries
    dispute = dispute_view(payment.disputes[dispute_id], payment.currency)
    brought = context.record(DELIVERIES, order_id)
    delivery = _delivered(brought.state if brought else DeliveryRecord())
    return Evidence(
        order_id=order_id,
        made_at=to_rfc3339(context.deps.now_ms()),
        dispute=dispute,
        customer=view.contact,
        address=view.address,
        restaurant=view.restaurant,
        items=view.items,
        placed_at=view.placed_at,
        payment=_paid(payment, entries),
        refunds=tuple(refund_view(each, payment.currency) for each in state.refunds().values()),
        order_status=view.status,
        delivery=delivery,
        messages=tuple(_told(entries)),
        stripe_fields=_stripe_fields(view, payment, delivery),
        timeline=entries,
        broken=told.broken,
    )


def _paid(payment: Payment, entries: Iterable[TimelineEntry]) -> PaymentEvidence:
    def money(amount: int) -> Money:
        return Money.of(amount, payment.currency)

    return PaymentEvidence(
        payment_id=payment.payment_id,
        stripe_intent_id=payment.stripe_intent_id,
        stripe_charge_id=payment.stripe_charge_id,
        receipt_url=payment.receipt_url,
        amount=money(payment.amount),
        captured=money(payment.captured),
        refunded=money(payment.refunded),
        initiated_at=to_rfc3339(payment.initiated_at),
        completed_at=to_rfc3339_or_none(payment.completed_at),
        attempts=tuple(_attempts(entries)),
    )


def _attempts(entries: Iterable[TimelineEntry]) -> list[AttemptEvidence]:
    attempts: dict[int, AttemptEvidence] = {}
    for entry in entries:
        number = entry.detail.get("attempt", 0)
        if not isinstance(number, int):
            continue  # some other record that goes by an event's name
        change: dict[str, Any] = {}
        match entry.event_type:
            case E.PAYMENT_PROCESSING:
                attempts[number] = AttemptEvidence(
                    attempt=number, began_at=entry.occurred_at, result="PROCESSING"
                )
            case E.PAYMENT_REQUIRES_ACTION:
                change = {"authentication": str(entry.detail.get("nextAction"))}
            case E.PAYMENT_COMPLETED:
                passed = number in attempts and attempts[number].authentication is not None
                change = {"result": "COMPLETED", "is_authenticated": passed}
            case E.PAYMENT_FAILED:
                change = {"result": f"FAILED: {entry.detail.get('failureReason')}"}
        if change and number in attempts:
            ended = {"ended_at": entry.occurred_at} if "result" in change else {}
            attempts[number] = attempts[number].model_copy(update=change | ended)
    return list(attempts.values())


def _delivered(record: DeliveryRecord) -> DeliveryEvidence | None:
    delivery = record.delivery
    if delivery is None:
        return None
    reached = {str(status): to_rfc3339(at) for status, at in delivery.reached.items()}
    return DeliveryEvidence(
        status=delivery.status,
        courier_id=delivery.courier_id,
        assigned_at=reached.get("ASSIGNED"),
        picked_up_at=reached.get("PICKED_UP"),
        delivered_at=reached.get("DELIVERED"),
    )


def _told(entries: Iterable[TimelineEntry]) -> Iterable[SentMessage]:
    for entry in entries:
        if entry.event_type == E.NOTIFICATION_SENT:
            channel, about = (str(entry.detail.get(name, "")) for name in ("channel", "about"))
            yield SentMessage(at=entry.occurred_at, channel=channel, about=about)


def _stripe_fields(
    view: OrderView, payment: Payment, delivery: DeliveryEvidence | None
) -> dict[str, str]:
    """Named as in Stripe's API: disputes.update(evidence={...})."""
    dishes = "; ".join(f"{line.quantity} x {line.name}" for line in view.items)
    restaurant = view.restaurant.name if view.restaurant else "a restaurant"
    fields = {"product_description": f"A meal from {restaurant}, brought to the door: {dishes}"}
    if payment.completed_at:
        fields["service_date"] = to_rfc3339(payment.completed_at)[:10]
    if view.contact:
        fields["customer_name"] = view.contact.name
        fields["customer_email_address"] = view.contact.email
    if view.address:
        place = view.address
        lines = (place.line1, place.line2, f"{place.postal_code} {place.city}")
        fields["shipping_address"] = ", ".join(line for line in lines if line)
    if delivery and delivery.delivered_at:
        fields["shipping_date"] = delivery.delivered_at[:10]
        fields["shipping_carrier"] = f"Own courier {delivery.courier_id}"
    return fields
