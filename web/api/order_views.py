"""What the API shows of an order: the records of several services as one answer."""

from typing import Any

from models import ids
from models.commands import Address, Contact
from models.messages import Message
from models.order import OrderRecord
from models.payment import PaymentRecord
from models.times import to_rfc3339, to_rfc3339_or_none
from models.wording import role_of
from web.api.payment_views import PaymentView, payment_view
from web.api.payment_views import for_customer as payment_for_customer
from web.http.answers import Money


class OrderLine(Message):
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

    reference: what people call it by. status is PLACED until Stripe has opened the payment. contact and
    address: for the customer and operators alone. asOf: the past moment that it shows.
    """

    order_id: str
    reference: str
    payment_id: str
    status: str
    restaurant: RestaurantName | None = None
    items: tuple[OrderLine, ...] = ()
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


def for_customer(view: OrderView) -> OrderView:
    """The order as its customer reads it: without who of the staff brings it."""
    delivery = view.delivery and {k: v for k, v in view.delivery.items() if k != "courierId"}
    payment = view.payment and payment_for_customer(view.payment)
    return view.model_copy(update={"delivery": delivery, "payment": payment})


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
        reference=ids.reference(order_id),
        payment_id=order.payment_id if order else (shown.payment_id if shown else ""),
        status=record.status_shown,
        restaurant=RestaurantName(id=placed.restaurant_id, name=placed.restaurant_name)
        if placed
        else None,
        items=tuple(
            OrderLine(
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
        placed_at=to_rfc3339_or_none(placed.placed_at) if placed else None,
        updated_at=to_rfc3339(occurred_at),
        reached={status: to_rfc3339(at) for status, at in order.reached.items()} if order else {},
        deadlines={kind: to_rfc3339(at) for kind, at in record.work.deadlines.items()},
        cancel_reason=order.cancel_reason if order else None,
        cancelled_by=role_of(order.cancelled_by) if order and order.cancelled_by else None,
        payment=shown,
        delivery=delivery,
        held_for_operator=is_held,
        versions=versions,
    )
