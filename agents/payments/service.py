"""The payments service: joins commands, Stripe's webhooks and refund requests with the payments table."""

from collections.abc import Callable
from typing import Any

from agents import payments
from agents.service import Reading
from models import search_terms, topics
from models.payment import PaymentRecord
from models.transition import Decision, Input


class PaymentsService(Reading):
    """Publishes payment-events and, again, the topic of each type."""

    name = "payments"
    inputs = topics.inputs_of("payments")

    def load(self, raw: Any) -> PaymentRecord:
        """Make the record of its JSON; an empty one for a key never seen."""
        return PaymentRecord.model_validate(raw or {})

    def dump(self, state: PaymentRecord) -> Any:
        """Give the record as JSON values."""
        return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def decide(
        self, state: PaymentRecord | None, record: Input, read: Callable[[str], bytes | None]
    ) -> Decision:
        """Decide one input of an order's payment."""
        decision = payments.decide(state, record)
        rows = search_terms.rows_of_payment(state, decision.state, record.key)
        return decision._replace(rows=rows) if rows else decision
