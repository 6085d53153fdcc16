"""The notifications service: joins what customers are told of with what has been sent to them."""

from collections.abc import Callable
from typing import Any

from agents.reading import Reading
from models import notification, topics
from models.notification import ENDED, NotificationRecord
from models.transition import Decision, Input


class NotificationsService(Reading):
    """Publishes the audit of what was sent; the notifier sends what its table holds."""

    name = "notifications"
    inputs = topics.inputs_of("notifications")

    def __init__(self, policy: notification.Policy = notification.POLICY) -> None:
        """policy: which channels are set up, and how often a message is tried."""
        self._policy = policy

    def load(self, raw: Any) -> NotificationRecord:
        """Make the record of its JSON; an empty one for a key never seen."""
        return NotificationRecord.model_validate(raw or {})

    def dump(self, state: NotificationRecord) -> Any:
        """Give the record as JSON values."""
        return state.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def is_terminal(self, state: NotificationRecord) -> bool:
        """Whether nothing is left to be sent: such records are skipped when a partition is opened."""
        return all(each.status in ENDED for each in state.notifications.values())

    def decide(
        self, state: NotificationRecord | None, record: Input, read: Callable[[str], bytes | None]
    ) -> Decision:
        """Decide one input of an order's notifications."""
        return notification.decide(state, record, self._policy)
