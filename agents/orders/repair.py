"""Makes an order anew from its events. Its contact and cart no event has."""

from typing import Final

from agents.orders.transitions import OrderDecisionBuilder
from agents.repair import Refolded, begin_repair, end_repair
from models.events import PaymentRefundInitiated
from models.graphs import PAID_ORDER, UNPAID_ORDER, OrderStatus
from models.repair import RepairState
from models.transition import Outcome

COMMANDS_BEFORE: Final = 1_000
"""An order sends a handful of commands, and payments drop one whose number is not above the last: where it is
not known any more, it goes on here."""


def repair(builder: OrderDecisionBuilder, data: RepairState) -> Outcome:
    """Replace what the events say; begin what stands beside it, where all of it was lost."""
    is_lost = builder.order is None and builder.placed is None
    found = begin_repair(builder, builder.order, data)
    if isinstance(found, Outcome):
        return found
    builder.order = found.state
    builder.sequence = max(builder.sequence, found.last_sequence)
    if is_lost:
        _begin_work(builder, found)
    elif builder.status not in UNPAID_ORDER:
        open_ = {"KITCHEN"} if builder.status is OrderStatus.PENDING else set()
        deadlines = builder.work.deadlines
        builder.change(deadlines={kind: at for kind, at in deadlines.items() if kind in open_})
    return end_repair(builder, data, ("contact", "cart", "outcomes"))


def _begin_work(builder: OrderDecisionBuilder, found: Refolded) -> None:
    """Deadlines begin again: nobody could act while the order was lost."""
    status = builder.status
    asked_back = any(isinstance(event.data, PaymentRefundInitiated) for event in found.own)
    is_refund_open = status is OrderStatus.CANCELLED and asked_back
    builder.command_sequence = max(builder.command_sequence, COMMANDS_BEFORE)
    builder.correlation_id = found.own[0].correlation_id
    builder.change(captured=status in PAID_ORDER or is_refund_open, refund_initiated=asked_back)
    if status in UNPAID_ORDER:
        builder.deadline("PAYMENT", builder.deadlines.payment_ms)
    elif status is OrderStatus.PENDING:
        builder.deadline("KITCHEN", builder.deadlines.kitchen_ms)
