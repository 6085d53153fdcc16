"""The analytics service: adds payment events up by minute, hour and day, per currency and restaurant."""

from collections.abc import Callable
from typing import Any

from agents.service import Reading
from models import analytics, topics
from models.analytics import CountedPayment
from models.events import Event, PaymentInitiated
from models.payment import evolve
from models.transition import Decision, Input, UnreadableError


class AnalyticsService(Reading):
    """Keeps each order's payment as it was counted, and one row a bucket, currency and restaurant.

    Publishes nothing. It reads one topic only: a row remembers the last offset that it holds, so an
    input that is decided again after a crash is left out of the rows that have it, and those alone.
    """

    name = "analytics"
    inputs = topics.inputs_of("analytics")

    def load(self, raw: Any) -> CountedPayment | None:
        """Make the record of its JSON."""
        return None if raw is None else CountedPayment.model_validate(raw)

    def dump(self, state: CountedPayment | None) -> Any:
        """Give the record as JSON values."""
        return state and state.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def decide(
        self, state: CountedPayment | None, record: Input, read: Callable[[str], bytes | None]
    ) -> Decision:
        """Count one event.

        Raises UnreadableError for a payment without its beginning: whoever sent the event, what comes
        after it is counted.
        """
        event: Event = record.message
        if event.producer != "payments":
            return Decision(state)  # PAYMENT_REFUND_INITIATED of orders: a wish, not money
        before = state.payment if state else None
        try:
            after = evolve(before, event)
        except ValueError as error:
            raise UnreadableError(f"eventType: {error}") from None
        restaurant_id = state.restaurant_id if state else ""
        if isinstance(event.data, PaymentInitiated):
            restaurant_id = event.data.restaurant_id
        rows = {}
        for key, added in analytics.additions(before, event, after, restaurant_id).items():
            offset, sums = analytics.load_row(read(key))
            if offset < record.offset:
                analytics.add(sums, added)
                rows[key] = analytics.dump_row(record.offset, sums)
        return Decision(CountedPayment(payment=after, restaurant_id=restaurant_id), rows=rows)
