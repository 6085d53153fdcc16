"""Decide of the orders service: commands of customers and kitchens, payment and delivery events."""

from collections.abc import Callable
from typing import Final

from models.commands import (
    CancelOrder,
    CancelPayment,
    CheckDeadline,
    Command,
    CommandType,
    InitiatePayment,
    PlaceOrder,
    RejectOrder,
)
from models.events import (
    Event,
    EventType,
    OrderCreated,
    OrderPaymentPending,
    PaymentCompleted,
    PaymentRefund,
)
from models.graphs import ORDER_GRAPH, ORDER_PATH, PAID_ORDER, UNPAID_ORDER, OrderStatus
from models.order_state import OrderRecord, Placed
from models.order_turn import DEADLINES, Deadlines, OrderTurn
from models.transition import Decision, Input, Outcome
from models.turn import SYSTEM

O, E, C = OrderStatus, EventType, CommandType

EXPIRED: Final = "PAYMENT_EXPIRED"


def decide(state: OrderRecord | None, record: Input, deadlines: Deadlines = DEADLINES) -> Decision:
    """Decide one input of the orders service. Pure; never raises on what the world can send."""
    turn = OrderTurn(state or OrderRecord(), record, deadlines)
    outcome: Outcome | None = None
    message = record.message
    if isinstance(message, Command):
        outcome = _COMMANDS[message.command_type](turn, message)
    elif message.event_type in _EVENTS and message.producer != "orders":
        _EVENTS[message.event_type](turn, message)
    return Decision(turn.finished(), turn.outputs, outcome=outcome)


def _place(turn: OrderTurn, command: Command) -> Outcome:
    data: PlaceOrder = command.data
    if turn.placed:
        return turn.refuse(command, "ORDER_EXISTS", "This order was placed before.")
    turn.placed = Placed(**dict(data), placed_at=turn.at_ms)
    turn.deadline("PAYMENT", turn.deadlines.payment_ms)
    asked = InitiatePayment(
        amount=data.amount, currency=data.currency, user_id=data.user_id,
        restaurant_id=data.restaurant_id,
    )  # fmt: skip
    turn.send(C.INITIATE_PAYMENT, asked)
    return turn.accept()


def _cancel(turn: OrderTurn, command: Command) -> Outcome:
    data: CancelOrder = command.data
    if turn.order is None and turn.placed is None:
        return turn.refuse(command, "ORDER_UNKNOWN", "There is no such order.")
    if turn.order is None:
        turn.change(cancel=(data.reason, command.issued_by))
        turn.send(C.CANCEL_PAYMENT, CancelPayment(reason=data.reason))
        return turn.accept()
    if O.CANCELLED not in ORDER_GRAPH[turn.order.status] or turn.order.status is O.REFUNDED:
        return turn.refuse(
            command, f"ORDER_{turn.order.status}",
            f"This order is {turn.order.status}; it can't be cancelled any more.",
        )  # fmt: skip
    turn.cancel(data.reason, command.issued_by)
    return turn.accept()


def _kitchen_step(target: OrderStatus) -> Callable[[OrderTurn, Command], Outcome]:
    def step(turn: OrderTurn, command: Command) -> Outcome:
        if target not in ORDER_GRAPH[turn.status] if turn.status else True:
            return _refuse_step(turn, command)
        turn.advance(target, by=command.issued_by)
        return turn.accept()

    return step


def _reject(turn: OrderTurn, command: Command) -> Outcome:
    data: RejectOrder = command.data
    if turn.status not in {O.PENDING, O.CONFIRMED, O.PREPARING}:
        return _refuse_step(turn, command)
    turn.cancel(f"RESTAURANT_REJECTED: {data.reason}"[:120], command.issued_by)
    return turn.accept()


def _refuse_step(turn: OrderTurn, command: Command) -> Outcome:
    where = f"is {turn.status}" if turn.status else "has not been opened"
    return turn.refuse(
        command, "NOT_ALLOWED_NOW", f"The order {where}; {command.command_type} is not possible."
    )


def _check_deadline(turn: OrderTurn, command: Command) -> None:
    """A deadline fires by the record's time, once, and only if it is still the one that was set."""
    data: CheckDeadline = command.data
    due = turn.work.deadlines.get(data.deadline)
    if due is None or due != data.due_at or turn.at_ms < due:
        return
    turn.deadline(data.deadline, None)
    if data.deadline == "KITCHEN" and turn.status is O.PENDING:
        turn.cancel("RESTAURANT_TIMEOUT", f"{SYSTEM}:timers")
    elif data.deadline == "PAYMENT" and (turn.order is None or turn.status in UNPAID_ORDER):
        turn.change(expiring=True)  # only Stripe's `canceled` ends the order
        turn.send(C.CANCEL_PAYMENT, CancelPayment(reason=EXPIRED))


def _payment_initiated(turn: OrderTurn, event: Event) -> None:
    if turn.order is None:
        turn.await_payment(event.data)
        if turn.work.cancel:
            reason, by = turn.work.cancel
            turn.change(cancel=None)
            turn.cancel(reason, by)


def _payment_processing(turn: OrderTurn, _: Event) -> None:
    if turn.status is O.PAYMENT_FAILED:
        order = turn.known_order
        pending = OrderPaymentPending(
            user_id=order.user_id, restaurant_id=order.restaurant_id, amount=order.amount,
            currency=order.currency,
        )  # fmt: skip
        turn.move(E.ORDER_PAYMENT_PENDING, pending)


def _payment_failed(turn: OrderTurn, _: Event) -> None:
    if turn.status is O.PAYMENT_PENDING:
        turn.move(E.ORDER_PAYMENT_FAILED)


def _payment_cancelled(turn: OrderTurn, event: Event) -> None:
    if turn.status in UNPAID_ORDER:
        turn.cancel(event.data.cancel_reason, by=f"{SYSTEM}:payments")


def _payment_completed(turn: OrderTurn, event: Event) -> None:
    data: PaymentCompleted = event.data
    turn.change(captured=True, expiring=False)
    turn.deadline("PAYMENT", None)
    if turn.order is None:
        turn.await_payment(data)
    if turn.status is O.PAYMENT_FAILED:
        _payment_processing(turn, event)
    if turn.status is O.PAYMENT_PENDING:
        order = turn.known_order
        created = OrderCreated(
            order_id=turn.order_id, restaurant_id=order.restaurant_id, amount=data.amount,
            currency=data.currency,
        )  # fmt: skip
        turn.move(E.ORDER_CREATED, created)
        turn.deadline("KITCHEN", turn.deadlines.kitchen_ms)
        if data.cancel_requested:
            turn.cancel(data.cancel_requested, by="customer")
    elif turn.status is O.CANCELLED:
        turn.refund(turn.known_order.cancel_reason or "CANCELLED")


def _payment_refunded(turn: OrderTurn, _: Event) -> None:
    if turn.order is None:
        return
    turn.change(captured=False, refund_initiated=True)
    if turn.status in PAID_ORDER - {O.DELIVERED}:
        turn.cancel("REFUNDED", by=f"{SYSTEM}:payments")
    if turn.status is O.CANCELLED:
        turn.move(E.ORDER_REFUNDED)


def _refund_failed(turn: OrderTurn, event: Event) -> None:
    if isinstance(event.data, PaymentRefund) and event.data.is_all_refunded:
        return  # other refunds gave all of it back
    turn.change(captured=True)
    if turn.status is O.REFUNDED:
        turn.move(E.ORDER_REFUND_REVERSED)


def _delivered_to(target: OrderStatus) -> Callable[[OrderTurn, Event], None]:
    def follow(turn: OrderTurn, _: Event) -> None:
        """The courier has it: what happened is the truth, steps that the kitchen forgot are emitted."""
        if turn.status in PAID_ORDER and ORDER_PATH.index(
            turn.known_order.status
        ) < ORDER_PATH.index(target):
            turn.advance(target)

    return follow


_COMMANDS: Final[dict[CommandType, Callable[[OrderTurn, Command], Outcome | None]]] = {
    C.PLACE_ORDER: _place,
    C.CANCEL_ORDER: _cancel,
    C.ACCEPT_ORDER: _kitchen_step(O.CONFIRMED),
    C.REJECT_ORDER: _reject,
    C.START_PREPARING: _kitchen_step(O.PREPARING),
    C.MARK_READY: _kitchen_step(O.READY_FOR_PICKUP),
    C.CHECK_DEADLINE: _check_deadline,
}

_EVENTS: Final[dict[EventType, Callable[[OrderTurn, Event], None]]] = {
    E.PAYMENT_INITIATED: _payment_initiated,
    E.PAYMENT_PROCESSING: _payment_processing,
    E.PAYMENT_FAILED: _payment_failed,
    E.PAYMENT_CANCELLED: _payment_cancelled,
    E.PAYMENT_COMPLETED: _payment_completed,
    E.PAYMENT_REFUNDED: _payment_refunded,
    E.PAYMENT_REFUND_FAILED: _refund_failed,
    E.DELIVERY_PICKED_UP: _delivered_to(O.OUT_FOR_DELIVERY),
    E.DELIVERY_DELIVERED: _delivered_to(O.DELIVERED),
}
