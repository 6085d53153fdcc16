"""Transitions of an order: each emits its events and folds them, so no state changes without an event."""

from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from agents.decision import DecisionBuilder
from models.commands import CancelPayment, CommandType
from models.events import (
    EventType,
    OrderCancelled,
    OrderMoved,
    OrderPaymentPending,
    PaymentCompleted,
    PaymentInitiated,
    PaymentRefundInitiated,
)
from models.graphs import ORDER_GRAPH, ORDER_PATH, PAID_ORDER, UNPAID_ORDER, OrderStatus
from models.messages import Message
from models.order import STATUS_AFTER, Order, OrderRecord, OrderWork, Placed, evolve
from models.transition import Input

E, C = EventType, CommandType

EVENT_LEADING_TO: Final = {
    status: kind for kind, status in STATUS_AFTER.items() if status in PAID_ORDER
}
"""Status -> the event that leads to it, on the path of a paid order."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long an unpaid order and an unanswered kitchen are waited for, in milliseconds."""

    payment_ms: int = 30 * 60 * 1000
    kitchen_ms: int = 10 * 60 * 1000


DEFAULT_DEADLINES: Final = Deadlines()


class OrderDecisionBuilder(DecisionBuilder):
    """One decision about an order; every move emits its event and folds it."""

    def __init__(self, state: OrderRecord, record: Input, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self.order: Order | None = state.order
        self.placed: Placed | None = state.placed
        self.work: OrderWork = state.work
        work = self.work
        super().__init__("orders", record, work, work.sequence, work.command_sequence)

    def next_state(self) -> OrderRecord:
        """The record as it is to be stored."""
        self.change(
            sequence=self.sequence,
            audit_sequence=self.audit_sequence,
            command_sequence=self.command_sequence,
            correlation_id=self.correlation_id,
            occurred_at=self.at_ms,
        )
        return OrderRecord(order=self.order, placed=self.placed, work=self.work)

    @property
    def known_order(self) -> Order:
        """The order, where it must exist."""
        assert self.order is not None
        return self.order

    @property
    def status(self) -> OrderStatus | None:
        """None until the payment has been initiated."""
        return self.order.status if self.order else None

    def change(self, **changes: Any) -> None:
        """Change what is kept beside the order."""
        self.work = replace(self.work, **changes)

    def deadline(self, kind: str, in_ms: int | None) -> None:
        """Set or clear a deadline."""
        rest = {k: at for k, at in self.work.deadlines.items() if k != kind}
        self.change(deadlines=rest if in_ms is None else {**rest, kind: self.at_ms + in_ms})

    def move(self, event_type: EventType, data: Message | None = None) -> None:
        """Take one edge of the graph."""
        assert STATUS_AFTER[event_type] in ORDER_GRAPH[self.status]
        self.order = evolve(self.order, self.emit(event_type, data or OrderMoved()))

    def advance(self, target: OrderStatus, by: str | None = None) -> None:
        """Walk the path of a paid order up to the target, emitting the missing steps in order."""
        here = ORDER_PATH.index(self.known_order.status)
        for status in ORDER_PATH[here + 1 : ORDER_PATH.index(target) + 1]:
            self.move(EVENT_LEADING_TO[status], OrderMoved(by=by))
        self.deadline("KITCHEN", None)

    def await_payment(self, facts: PaymentInitiated | PaymentCompleted) -> None:
        """(placed) -> PAYMENT_PENDING."""
        placed = self.placed
        user = facts.user_id if isinstance(facts, PaymentInitiated) else ""
        pending = OrderPaymentPending(
            user_id=placed.user_id if placed else user,
            restaurant_id=placed.restaurant_id if placed else "",
            amount=facts.amount,
            currency=facts.currency,
        )
        self.move(E.ORDER_PAYMENT_PENDING, pending)

    def cancel(self, reason: str, by: str) -> None:
        """End the order; its money goes back, and a payment that is under way is cancelled at Stripe."""
        was_unpaid = self.status in UNPAID_ORDER
        self.move(E.ORDER_CANCELLED, OrderCancelled(reason=reason, by=by))
        self.change(deadlines={})
        if self.work.captured:
            self.refund(reason)
        elif was_unpaid:
            self.send(C.CANCEL_PAYMENT, CancelPayment(reason=reason))

    def refund(self, reason: str) -> None:
        """Ask payments, once, to give all the money back."""
        if self.work.refund_initiated:
            return
        initiated = PaymentRefundInitiated(
            order_id=self.order_id, payment_id=self.payment_id, reason=reason
        )
        self.emit(E.PAYMENT_REFUND_INITIATED, initiated)
        self.change(refund_initiated=True)
