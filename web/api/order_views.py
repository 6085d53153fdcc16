"""What the API shows of an order, its payment, refunds and disputes: records of several services as one."""

from typing import Annotated, Any

from models import ids
from models.commands import Address, Contact
from models.declines import customer_decline_code, decline_text
from models.delivery import Delivery
from models.messages import full_values
from models.order import OrderRecord, Placed
from models.payment import Dispute, PaymentRecord, Refund
from models.times import to_rfc3339
from models.wording import customer_reason, role_of
from web.api.views import view_of
from web.http.answers import Money
from web.http.api_model import AS_MESSAGE, ApiModel, omitted_if_empty


class OrderLine(ApiModel):
    """One line of an order."""

    dish_id: str
    name: str
    quantity: int
    unit_price: Money
    total: Money


class RestaurantName(ApiModel):
    """Where an order goes."""

    id: str
    name: str


class RefundView(ApiModel):
    """One refund; by: the role that asked. retryOf: the failed refund that it repeats.

    requiresAction: Stripe waits for the customer, and has written to them.
    """

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
    requires_action: bool | None = None


class DisputeView(ApiModel):
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


class FraudWarningView(ApiModel):
    """An early fraud warning of the card's issuer; isActionable: a refund may still prevent a dispute."""

    warning_id: str
    fraud_type: str
    is_actionable: bool
    warned_at: str
    changed_at: str


class ReviewView(ApiModel):
    """A review at Stripe; the reasons are Stripe's words."""

    review_id: str
    is_open: bool
    opened_reason: str
    closed_reason: str | None = None
    opened_at: str
    changed_at: str


class PaymentView(ApiModel):
    """A payment; net: captured - refunded - disputed + reinstated, pending refunds apart.

    fraudWarnings, reviews: for operators alone, and missing where there are none.
    """

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
    refunds: tuple[RefundView, ...]
    disputes: tuple[DisputeView, ...]
    fraud_warnings: tuple[FraudWarningView, ...] = omitted_if_empty()
    reviews: tuple[ReviewView, ...] = omitted_if_empty()
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


class OrderView(ApiModel):
    """An order joined with its payment and delivery. reached: status -> when it was last reached.

    reference: what people call it by. status is PLACED until Stripe has opened the payment. contact and
    address: for the customer and operators alone. deliveryCode: for the customer alone, until the order is
    delivered, where the platform asks for one. asOf: the past moment that it shows.
    """

    order_id: str
    reference: str
    payment_id: str
    status: str
    restaurant: RestaurantName | None = None
    items: tuple[OrderLine, ...] = ()
    amount: Money
    contact: Annotated[Contact, AS_MESSAGE] | None = None
    address: Annotated[Address, AS_MESSAGE] | None = None
    placed_at: str | None = None
    updated_at: str
    reached: dict[str, str]
    deadlines: dict[str, str]
    cancel_reason: str | None = None
    cancelled_by: str | None = None
    payment: PaymentView | None = None
    delivery: dict[str, Any] | None = None
    delivery_code: str | None = None
    held_for_operator: bool = False
    versions: dict[str, int]
    as_of: str | None = None


def refund_view(refund: Refund, currency: str) -> RefundView:
    """Show a refund."""
    return view_of(RefundView, refund, currency=currency, by=role_of(refund.by))


def dispute_view(dispute: Dispute, currency: str) -> DisputeView:
    """Show a dispute."""
    is_blocking = dispute.is_open and not dispute.is_charge_refundable
    return view_of(DisputeView, dispute, currency=currency, blocks_refunds=is_blocking)


def payment_view(record: PaymentRecord) -> PaymentView | None:
    """Show a payment; None until Stripe has opened it."""
    payment = record.payment
    if payment is None:
        return None
    currency = payment.currency
    return view_of(
        PaymentView,
        payment,
        record,
        refunds=tuple(refund_view(refund, currency) for refund in record.refunds().values()),
        disputes=tuple(dispute_view(each, currency) for each in payment.disputes.values()),
        fraud_warnings=tuple(
            view_of(FraudWarningView, warning) for warning in payment.fraud_warnings.values()
        ),
        reviews=tuple(view_of(ReviewView, review) for review in payment.reviews.values()),
        failure_reason=decline_text(payment.failure_reason),
        failure_code=payment.failure_reason,
        updated_at=payment.occurred_at,
    )


def restaurant_name(placed: Placed | None) -> RestaurantName | None:
    """Where an order goes, if its customer has placed it."""
    return RestaurantName(id=placed.restaurant_id, name=placed.restaurant_name) if placed else None


def order_view(
    order_id: str,
    record: OrderRecord,
    payment: PaymentRecord,
    delivery: Delivery | None,
    *,
    versions: dict[str, int],
    is_held: bool,
) -> OrderView | None:
    """Show an order; None when there is none, placed or opened."""
    order, placed = record.order, record.placed
    known = order or placed
    if known is None:
        return None
    shown = payment_view(payment)
    return view_of(
        OrderView,
        order,
        placed,
        order_id=order_id,
        reference=ids.reference(order_id),
        payment_id=order.payment_id if order else (shown.payment_id if shown else ""),
        status=record.status_shown,
        restaurant=restaurant_name(placed),
        items=tuple(
            view_of(OrderLine, item, currency=known.currency, total=item.unit_price * item.quantity)
            for item in (placed.items if placed else ())
        ),
        updated_at=order.occurred_at if order else record.work.occurred_at,
        reached={status: to_rfc3339(at) for status, at in order.reached.items()} if order else {},
        deadlines={kind: to_rfc3339(at) for kind, at in record.work.deadlines.items()},
        cancelled_by=role_of(order.cancelled_by) if order and order.cancelled_by else None,
        payment=shown,
        delivery=full_values(delivery) if delivery else None,
        delivery_code=None,
        held_for_operator=is_held,
        versions=versions,
        as_of=None,
    )


def payment_for_customer(view: PaymentView) -> PaymentView:
    """The payment without what its customer must not read: why a bank suspects a thief, or we a fraud."""
    refunds = tuple(
        refund.model_copy(update={"reason": customer_reason(refund.reason)})
        for refund in view.refunds
    )
    return view.model_copy(
        update={
            "failure_code": customer_decline_code(view.failure_code),
            "refunds": refunds,
            "fraud_warnings": (),
            "reviews": (),
        }
    )


def for_customer(view: OrderView) -> OrderView:
    """The order as its customer reads it: without who of the staff brings it."""
    delivery = view.delivery and {k: v for k, v in view.delivery.items() if k != "courierId"}
    payment = view.payment and payment_for_customer(view.payment)
    return view.model_copy(update={"delivery": delivery, "payment": payment})
