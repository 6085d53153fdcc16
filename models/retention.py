"""How long what an ended order keeps beside its history and its money is kept, and what remains then. Pure.

Each function takes an ended state and a time, and gives what a service's `retain` gives
(models/transition.py).
"""

from collections import Counter
from typing import NamedTuple

from msgspec.structs import replace

from models.notification import NotificationRecord
from models.order import OrderRecord
from models.timeline import Timeline
from models.times import DAY_MS
from models.transition import Retained


class Retention(NamedTuple):
    """Times in milliseconds from an order's end on.

    contact_ms: of contact, address, notes and allergies; a dispute may come 120 days after the payment, and
    its evidence names them. details_ms: of what its messages said and of the ids that its events are found by.
    """

    contact_ms: int = 180 * DAY_MS
    details_ms: int = 30 * DAY_MS


DEFAULT_RETENTION = Retention()


def retained_order(record: OrderRecord, at_ms: int, retention: Retention) -> Retained:
    """An order without contact and address, and without notes and allergies, which tell of a person too."""
    order, placed = record.order, record.placed
    if order is None or placed is None or placed.contact is None:
        return Retained(record)
    due_ms = order.reached[order.status] + retention.contact_ms
    if at_ms < due_ms:
        return Retained(record, due_ms)
    kept = replace(placed, contact=None, address=None, notes=None, allergies=None)
    return Retained(replace(record, placed=kept))


def retained_notifications(
    record: NotificationRecord, at_ms: int, retention: Retention
) -> Retained:
    """An order's messages as how many there were in each status."""
    if not record.notifications:
        return Retained(record)
    due_ms = record.occurred_at + retention.details_ms
    if at_ms < due_ms:
        return Retained(record, due_ms)
    removed = Counter(record.removed)
    removed.update(each.status for each in record.notifications.values())
    return Retained(replace(record, notifications={}, removed=dict(removed)))


def retained_timeline(state: Timeline | int, at_ms: int, retention: Retention) -> Retained:
    """A timeline whose events are all there, and not found by their ids."""
    if isinstance(state, int) or len(state.events) == state.not_found:
        return Retained(state)
    due_ms = state.last_ms + retention.details_ms
    if at_ms < due_ms:
        return Retained(state, due_ms)
    return Retained(replace(state, not_found=len(state.events)))
