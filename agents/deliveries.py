"""The deliveries service: joins delivery commands and order events with the deliveries table."""

from collections.abc import Callable
from typing import Any

from agents.reading import Reading
from models import delivery, topics
from models.delivery import DeliveryRecord
from models.transition import Decision, Input


class DeliveriesService(Reading):
    """Publishes delivery-events."""

    name = "deliveries"
    inputs = topics.inputs_of("deliveries")

    def load(self, raw: Any) -> DeliveryRecord:
        """Make the record of its JSON; an empty one for a key never seen."""
        return DeliveryRecord.model_validate(raw or {})

    def dump(self, state: DeliveryRecord) -> Any:
        """Give the record as JSON values."""
        return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def is_terminal(self, state: DeliveryRecord) -> bool:
        """Whether indexes may leave the delivery out when they are rebuilt."""
        return state.has_ended

    def decide(
        self, state: DeliveryRecord, record: Input, read: Callable[[str], bytes | None]
    ) -> Decision:
        """Decide one input of an order's delivery."""
        return delivery.decide(state, record)
