"""The orders service: joins order commands, payment events and delivery events with the orders table."""

from collections.abc import Callable
from typing import Any

from agents import orders
from agents.orders.transitions import DEFAULT_DEADLINES, Deadlines
from agents.service import Reading
from models import search_terms, topics
from models.order import OrderRecord
from models.transition import Decision, Input


class OrdersService(Reading):
    """Publishes order-events, PAYMENT_REFUND_INITIATED, and commands to payments."""

    name = "orders"
    inputs = topics.inputs_of("orders")

    def __init__(self, deadlines: Deadlines = DEFAULT_DEADLINES) -> None:
        """deadlines: how long an unpaid order and an unanswered kitchen are waited for."""
        self._deadlines = deadlines

    def load(self, raw: Any) -> OrderRecord:
        """Make the record of its JSON; an empty one for a key never seen."""
        return OrderRecord.model_validate(raw or {})

    def dump(self, state: OrderRecord) -> Any:
        """Give the record as JSON values."""
        return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def is_terminal(self, state: OrderRecord) -> bool:
        """Whether indexes may leave the order out when they are rebuilt."""
        return state.has_ended

    def decide(
        self, state: OrderRecord, record: Input, read: Callable[[str], bytes | None]
    ) -> Decision:
        """Decide one input of an order."""
        decision = orders.decide(state, record, self._deadlines)
        rows = search_terms.rows_of_order(state, decision.state, record.key)
        return decision._replace(rows=rows) if rows else decision
