"""The orders service: decides commands of customers and kitchens, payment and delivery events."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from agents.decision import SYSTEM
from agents.dictionaries import dictionaries_of
from agents.orders.repair import repair
from agents.orders.transitions import DEFAULT_DEADLINES, Deadlines, OrderDecisionBuilder
from agents.service import Service, commands, events
from models import topics
from models.cancel_reasons import CUSTOMER_REASONS, OPERATOR_REQUEST, PAYMENT_EXPIRED
from models.commands import (
    CancelOrder,
    CancelPayment,
    CheckDeadline,
    Command,
    CommandType,
    InitiatePayment,
    NoData,
    PlaceOrder,
    RejectOrder,
)
from models.events import (
    DeliveryMoved,
    EventType,
    OrderCreated,
    OrderPaymentPending,
    PaymentCancelled,
    PaymentCompleted,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefund,
)
from models.graphs import ORDER_GRAPH, ORDER_PATH, PAID_ORDER, UNPAID_ORDER, OrderStatus
from models.index_entries import index_of_order
from models.messages import Message
from models.order import OrderRecord, Placed
from models.retention import DEFAULT_RETENTION, Retention, retained_order
from models.times import TIMES_END_MS
from models.transition import Decision, Input, Outcome, ReadRow

O, E, C = OrderStatus, EventType, CommandType


def decide(state: OrderRecord, record: Input, _read: ReadRow, deadlines: Deadlines) -> Decision:
    """Decide one input of an order."""
    builder = OrderDecisionBuilder(state, record, deadlines)
    outcome: Outcome | None = None
    message = record.message
    if isinstance(message, Command):
        outcome = _COMMANDS[message.command_type](builder, message.data)
    elif message.event_type in _EVENTS and message.producer != "orders":
        _EVENTS[message.event_type](builder, message.data)
    return Decision(builder.next_state(), builder.outputs, outcome=outcome)


def _place(builder: OrderDecisionBuilder, data: PlaceOrder) -> Outcome:
    if builder.placed:
        return builder.refuse("ORDER_EXISTS", "This order was placed before.")
    builder.placed = Placed.of(data, builder.at_ms)
    builder.deadline("PAYMENT", builder.deadlines.payment_ms)
    asked = InitiatePayment(
        amount=data.amount, currency=data.currency, user_id=data.user_id,
        restaurant_id=data.restaurant_id,
        due_at=min(builder.work.deadlines["PAYMENT"], TIMES_END_MS - 1),
    )  # fmt: skip
    builder.send(C.INITIATE_PAYMENT, asked)
    return builder.accept()


def _cancel(builder: OrderDecisionBuilder, data: CancelOrder) -> Outcome:
    if builder.order is None and builder.placed is None:
        return builder.refuse("ORDER_UNKNOWN", "There is no such order.")
    if builder.order is None:
        builder.change(cancel=(data.reason, builder.command.issued_by))
        builder.send(C.CANCEL_PAYMENT, CancelPayment(reason=data.reason))
        return builder.accept()
    if O.CANCELLED not in ORDER_GRAPH[builder.order.status] or builder.order.status is O.REFUNDED:
        return builder.refuse(
            f"ORDER_{builder.order.status}",
            f"This order is {builder.order.status}; it can't be cancelled any more.",
        )
    builder.cancel(data.reason, builder.command.issued_by)
    return builder.accept()


def _kitchen_step(target: OrderStatus, builder: OrderDecisionBuilder, _: NoData) -> Outcome:
    if builder.status is None or target not in ORDER_GRAPH[builder.status]:
        return _refuse_step(builder)
    builder.advance(target, by=builder.command.issued_by)
    return builder.accept()


def _reject(builder: OrderDecisionBuilder, data: RejectOrder) -> Outcome:
    if builder.status not in {O.PENDING, O.CONFIRMED, O.PREPARING}:
        return _refuse_step(builder)
    builder.cancel(f"RESTAURANT_REJECTED: {data.reason}"[:120], builder.command.issued_by)
    return builder.accept()


def _refuse_step(builder: OrderDecisionBuilder) -> Outcome:
    where = f"is {builder.status}" if builder.status else "has not been opened"
    asked = builder.command.command_type
    return builder.refuse("NOT_ALLOWED_NOW", f"The order {where}; {asked} is not possible.")


def _check_deadline(builder: OrderDecisionBuilder, data: CheckDeadline) -> None:
    """A deadline fires once, by the record's time, and only if it has not been set anew."""
    due = builder.work.deadlines.get(data.deadline)
    if due is None or due != data.due_at or builder.at_ms < due:
        return
    builder.deadline(data.deadline, None)
    if data.deadline == "KITCHEN" and builder.status is O.PENDING:
        builder.cancel("RESTAURANT_TIMEOUT", f"{SYSTEM}:timers")
    elif data.deadline == "PAYMENT" and (builder.order is None or builder.status in UNPAID_ORDER):
        builder.change(expiring=True)  # only Stripe's `canceled` ends the order
        builder.send(C.CANCEL_PAYMENT, CancelPayment(reason=PAYMENT_EXPIRED))


def _payment_initiated(builder: OrderDecisionBuilder, data: PaymentInitiated) -> None:
    if builder.order is None:
        builder.await_payment(data)
        if builder.work.cancel:
            reason, by = builder.work.cancel
            builder.change(cancel=None)
            builder.cancel(reason, by)


def _payment_processing(builder: OrderDecisionBuilder, _: Message) -> None:
    if builder.status is O.PAYMENT_FAILED:
        pending = OrderPaymentPending(
            **{
                name: getattr(builder.known_order, name)
                for name in OrderPaymentPending.__struct_fields__
            }
        )
        builder.move(E.ORDER_PAYMENT_PENDING, pending)


def _payment_failed(builder: OrderDecisionBuilder, _: PaymentFailed) -> None:
    if builder.status is O.PAYMENT_PENDING:
        builder.move(E.ORDER_PAYMENT_FAILED)


def _payment_cancelled(builder: OrderDecisionBuilder, data: PaymentCancelled) -> None:
    if builder.status in UNPAID_ORDER:
        builder.cancel(data.cancel_reason, by=f"{SYSTEM}:payments")


def _payment_completed(builder: OrderDecisionBuilder, data: PaymentCompleted) -> None:
    builder.change(captured=True, expiring=False)
    builder.deadline("PAYMENT", None)
    if builder.order is None:
        builder.await_payment(data)
    if builder.status in UNPAID_ORDER and data.cancel_requested:
        # No kitchen is to see it: a cancel came before the money, or the money too late.
        builder.cancel(data.cancel_requested, by=_who_cancels(data.cancel_requested))
        return
    if builder.status is O.PAYMENT_FAILED:
        _payment_processing(builder, data)
    if builder.status is O.PAYMENT_PENDING:
        order = builder.known_order
        created = OrderCreated(
            order_id=builder.order_id, restaurant_id=order.restaurant_id, amount=data.amount,
            currency=data.currency,
        )  # fmt: skip
        builder.move(E.ORDER_CREATED, created)
        builder.deadline("KITCHEN", builder.deadlines.kitchen_ms)
    elif builder.status is O.CANCELLED:
        builder.refund(builder.known_order.cancel_reason or "CANCELLED")


def _who_cancels(reason: str) -> str:
    """Whose reason it is; Stripe's own and ours are the payment's."""
    if reason in CUSTOMER_REASONS:
        return "customer"
    return "operator" if reason == OPERATOR_REQUEST else f"{SYSTEM}:payments"


def _payment_refunded(builder: OrderDecisionBuilder, _: PaymentRefund) -> None:
    if builder.order is None:
        return
    builder.change(captured=False, refund_initiated=True)
    if builder.status in PAID_ORDER - {O.DELIVERED}:
        builder.cancel("REFUNDED", by=f"{SYSTEM}:payments")
    if builder.status is O.CANCELLED:
        builder.move(E.ORDER_REFUNDED)


def _refund_failed(builder: OrderDecisionBuilder, data: PaymentRefund) -> None:
    if data.is_all_refunded:
        return  # other refunds gave all of it back
    builder.change(captured=True)
    if builder.status is O.REFUNDED:
        builder.move(E.ORDER_REFUND_REVERSED)


def _delivered_to(target: OrderStatus, builder: OrderDecisionBuilder, _: DeliveryMoved) -> None:
    """The courier has the order: steps that the kitchen has not reported are emitted first."""
    if builder.status in ORDER_PATH[: ORDER_PATH.index(target)]:
        builder.advance(target)


_COMMANDS: Final[dict[CommandType, Callable[[OrderDecisionBuilder, Any], Outcome | None]]] = {
    C.PLACE_ORDER: _place,
    C.CANCEL_ORDER: _cancel,
    C.ACCEPT_ORDER: partial(_kitchen_step, O.CONFIRMED),
    C.REJECT_ORDER: _reject,
    C.START_PREPARING: partial(_kitchen_step, O.PREPARING),
    C.MARK_READY: partial(_kitchen_step, O.READY_FOR_PICKUP),
    C.CHECK_DEADLINE: _check_deadline,
    C.REPAIR_ORDER: repair,
}

_EVENTS: Final[dict[EventType, Callable[[OrderDecisionBuilder, Any], None]]] = {
    E.PAYMENT_INITIATED: _payment_initiated,
    E.PAYMENT_PROCESSING: _payment_processing,
    E.PAYMENT_FAILED: _payment_failed,
    E.PAYMENT_CANCELLED: _payment_cancelled,
    E.PAYMENT_COMPLETED: _payment_completed,
    E.PAYMENT_REFUNDED: _payment_refunded,
    E.PAYMENT_REFUND_FAILED: _refund_failed,
    E.DELIVERY_PICKED_UP: partial(_delivered_to, O.OUT_FOR_DELIVERY),
    E.DELIVERY_DELIVERED: partial(_delivered_to, O.DELIVERED),
}


def orders_service(
    deadlines: Deadlines = DEFAULT_DEADLINES, retention: Retention = DEFAULT_RETENTION
) -> Service[OrderRecord]:
    """The service; deadlines: how long an unpaid order and an unanswered kitchen are waited for."""
    return Service(
        name="orders",
        about="Moves an order by commands of customers, kitchens and timers, and by what payments and "
        "deliveries say; asks payments for the money, and for refunds.",
        inputs={
            topics.ORDER_COMMANDS: commands,
            topics.PAYMENT_EVENTS: events,
            topics.DELIVERY_EVENTS: events,
        },
        state=OrderRecord,
        initial=OrderRecord(),
        decide=partial(decide, deadlines=deadlines),
        has_ended=lambda state: state.has_ended,
        index_of=index_of_order,
        retain_by=partial(retained_order, retention=retention),
        retention=str(retention.contact_ms),
        dictionaries=dictionaries_of("orders"),
    )
