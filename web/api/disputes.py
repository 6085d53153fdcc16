"""Disputes over HTTP: the list of all, and one's evidence, from the order's records and its timeline."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from models.commands import Address, Contact
from models.delivery import DeliveryRecord
from models.events import EventType
from models.graphs import DeliveryStatus
from models.order import OrderRecord
from models.payment import PaymentRecord
from web.api import order_views
from web.api.order_views import DisputeView, OrderLine, OrderView, RefundView, RestaurantName
from web.api.timeline import TimelineEntry, stored_timeline, timeline_view
from web.api.views import view_of
from web.http.answers import Money
from web.http.api_model import AS_MESSAGE, ApiModel
from web.http.context import DELIVERIES, ORDERS, PAYMENTS, TIMELINE, state_of
from web.http.params import Params, choice_param, limit_param
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.scatter_gather import Gather, Missing, Shares
from web.http.tokens import Role
from web.indexes.money import DisputeEntry

E = EventType
MAX_LISTED: Final = 1000
STATES: Final = ("OPEN", "CLOSED")
PARTS: Final = (ORDERS, PAYMENTS, DELIVERIES, TIMELINE)


class DisputeRow(DisputeView):
    """One dispute of the list. evidence: where its bundle is."""

    order_id: str
    payment_id: str
    evidence: str


class DisputeRows(ApiModel):
    """The open ones first, those whose evidence is due soonest at the top; then the latest.

    incomplete: partitions whose disputes are missing here.
    """

    disputes: tuple[DisputeRow, ...]
    incomplete: tuple[int, ...]


class DisputeParams(Params):
    """Of the list."""

    state: str | None = choice_param(STATES)
    limit: int = limit_param(100, MAX_LISTED)


class ListDisputes(Gather[list[DisputeRow], DisputeRows]):
    """Disputes of all workers, open or closed or both."""

    service, open_services, share_type = PAYMENTS, (PAYMENTS,), list[DisputeRow]

    async def share(self, partition: int) -> list[DisputeRow]:
        """Of an owned partition."""
        params = self.call.params
        rows = [
            _row(entry)
            for entry in self.context.deps.money.disputes(partition)
            if params.state is None or entry.dispute.is_open is (params.state == "OPEN")
        ]
        return _in_order(rows)[: params.limit]

    async def merged(self, shares: Shares[list[DisputeRow]], missing: Missing) -> DisputeRows:
        """The open ones first."""
        rows = _in_order([row for share in shares.values() for row in share])
        return DisputeRows(disputes=tuple(rows[: self.call.params.limit]), incomplete=missing)


def _row(entry: DisputeEntry) -> DisputeRow:
    shown = order_views.dispute_view(entry.dispute, entry.currency)
    where = f"/api/payments/{entry.order_id}/disputes/{entry.dispute.dispute_id}/evidence"
    return view_of(DisputeRow, shown, entry, evidence=where)


def _in_order(rows: list[DisputeRow]) -> list[DisputeRow]:
    latest = sorted(rows, key=lambda row: row.opened_at or "", reverse=True)
    return sorted(
        latest,
        key=lambda row: (not row.is_open, (row.evidence_due_by or "~") if row.is_open else ""),
    )


class EvidenceParams(Params):
    """How it is shown."""

    format: str | None = choice_param(("json", "html"), "json or html; by default as Accept says")


class AttemptEvidence(ApiModel):
    """One attempt to pay. authentication: what the bank asked of the customer (3-D Secure), if it did.

    isAuthenticated: and the customer passed it.
    """

    attempt: int
    began_at: str
    ended_at: str | None = None
    result: str
    authentication: str | None = None
    is_authenticated: bool = False


class PaymentEvidence(ApiModel):
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


class DeliveryEvidence(ApiModel):
    """Who brought it where, and when. proof: CODE where the customer gave the courier the delivery code."""

    status: str
    courier_id: str | None = None
    assigned_at: str | None = None
    picked_up_at: str | None = None
    delivered_at: str | None = None
    proof: str | None = None


class SentMessage(ApiModel):
    """A message to the customer that was sent."""

    at: str
    channel: str
    about: str


class Evidence(ApiModel):
    """All that an operator sends to the bank about a disputed payment. Holds no secret and no card.

    broken: rows of the timeline that can't be shown. stripeFields: the same as Stripe's dispute takes it
    in `evidence`.
    """

    order_id: str
    made_at: str
    dispute: DisputeView
    customer: Annotated[Contact, AS_MESSAGE] | None = None
    address: Annotated[Address, AS_MESSAGE] | None = None
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
    context, order_id, dispute_id = call.context, call.order_id, call.id_of("dispute_id")
    order = state_of(context.record(ORDERS, order_id), OrderRecord)
    paid = state_of(context.record(PAYMENTS, order_id), PaymentRecord)
    if paid.payment is None or dispute_id not in paid.payment.disputes:
        raise ProblemError("DISPUTE_UNKNOWN", "The payment's view lists those that it has.")
    view = order_views.order_view(order_id, order, paid, None, versions={}, is_held=False)
    if view is None or view.payment is None:
        raise ProblemError("ORDER_UNKNOWN")
    rows = stored_timeline(context, order_id)
    told = timeline_view(order_id, rows, role=Role.OPERATOR)
    delivery = _delivered(state_of(context.record(DELIVERIES, order_id), DeliveryRecord))
    return view_of(
        Evidence,
        view,
        told,
        made_at=context.deps.now_ms(),
        dispute=next(each for each in view.payment.disputes if each.dispute_id == dispute_id),
        customer=view.contact,
        payment=view_of(PaymentEvidence, view.payment, attempts=tuple(_attempts(told.entries))),
        refunds=view.payment.refunds,
        order_status=view.status,
        delivery=delivery,
        messages=tuple(_told(told.entries)),
        stripe_fields=_stripe_fields(view, delivery),
        timeline=told.entries,
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
    return view_of(
        DeliveryEvidence,
        delivery,
        assigned_at=delivery.reached.get(DeliveryStatus.ASSIGNED),
        picked_up_at=delivery.reached.get(DeliveryStatus.PICKED_UP),
        delivered_at=delivery.reached.get(DeliveryStatus.DELIVERED),
    )


def _told(entries: Iterable[TimelineEntry]) -> Iterable[SentMessage]:
    for entry in entries:
        if entry.event_type == E.NOTIFICATION_SENT:
            channel, about = (str(entry.detail.get(name, "")) for name in ("channel", "about"))
            yield SentMessage(at=entry.occurred_at, channel=channel, about=about)


def _stripe_fields(view: OrderView, delivery: DeliveryEvidence | None) -> dict[str, str]:
    """Named as in Stripe's API: disputes.update(evidence={...})."""
    dishes = "; ".join(f"{line.quantity} x {line.name}" for line in view.items)
    restaurant = view.restaurant.name if view.restaurant else "a restaurant"
    fields = {"product_description": f"A meal from {restaurant}, brought to the door: {dishes}"}
    if view.payment and view.payment.completed_at:
        fields["service_date"] = view.payment.completed_at[:10]
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
